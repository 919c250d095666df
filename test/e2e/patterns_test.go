package e2e_test

import (
	"bytes"
	"context"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var _ = Describe("What agents do with agent-runtime", Ordered, func() {
	sessions := map[string]*v1alpha1.AgentSession{}

	BeforeAll(func(ctx context.Context) {
		runOperator(ctx, "--time-scale=12")
		namespace := newNamespace(ctx)
		for _, session := range patterns(namespace) {
			Expect(api.Create(ctx, session)).To(Succeed())
			sessions[session.Name] = session
		}
	})

	DescribeTable("work keeps the session, and only as long as it lasts", func(ctx context.Context, name, begin, end string) {
		session := sessions[name]
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		invoke(ctx, session, begin)
		eventuallyState(ctx, session, v1alpha1.StateActive)
		if end != "" {
			invoke(ctx, session, end)
		}
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(session.Status.Activation).To(BeEquivalentTo(1))
	},
		Entry("a task by hand", "manual", `{"seconds":2}`, ""),
		Entry("a custom ping handler", "dependency", `{"depth":2000}`, `{"depth":0}`),
		Entry("throttling by memory", "throttle", `{"mebibytes":110}`, `{"mebibytes":0}`),
	)

	It("stream answers word by word", func(ctx context.Context) {
		eventuallyState(ctx, sessions["stream"], v1alpha1.StateIdle)
		Expect(invoke(ctx, sessions["stream"], `{"text":"once upon"}`)).To(Equal("data: {\"word\":\"once\"}\n\ndata: {\"word\":\"upon\"}\n\n"))
	})

	It("journal says that its work is done and stays busy: Stuck names the task", func(ctx context.Context) {
		session := sessions["journal"]
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		invoke(ctx, session, `{"seconds":1,"forget":true}`)
		Eventually(func() (string, error) {
			_, err := reading(ctx, session)()
			stuck := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionStuck)
			if err != nil || stuck == nil || stuck.Status != "True" {
				return "", err
			}
			return stuck.Message, nil
		}).Should(And(ContainSubstring(`"chore"`), MatchRegexp(`begun \d+s ago, is still noted \d+s after`)))
		Expect(session.Status.State).To(Equal(v1alpha1.StateActive), "action is Report")
	})
})

// patterns are the sessions of examples/patterns.yaml.
func patterns(namespace string) (sessions []*v1alpha1.AgentSession) {
	GinkgoHelper()
	raw, err := os.ReadFile("../../examples/patterns.yaml")
	Expect(err).NotTo(HaveOccurred())
	for document := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		session := &v1alpha1.AgentSession{}
		Expect(yaml.UnmarshalStrict(document, session)).To(Succeed())
		if session.Kind != "" { // not the comment at the top
			session.Namespace = namespace
			sessions = append(sessions, session)
		}
	}
	return sessions
}

// invoke asks the session's agent through the API server.
func invoke(ctx context.Context, session *v1alpha1.AgentSession, payload string) string {
	GinkgoHelper()
	clients, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	answer, err := clients.CoreV1().RESTClient().Post().Namespace(session.Namespace).
		Resource("pods").Name(session.Status.Pod.Name + ":8080").SubResource("proxy").Suffix("invocations").
		Body([]byte(payload)).DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred(), "invoke %s with %s: %s", session.Name, payload, answer)
	return string(answer)
}
