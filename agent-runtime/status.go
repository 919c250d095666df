package agentruntime

import (
	"context"
	"net/http"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Status is what the agent says of itself in its answer to a ping.
type Status = contract.Status

const (
	// Healthy agents wait for work: their session may be idle.
	Healthy = contract.Healthy
	// HealthyBusy agents keep their session beyond the idle timeout.
	HealthyBusy = contract.HealthyBusy
)

// GetCurrentPingStatus is what a ping would be answered with now: the forced
// status, else that of the PingHandler, else HealthyBusy if there are tasks,
// else Healthy. Like a ping it asks the PingHandler, and therefore does not
// belong into one.
func (a *App) GetCurrentPingStatus() Status { return a.currentPing(context.Background()).Status }

func (a *App) currentPing(ctx context.Context) contract.Ping {
	if !a.board.isForced() {
		a.askPingHandler(ctx)
	}
	return a.board.ping()
}

func (a *App) servePing(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.currentPing(r.Context()).AppendJSON(nil)) // an asker that is gone asks again
}

// ForcePingStatus makes pings answer s, whatever the tasks and the
// PingHandler, until ClearForcedPingStatus. A forced HealthyBusy costs what a forgotten task
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

// ClearForcedPingStatus makes pings answer the status of the PingHandler, or
// the automatic one, again.
func (a *App) ClearForcedPingStatus() { a.clearForced(context.Background()) }

func (a *App) clearForced(ctx context.Context) {
	a.askPingHandler(ctx) // first, so that the status does not change twice
	a.board.force("")
	a.log.Info("Forced ping status cleared")
}
