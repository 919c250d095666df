package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
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

// TestWhereAnAgentMustListen: on loopback it is told a port, and may listen there only.
func TestWhereAnAgentMustListen(t *testing.T) {
	g := NewWithT(t)
	message := func(loopback bool) string {
		now := at(60)
		return lifecycle.Decide(now, living(now, failing(4, created), func(f *lifecycle.Facts) {
			f.State, f.Pulse.HealthyAt, f.Compute.StartedAt, f.Compute.Loopback = v1alpha1.StateStarting, time.Time{}, created, loopback
		})).Wait.Message
	}
	g.Expect(message(false)).To(HaveSuffix("connection refused (it must listen on the port that is asked, on all addresses and not on 127.0.0.1 only)"))
	g.Expect(message(true)).To(HaveSuffix("connection refused (it must listen at the port that PORT in its environment names, which is another for each session; in a container at the contract's port, on all addresses of it)"))
}
