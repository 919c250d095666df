package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func get(ctx context.Context, d *door, path string) answer {
	GinkgoHelper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	Expect(err).NotTo(HaveOccurred())
	return send(r)
}

// listed are the sessions that an answer shows, and the token for more.
func listed(a answer) (ids []string, nextToken string) {
	GinkgoHelper()
	Expect(a.code).To(Equal(http.StatusOK), a.body)
	var body struct {
		Sessions []struct {
			RuntimeSessionID string `json:"runtimeSessionId"`
		}
		NextToken string
	}
	Expect(json.Unmarshal([]byte(a.body), &body)).To(Succeed())
	for _, s := range body.Sessions {
		ids = append(ids, s.RuntimeSessionID)
	}
	return ids, body.NextToken
}

var _ = Describe("Sessions", func() {
	It("can be listed, described and stopped, by runtime, state and ping status", func(ctx context.Context) {
		d, namespace := openDoor(), newNamespace(ctx)
		agent, other := newRuntime(ctx, namespace), newRuntime(ctx, namespace)
		var ids []string
		for range 3 {
			ids = append(ids, id())
			Expect(d.invoke(ctx, agent, ids[len(ids)-1], ask{}).code).To(Equal(http.StatusOK))
		}
		elsewhere := id()
		Expect(d.invoke(ctx, other, elsewhere, ask{}).code).To(Equal(http.StatusOK))
		// One that is nobody's runtime's: it is not the gateway's to show.
		Expect(api.Create(ctx, inline(namespace))).To(Succeed())
		list := func(query string) []string {
			GinkgoHelper()
			found, _ := listed(get(ctx, d, "/sessions?namespace="+namespace+query))
			return found
		}
		Expect(list("")).To(ConsistOf(append(slices.Clone(ids), elsewhere)))
		of := "&agentRuntimeArn=" + url.QueryEscape(agent.Status.AgentRuntimeArn)
		Expect(list(of)).To(ConsistOf(ids))
		Expect(list(of + "&labelSelector=runtime.agentsession.dev%2Fruntime%3D" + other.Name)).To(BeEmpty())
		Expect(list(of + "&pingStatus=HealthyBusy")).To(BeEmpty())
		Expect(list(of + "&pingStatus=Healthy")).To(ConsistOf(ids))

		By("stopping one")
		Expect(d.stop(ctx, agent, ids[0], "").code).To(Equal(http.StatusOK))
		Eventually(func() []string { return list(of + "&state=Stopped") }).Should(ConsistOf(ids[0]))
		one := sessionOf(ctx, agent, ids[0])
		a := get(ctx, d, "/sessions/"+namespace+"/"+one.Name)
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.body).To(And(ContainSubstring(ids[0]), ContainSubstring(`"reason":"StopRequested"`), ContainSubstring(agent.Status.AgentRuntimeArn)))
		Expect(get(ctx, d, "/sessions/"+namespace+"/inline").code).To(Equal(http.StatusNotFound))

		By("paging")
		first, token := listed(get(ctx, d, "/sessions?maxResults=2&namespace="+namespace))
		rest, end := listed(get(ctx, d, "/sessions?maxResults=2&namespace="+namespace+"&nextToken="+token))
		Expect(append(first, rest...)).To(ConsistOf(append(slices.Clone(ids), elsewhere)))
		Expect(end).To(BeEmpty())

		By("stopping those of a runtime")
		stopMany := func(selection map[string]any) answer {
			GinkgoHelper()
			raw, err := json.Marshal(selection)
			Expect(err).NotTo(HaveOccurred())
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/sessions/stop", bytes.NewReader(raw))
			Expect(err).NotTo(HaveOccurred())
			return send(r)
		}
		Expect(stopMany(map[string]any{}).code).To(Equal(http.StatusBadRequest), "not all that there are")
		Expect(stopMany(map[string]any{"agentRuntimeArn": namespace + "/none"}).code).To(Equal(http.StatusNotFound))
		var body struct{ Stopped []string }
		Expect(json.Unmarshal([]byte(stopMany(map[string]any{"agentRuntimeArn": agent.Status.AgentRuntimeArn}).body), &body)).To(Succeed())
		Expect(body.Stopped).To(HaveLen(2), "one is stopped already")
		Eventually(func() []string { return list(of + "&state=Stopped") }).Should(ConsistOf(ids))
		Expect(stateOf(ctx, other, elsewhere)()).NotTo(Equal(v1alpha1.StateStopped))

		By("asking in words that are not known")
		for query, field := range map[string]string{
			"state=Asleep": "state", "pingStatus=Sick": "pingStatus", "maxResults=1001": "maxResults", "maxResults=0": "maxResults",
			"labelSelector=%3D%3D": "labelSelector", "nextToken=*": "nextToken",
		} {
			a := get(ctx, d, "/sessions?"+query)
			Expect(a.code).To(Equal(http.StatusBadRequest), query)
			Expect(a.failed.FieldList[0].Name).To(Equal(field))
		}
	})
})
