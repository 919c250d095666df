package lifecycle_test

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestSessionLabels: a call's session has its runtime's labels, but for those by which tools
// know what they have made, or would delete.
func TestSessionLabels(t *testing.T) {
	g := NewWithT(t)
	runtime := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "echo", Labels: map[string]string{
		"shard": "a", "example.com/team": "x", "notk8s.io/a": "y", "kubernetes.io": "a key without a domain",
		"app.kubernetes.io/instance": "argo", "kubernetes.io/x": "", "helm.sh/chart": "c", "toolkit.k8s.io/x": "",
		"runtime.agentsession.dev/runtime": "another", "runtime.agentsession.dev/shared": "",
	}}}
	g.Expect(lifecycle.SessionLabels(runtime)).To(Equal(map[string]string{
		"shard": "a", "example.com/team": "x", "notk8s.io/a": "y", "kubernetes.io": "a key without a domain",
		v1alpha1.LabelRuntime: "echo",
	}))
	g.Expect(runtime.Labels).To(HaveLen(10), "the cache's object is as it was")
	g.Expect(lifecycle.SessionLabels(&v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "plain"}})).To(Equal(map[string]string{v1alpha1.LabelRuntime: "plain"}))
}
