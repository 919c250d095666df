package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/controlplane"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/front"
)

func controlled(o *gateway.Options) {
	o.Control = controlplane.New(controlplane.Options{Client: o.Client, Live: o.Live, AllowedImages: []string{"registry.example/"}})
}

// asked is an operation of the control plane, made in a namespace.
func asked(ctx context.Context, d *door, namespace, method, path string, body any) *http.Request {
	GinkgoHelper()
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false) // as clients in other languages write it
	Expect(encoder.Encode(body)).To(Succeed())
	r, err := http.NewRequestWithContext(ctx, method, d.url+path, &raw)
	Expect(err).NotTo(HaveOccurred())
	r.Header.Set(controlplane.HeaderNamespace, namespace)
	return r
}

// echoing is what a runtime is made of.
func echoing(name string) map[string]any {
	return map[string]any{
		"agentRuntimeName": name, "roleArn": "arn:aws:iam::123456789012:role/x",
		"agentRuntimeArtifact": map[string]any{"containerConfiguration": map[string]any{"containerUri": "registry.example/echo:1"}},
	}
}

// roles makes those of a file.
func roles(ctx context.Context, file string) {
	GinkgoHelper()
	raw, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		var role rbacv1.ClusterRole
		Expect(yaml.Unmarshal([]byte(document), &role)).To(Succeed())
		if role.Kind == "ClusterRole" {
			Expect(api.Create(ctx, &role)).To(Succeed())
			DeferCleanup(func(ctx context.Context) { _ = api.Delete(ctx, &role) })
		}
	}
}

// as has a gateway be somebody with no rights but those that he is given.
type as struct {
	next http.RoundTripper
	user string
}

func (a as) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Impersonate-User", a.user)
	return a.next.RoundTrip(r)
}

