package lifecycle

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Restore makes the pulse of an agent that another operator watched until seen, which is
// zero if nobody knows. Unseen time up to the last report is in idleSince. Of an agent
// that was never healthy nothing is known.
func Restore(status *v1alpha1.AgentSessionStatus, seen time.Time) Pulse {
	if status.HealthyAt == nil {
		return Pulse{}
	}
	pulse := Pulse{Status: contract.Status(status.PingStatus), HealthyAt: status.HealthyAt.Time, Restored: true}
	if since := status.PingStatusSince; since != nil {
		pulse.Since = since.Time
	}
	if idle := status.IdleSince; idle != nil && idle.After(pulse.Since) {
		pulse.Unseen.Total = idle.Sub(pulse.Since)
	}
	if pod := status.Pod; pod != nil && pod.OneConnection {
		pulse.Connections = ConnectionsOne
	}
	if seen.After(pulse.Since) {
		pulse.AnsweredAt = seen
	}
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionPingContract && c.Reason != v1alpha1.ReasonPingUnknown {
			pulse.Finding = Finding(c.Reason)
		}
	}
	return pulse
}
