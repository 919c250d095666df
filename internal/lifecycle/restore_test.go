package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestRestore: the next operator goes on with what the last one reported.
func TestRestore(t *testing.T) {
	when := func(seconds float64) *metav1.Time { return &metav1.Time{Time: at(seconds)} }
	healthy := v1alpha1.AgentSessionStatus{PingStatus: string(contract.Healthy), PingStatusSince: when(100), HealthyAt: when(10)}
	with := func(change func(*v1alpha1.AgentSessionStatus)) *v1alpha1.AgentSessionStatus {
		status := healthy
		change(&status)
		return &status
	}
	says := func(reason string) *v1alpha1.AgentSessionStatus {
		return with(func(s *v1alpha1.AgentSessionStatus) {
			s.Conditions = []metav1.Condition{{Type: "Another", Reason: "Else"}, {Type: v1alpha1.ConditionPingContract, Reason: reason}}
		})
	}
	base := lifecycle.Pulse{Status: contract.Healthy, Since: at(100), HealthyAt: at(10), Restored: true}
	but := func(change func(*lifecycle.Pulse)) lifecycle.Pulse {
		pulse := base
		change(&pulse)
		return pulse
	}
	for name, row := range map[string]struct {
		status *v1alpha1.AgentSessionStatus
		seen   time.Time
		want   lifecycle.Pulse
	}{
		"never healthy": {with(func(s *v1alpha1.AgentSessionStatus) { s.HealthyAt = nil }), at(150), lifecycle.Pulse{}},
		"healthy":       {&healthy, at(150), but(func(p *lifecycle.Pulse) { p.AnsweredAt = at(150) })},
		"busy": {
			with(func(s *v1alpha1.AgentSessionStatus) { s.PingStatus = string(contract.HealthyBusy) }), at(150),
			but(func(p *lifecycle.Pulse) { p.Status, p.AnsweredAt = contract.HealthyBusy, at(150) }),
		},
		"nobody knows until when":  {&healthy, time.Time{}, base},
		"seen before the status":   {&healthy, at(99), base},
		"idle later than that":     {with(func(s *v1alpha1.AgentSessionStatus) { s.IdleSince = when(130) }), time.Time{}, but(func(p *lifecycle.Pulse) { p.Unseen.Total = 30 * time.Second })},
		"idle since before":        {with(func(s *v1alpha1.AgentSessionStatus) { s.IdleSince = when(90) }), time.Time{}, base},
		"without a time of status": {with(func(s *v1alpha1.AgentSessionStatus) { s.PingStatusSince = nil }), time.Time{}, but(func(p *lifecycle.Pulse) { p.Since = time.Time{} })},
		"with one connection": {
			with(func(s *v1alpha1.AgentSessionStatus) { s.Pod = &v1alpha1.PodStatus{OneConnection: true} }),
			time.Time{},
			but(func(p *lifecycle.Pulse) { p.Connections = lifecycle.ConnectionsOne }),
		},
		"with several":       {with(func(s *v1alpha1.AgentSessionStatus) { s.Pod = &v1alpha1.PodStatus{} }), time.Time{}, base},
		"with a finding":     {says(v1alpha1.ReasonPingTooSlow), time.Time{}, but(func(p *lifecycle.Pulse) { p.Finding = v1alpha1.ReasonPingTooSlow })},
		"which is not known": {says(v1alpha1.ReasonPingUnknown), time.Time{}, base},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(lifecycle.Restore(row.status, row.seen)).To(Equal(row.want))
		})
	}
}
