package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestWhoAsks(t *testing.T) {
	healthy := new(metav1.NewTime(created))
	for name, row := range map[string]struct {
		change  func(*v1alpha1.AgentSessionStatus, *corev1.Pod)
		started time.Time
		next    v1alpha1.SessionState
		asks    bool // the node's process
		reports bool
	}{
		"idle":                      {func(*v1alpha1.AgentSessionStatus, *corev1.Pod) {}, created, v1alpha1.StateActive, true, true},
		"before its container runs": {func(s *v1alpha1.AgentSessionStatus, _ *corev1.Pod) { s.HealthyAt = nil }, time.Time{}, v1alpha1.StateStarting, false, false},
		"its container runs":        {func(s *v1alpha1.AgentSessionStatus, _ *corev1.Pod) { s.HealthyAt = nil }, created, v1alpha1.StateStarting, true, true},
		"it was healthy once":       {func(*v1alpha1.AgentSessionStatus, *corev1.Pod) {}, time.Time{}, v1alpha1.StateIdle, true, true},
		"the operator asks":         {func(s *v1alpha1.AgentSessionStatus, _ *corev1.Pod) { s.AskedBy = v1alpha1.AskedByOperator }, created, v1alpha1.StateIdle, false, true},
		"an older operator":         {func(s *v1alpha1.AgentSessionStatus, _ *corev1.Pod) { s.AskedBy = "" }, created, v1alpha1.StateIdle, true, true},
		"on another node":           {func(_ *v1alpha1.AgentSessionStatus, p *corev1.Pod) { p.Spec.NodeName = "b" }, created, v1alpha1.StateIdle, false, true},
		"its pod is ending":         {func(_ *v1alpha1.AgentSessionStatus, p *corev1.Pod) { p.DeletionTimestamp = healthy }, created, v1alpha1.StateIdle, false, true},
		"not reported yet":          {func(s *v1alpha1.AgentSessionStatus, _ *corev1.Pod) { s.Pod = nil }, created, v1alpha1.StateIdle, false, false},
		"told to stop":              {func(s *v1alpha1.AgentSessionStatus, _ *corev1.Pod) { s.State = v1alpha1.StateStopping }, created, v1alpha1.StateStopped, false, false},
		"its stop is due":           {func(*v1alpha1.AgentSessionStatus, *corev1.Pod) {}, created, v1alpha1.StateStopping, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			status := &v1alpha1.AgentSessionStatus{State: v1alpha1.StateIdle, HealthyAt: healthy, AskedBy: v1alpha1.AskedByNode, Pod: &v1alpha1.PodStatus{Name: "a-1"}}
			pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "a"}}
			row.change(status, pod)
			g.Expect(lifecycle.NodeAsks("a", status, pod, row.started)).To(Equal(row.asks))
			g.Expect(lifecycle.NodeAsks("a", status, nil, row.started)).To(BeFalse(), "there is no pod")
			g.Expect(lifecycle.NodeReports(status, row.next, row.started)).To(Equal(row.reports))
		})
	}
}

// Each reason of a stop is either the operator's or who asks'.
func TestRestsOnPings(t *testing.T) {
	for reason, want := range map[v1alpha1.StopReason]bool{
		v1alpha1.StopRequested: false, v1alpha1.StopAgentExited: false, v1alpha1.StopStartFailed: false, v1alpha1.StopComputeLost: false, v1alpha1.StopMaxLifetime: false,
		v1alpha1.StopStartTimeout: true, v1alpha1.StopUnhealthy: true, v1alpha1.StopStuckBusy: true, v1alpha1.StopIdleTimeout: true,
	} {
		NewWithT(t).Expect(lifecycle.RestsOnPings(reason)).To(Equal(want), string(reason))
	}
}
