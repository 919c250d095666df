package gateway

import (
	"context"
	"errors"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
)

func TestWhoMayInvokeIsToldThatHeMayNoMore(t *testing.T) {
	g := NewWithT(t)
	has := authn.ToInvoke
	caller := authn.Caller{May: func(_ context.Context, agent *v1alpha1.AgentRuntime, right authn.Right) (bool, error) {
		return agent.Namespace == "a" && right == has, nil
	}}
	agent := func(namespace, name string) *v1alpha1.AgentRuntime {
		return &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	code := func(right authn.Right, found ...v1alpha1.AgentRuntime) int {
		_, err := permitted(t.Context(), caller, right, found)
		if f, ok := errors.AsType[*failure](err); ok {
			return f.Code
		}
		return 0
	}
	g.Expect(code(authn.ToInvoke, *agent("a", "one"))).To(Equal(0))
	g.Expect(code(authn.ToCommand, *agent("a", "one"))).To(Equal(http.StatusForbidden))
	g.Expect(code(authn.ToCommand, *agent("b", "one"))).To(Equal(http.StatusNotFound), "it is hidden from him")
	g.Expect(code(authn.ToCommand, *agent("b", "one"), *agent("a", "one"))).To(Equal(http.StatusForbidden))
	g.Expect(code(authn.ToCommand)).To(Equal(http.StatusNotFound))
	has = authn.ToCommand
	g.Expect(code(authn.ToCommand, *agent("a", "one"))).To(Equal(0))
	g.Expect(code(authn.ToInvoke, *agent("a", "one"))).To(Equal(http.StatusNotFound))
}
