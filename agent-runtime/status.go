package agentruntime

import "github.com/agentsession/agentsession/agent-runtime/contract"

// Status is what the agent says of itself in its answer to a ping.
type Status = contract.Status

const (
	// Healthy agents wait for work: their session may be idle.
	Healthy = contract.Healthy
	// HealthyBusy agents keep their session beyond the idle timeout.
	HealthyBusy = contract.HealthyBusy
)

// GetCurrentPingStatus is what a ping would be answered with now: the forced
// status, else HealthyBusy if there are tasks, else Healthy.
func (a *App) GetCurrentPingStatus() Status { return a.board.ping().Status }

// ForcePingStatus makes pings answer s, whatever the tasks, until
// ClearForcedPingStatus. A forced HealthyBusy costs what a forgotten task
// costs; a forced Healthy lets tasks be cut off by the idle timeout. A status
// that the contract does not know is refused with a warning.
func (a *App) ForcePingStatus(s Status) {
	if !s.Valid() {
		a.log.Warn("Attempted to force an unknown ping status", "status", string(s))
		return
	}
	a.board.force(s)
	a.log.Info("Ping status forced", "status", string(s))
}

// ClearForcedPingStatus makes pings answer the automatic status again.
func (a *App) ClearForcedPingStatus() {
	a.board.force("")
	a.log.Info("Forced ping status cleared")
}
