package lifecycle_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestAgentContainer: whoever injects a sidecar may put it first.
func TestAgentContainer(t *testing.T) {
	g := NewWithT(t)
	sidecar := corev1.Container{Name: "sidecar", Env: []corev1.EnvVar{{Name: "LEVEL"}}}
	agent := corev1.Container{Name: "agent", Env: []corev1.EnvVar{{Name: "LEVEL"}, {Name: contract.EnvToken}}}
	of := func(containers ...corev1.Container) string {
		return lifecycle.AgentContainer(&corev1.Pod{Spec: corev1.PodSpec{Containers: containers}}).Name
	}
	g.Expect(of(sidecar, agent)).To(Equal("agent"))
	g.Expect(of(agent, sidecar)).To(Equal("agent"))
	g.Expect(of(sidecar, corev1.Container{Name: "bare"})).To(Equal("sidecar"), "nobody gave a token")
}
