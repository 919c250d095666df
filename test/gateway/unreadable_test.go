package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// boundPorts has the schema of sessions or runtimes take the ports that another says.
func boundPorts(ctx context.Context, resource, ports string) {
	GinkgoHelper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	crd.SetName(resource + ".runtime.agentsession.dev")
	const port = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/template/properties/spec/properties/containers/items/properties/ports/items/properties/containerPort"
	patch := fmt.Sprintf(`[{"op": "replace", "path": %q, "value": %s}]`, port, ports)
	Expect(api.Patch(ctx, crd, client.RawPatch(types.JSONPatchType, []byte(patch)))).To(Succeed())
}

var _ = Describe("Objects that no typed client can read", func() {
	It("disturb no call of others", func(ctx context.Context) {
		namespace, before := newNamespace(ctx), openDoor(controlled)
		fine := newRuntime(ctx, namespace)
		for kind, resource := range map[string]string{"AgentSession": "agentsessions", "AgentRuntime": "agentruntimes"} {
			By("an older schema, which did not bound the ports of an " + kind)
			boundPorts(ctx, resource, `{"type": "integer"}`)
			DeferCleanup(boundPorts, resource, `{"type": "integer", "format": "int32", "minimum": -2147483647, "maximum": 2147483647}`)
			odd := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"name": "agent", "image": "agent", "ports": []any{map[string]any{"containerPort": int64(3_000_000_000)}}}},
			}}}}}
			odd.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
			odd.SetNamespace(namespace)
			odd.SetName("odd")
			Eventually(func() error { return api.Create(ctx, odd) }).Should(Succeed())
			DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, odd)).To(Succeed()) })
		}
		odd := &v1alpha1.AgentRuntime{}
		Eventually(func() string {
			Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "odd"}, odd)).To(Succeed())
			return odd.Status.AgentRuntimeArn
		}).ShouldNot(BeEmpty())
		Expect(odd.Unreadable).To(ContainSubstring("int32"))

		for _, d := range []*door{before, openDoor(controlled)} {
			session := id()
			Expect(d.invoke(ctx, fine, session, ask{}).code).To(Equal(http.StatusOK))
			Expect(d.stop(ctx, fine, session, "").code).To(Equal(http.StatusOK))
			a := d.invoke(ctx, odd, id(), ask{})
			Expect(a.code).To(Equal(http.StatusFailedDependency), a.body)
			Eventually(func() int { // a cache shows them when it has seen them
				list := fetch(asked(ctx, d, namespace, http.MethodPost, "/runtimes/", nil))
				Expect(list.code).To(Equal(http.StatusOK), list.body)
				return strings.Count(list.body, "agentRuntimeArn")
			}).Should(Equal(2))
		}
	})
})