var _ = Describe("The control plane", func() {
	It("is off unless it is asked for", func(ctx context.Context) {
		a := fetch(asked(ctx, openDoor(), "default", http.MethodPut, "/runtimes/", echoing("never")))
		Expect(a.code).To(Equal(http.StatusNotFound))
		Expect(a.failed.Message).To(ContainSubstring("--control-plane"))
	})

	It("is for access keys with the right to it, in their namespaces", func(ctx context.Context) {
		ours, theirs := newNamespace(ctx), newNamespace(ctx)
		d := openDoor(front.Authenticated, controlled)
		agent := newRuntime(ctx, ours)
		for name, rights := range map[string]string{"maker": "control", "caller": "invocations,commands,sessions", "stranger": "control"} {
			namespaces := ours
			if name == "stranger" {
				namespaces = theirs
			}
			Expect(api.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: name, Labels: map[string]string{authn.LabelAccessKey: ""}},
				StringData: map[string]string{"accessKeyId": "AK" + ours + name, "secretAccessKey": "secret", "namespaces": namespaces, "rights": rights},
			})).To(Succeed())
		}
		call := func(key, namespace, method, path string, body any) answer {
			r := asked(ctx, d, namespace, method, path, body)
			Expect(caller.Sign(r, "AK"+ours+key, "secret")).To(Succeed())
			return fetch(r)
		}
		one := "/runtimes/" + agent.Status.AgentRuntimeID + "/"
		Eventually(func() int { return call("maker", ours, http.MethodGet, one, nil).code }).Should(Equal(http.StatusOK))
		Eventually(func() string { return call("caller", ours, http.MethodGet, one, nil).body }).Should(ContainSubstring("no agent runtime"))
		Eventually(func() string { return call("stranger", ours, http.MethodGet, one, nil).body }).Should(ContainSubstring("no agent runtime"))
		for _, key := range []string{"caller", "stranger"} {
			Expect(call(key, ours, http.MethodDelete, one, nil).code).To(Equal(http.StatusNotFound))
			Expect(call(key, ours, http.MethodPut, "/runtimes/", echoing("never")).code).To(Equal(http.StatusForbidden))
			Expect(call(key, ours, http.MethodPost, "/runtimes/", nil).body).To(MatchJSON(`{"agentRuntimes":[]}`))
		}
		Expect(fetch(asked(ctx, d, ours, http.MethodGet, one, nil)).code).To(Equal(http.StatusForbidden), "unsigned")
		Expect(call("maker", ours, http.MethodPost, "/runtimes/", nil).body).To(ContainSubstring(agent.Status.AgentRuntimeArn))
		Expect(call("maker", theirs, http.MethodPut, "/runtimes/", echoing("never")).code).To(Equal(http.StatusForbidden))
		Expect(call("maker", ours, http.MethodPut, "/runtimes/", echoing("made")).code).To(Equal(http.StatusAccepted))
	})

	It("makes runtimes where the gateway is bound its role, and nowhere else", func(ctx context.Context) {
		const user = "control-gateway"
		roles(ctx, "../../config/gateway/rbac.yaml")
		roles(ctx, "../../config/gateway/control_role.yaml")
		everywhere := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "gateway"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}
		Expect(api.Create(ctx, everywhere)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { _ = api.Delete(ctx, everywhere) })
		url, shut, err := plane.DoorThrough(func(next http.RoundTripper) http.RoundTripper { return as{next, user} }, controlled)
		Expect(err).NotTo(HaveOccurred())
		d, ours, theirs := newDoor(url, shut), newNamespace(ctx), newNamespace(ctx)
		Expect(api.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: "control"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "gateway-control"}, Subjects: everywhere.Subjects,
		})).To(Succeed())

		a := fetch(asked(ctx, openDoor(controlled), "absent", http.MethodPut, "/runtimes/", echoing("echo")))
		Expect(a.code).To(Equal(http.StatusBadRequest), a.body)
		Expect(a.failed.FieldList).To(HaveExactElements(HaveField("Name", controlplane.HeaderNamespace)), "CreateAgentRuntime knows no ResourceNotFoundException")
		a = fetch(asked(ctx, d, theirs, http.MethodPut, "/runtimes/", echoing("echo")))
		Expect(a.code).To(Equal(http.StatusForbidden), a.body)
		Expect(a.failed.Message).To(ContainSubstring("agentsession-gateway-control"))

		Eventually(func() int {
			a = fetch(asked(ctx, d, ours, http.MethodPut, "/runtimes/", echoing("echo")))
			return a.code
		}).Should(Equal(http.StatusAccepted), a.body)
		var agent v1alpha1.AgentRuntime
		Expect(api.Get(ctx, client.ObjectKey{Namespace: ours, Name: "echo"}, &agent)).To(Succeed())
		one := "/runtimes/" + agent.Status.AgentRuntimeID + "/"
		update := echoing("")
		delete(update, "agentRuntimeName")
		for _, op := range []struct {
			method, path string
			body         any
			code         int
		}{
			{http.MethodPut, one, update, http.StatusAccepted},
			{http.MethodPost, one + "versions/", nil, http.StatusOK},
			{http.MethodPut, one + "runtime-endpoints/", map[string]string{"name": "prod", "agentRuntimeVersion": "1"}, http.StatusAccepted},
			{http.MethodDelete, one, nil, http.StatusAccepted},
		} {
			Eventually(func() int { // not while the last one is under way
				a = fetch(asked(ctx, d, ours, op.method, op.path, op.body))
				return a.code
			}).ShouldNot(Equal(http.StatusConflict))
			Expect(a.code).To(Equal(op.code), "%s %s: %s", op.method, op.path, a.body)
		}
	})

	It("has each version be tried before it is ready, and tells what its pod said", func(ctx context.Context) {
		d := openDoor(controlled, func(o *gateway.Options) { o.Control.Validate = true })
		shown := func(namespace, id string) func() map[string]any {
			return func() (told map[string]any) {
				a := fetch(asked(ctx, d, namespace, http.MethodGet, "/runtimes/"+id, nil))
				Expect(a.code).To(Equal(http.StatusOK), a.body)
				Expect(json.Unmarshal([]byte(a.body), &told)).To(Succeed())
				return told
			}
		}
		made := func(namespace string) string {
			body := echoing("tried")
			body["protocolConfiguration"] = map[string]any{"serverProtocol": "HTTP", "port": plane.Port}
			a := fetch(asked(ctx, d, namespace, http.MethodPut, "/runtimes/", body))
			Expect(a.code).To(Equal(http.StatusAccepted), a.body)
			var told struct {
				ID     string `json:"agentRuntimeId"`
				Status string `json:"status"`
			}
			Expect(json.Unmarshal([]byte(a.body), &told)).To(Succeed())
			return told.ID
		}
		namespace := newNamespace(ctx)
		Eventually(shown(namespace, made(namespace)+"/")).Should(And(HaveKeyWithValue("status", "READY"), Not(HaveKey("failureReason"))))
		var agent v1alpha1.AgentRuntime
		Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "tried"}, &agent)).To(Succeed())
		Expect(agent.Status.Validation).To(HaveValue(Equal(v1alpha1.ValidationStatus{Version: 1, ValidVersion: 1})))

		strict := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
		Expect(api.Create(ctx, strict)).To(Succeed())
		created := And(HaveKeyWithValue("status", "CREATE_FAILED"), HaveKeyWithValue("failureReason", ContainSubstring("violates PodSecurity")))
		failed := made(strict.Name)
		Eventually(shown(strict.Name, failed+"/")).Should(created)

		body := echoing("")
		delete(body, "agentRuntimeName")
		a := fetch(asked(ctx, d, strict.Name, http.MethodPut, "/runtimes/"+failed+"/", body))
		Expect(a.code).To(Equal(http.StatusAccepted), a.body)
		Eventually(shown(strict.Name, failed+"/")).Should(And(HaveKeyWithValue("agentRuntimeVersion", "2"), HaveKeyWithValue("status", "UPDATE_FAILED")))
		Expect(shown(strict.Name, failed+"/?version=1")()).To(created, "and it stays so")
	})

	It("answers a request with the clientToken of another that it is another", func(ctx context.Context) {
		d, namespace := openDoor(controlled), newNamespace(ctx)
		ask := func(path string, body map[string]any) (a answer) {
			GinkgoHelper()
			Eventually(func() int { // not while the last one is under way
				a = fetch(asked(ctx, d, namespace, http.MethodPut, path, body))
				return a.code
			}).ShouldNot(BeElementOf(http.StatusConflict, http.StatusServiceUnavailable), func() string { return a.body })
			return a
		}
		with := func(body map[string]any, name string, value any) map[string]any {
			body = maps.Clone(body)
			body[name] = value
			return body
		}
		accepted := func(path string, body map[string]any) answer {
			GinkgoHelper()
			a := ask(path, body)
			Expect(a.code).To(Equal(http.StatusAccepted), a.body)
			return a
		}
		refused := func(path string, body map[string]any) {
			GinkgoHelper()
			a := ask(path, body)
			Expect(a.code).To(Equal(http.StatusBadRequest), a.body)
			Expect(a.failed.Reason).To(Equal("IdempotentParameterMismatchException"))
		}
		version := func() string {
			GinkgoHelper()
			var told struct {
				Version string `json:"agentRuntimeVersion"`
			}
			var agent v1alpha1.AgentRuntime
			Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "echo"}, &agent)).To(Succeed())
			Expect(json.Unmarshal([]byte(fetch(asked(ctx, d, namespace, http.MethodGet, "/runtimes/"+agent.Status.AgentRuntimeID+"/", nil)).body), &told)).To(Succeed())
			return told.Version
		}

		create := with(with(echoing("echo"), "clientToken", id()), "protocolConfiguration", map[string]any{"serverProtocol": "MCP"})
		create = with(create, "lifecycleConfiguration", map[string]any{"maxLifetime": 3600})
		made := accepted("/runtimes/", create)
		Expect(accepted("/runtimes/", create).body).To(Equal(made.body))
		refused("/runtimes/", with(create, "description", "another"))

		var agent v1alpha1.AgentRuntime
		Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "echo"}, &agent)).To(Succeed())
		one := "/runtimes/" + agent.Status.AgentRuntimeID + "/"
		update := with(create, "description", "another")
		delete(update, "agentRuntimeName")
		refused(one, update)
		Expect(version()).To(Equal("1"))
		update = with(update, "clientToken", id())
		accepted(one, update)
		accepted(one, update)
		Expect(version()).To(Equal("2"))
		refused(one, with(update, "environmentVariables", map[string]string{"A": "1"}))
		Expect(version()).To(Equal("2"))

		endpoint := map[string]any{"name": "prod", "agentRuntimeVersion": "1", "clientToken": id()}
		accepted(one+"runtime-endpoints/", endpoint)
		accepted(one+"runtime-endpoints/", endpoint)
		refused(one+"runtime-endpoints/", with(endpoint, "agentRuntimeVersion", "2"))
		moved := map[string]any{"agentRuntimeVersion": "2", "clientToken": endpoint["clientToken"]}
		refused(one+"runtime-endpoints/prod/", moved)
		moved["clientToken"] = id()
		accepted(one+"runtime-endpoints/prod/", moved)
		accepted(one+"runtime-endpoints/prod/", moved)
		refused(one+"runtime-endpoints/prod/", with(moved, "description", "another"))
	})

	It("says which member is too large", func(ctx context.Context) {
		d, namespace, token := openDoor(controlled), newNamespace(ctx), id()
		create := func(name, value string) answer {
			body, values := echoing("large"), map[string]string{}
			body["clientToken"] = token
			for i := range 50 {
				values[fmt.Sprint(strings.Repeat(name, 98), i)] = strings.Repeat(value, 5000)
			}
			body["environmentVariables"], body["description"] = values, strings.Repeat("<", 4096)
			return fetch(asked(ctx, d, namespace, http.MethodPut, "/runtimes/", body))
		}
		a := create("A", "\u0001")
		Expect(a.code).To(Equal(http.StatusRequestEntityTooLarge), a.body)
		a = create("<", "<") // six bytes each where they are stored
		Expect(a.code).To(Equal(http.StatusBadRequest), a.body)
		Expect(a.failed.FieldList).To(ContainElement(HaveField("Name", "environmentVariables")))
		Eventually(func() int { // a slow operator has it be asked for again
			a = create("A", "$")
			return a.code
		}).Should(Equal(http.StatusAccepted), func() string { return a.body })
	})
})
