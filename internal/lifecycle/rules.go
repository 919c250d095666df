package lifecycle

import (
	"fmt"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// due is what a rule says of a compute that is there: the stop that it
// foresees, or none.
type due struct {
	Stop
	// message makes the message of a stop that has come; nil if it has one. Most looks need none.
	message func(time.Time, Facts) string
	// unproven is a stop whose moment may have come and for which the evidence is
	// missing: it waits for a fresh answer.
	unproven bool
	// hidden is a stop that is not shown as the next one.
	hidden bool
}

// come is the stop of a moment that has come.
func (d due) come(now time.Time, f Facts) Stop {
	if d.message != nil {
		d.Message = d.message(now, f)
	}
	return d.Stop
}

// rules are asked in this order, and the first whose moment has come decides.
// The order is the specification: what somebody did comes before what a clock
// says, and what is certain before what is concluded.
var rules = []func(now time.Time, f Facts) due{
	stopRequested, // spec.desiredState or spec.activation asks for it
	agentExited,   // the agent's process has ended
	startFailed,   // the agent never ran, and never will
	computeLost,   // somebody else took the pod away
	maxLifetime,   // nothing extends it
	startTimeout,  // the agent has not started, or is not healthy
	nodeAbsent,    // the node never took the pod
	nodeSilent,    // pings failed, and nobody hears of the node either
	unhealthy,     // pings failed in a row
	stuckBusy,     // busy for too long, and the spec says stop
	idleTimeout,   // without work for too long
}

func stopRequested(now time.Time, f Facts) due {
	switch {
	case f.Deleted:
		return certain(now, v1alpha1.StopRequested, "The session is being deleted")
	case f.Desired == v1alpha1.DesiredStopped:
		return certain(now, v1alpha1.StopRequested, "spec.desiredState is Stopped")
	case f.Requested > f.Activation:
		return certain(now, v1alpha1.StopRequested, fmt.Sprintf("spec.activation asks for activation %d", f.Requested))
	}
	return due{}
}

func agentExited(now time.Time, f Facts) due {
	if f.Compute.Phase != ComputeExited {
		return due{}
	}
	return certain(now, v1alpha1.StopAgentExited, f.Compute.Detail)
}

// startFailed is for a pod whose agent never ran. If it had answered, its node has
// forgotten that it ran: the pod is lost.
func startFailed(now time.Time, f Facts) due {
	switch {
	case f.Compute.Phase != ComputeFailed:
		return due{}
	case !f.starting():
		return certain(now, v1alpha1.StopComputeLost, f.Compute.Detail)
	}
	return certain(now, v1alpha1.StopStartFailed, f.Compute.Detail)
}

func computeLost(now time.Time, f Facts) due {
	if f.Compute.Phase != ComputeLost && f.Compute.Phase != ComputeLeaving {
		return due{}
	}
	return certain(now, v1alpha1.StopComputeLost, f.Compute.Detail)
}

func maxLifetime(_ time.Time, f Facts) due {
	return due{Stop: Stop{At: f.Compute.CreatedAt.Add(f.Policy.Max), Reason: v1alpha1.StopMaxLifetime}, message: livedLong}
}

func livedLong(_ time.Time, f Facts) string {
	message := fmt.Sprintf("The compute has lived for %s; nothing extends its maximal lifetime", f.Policy.Max)
	if f.busy() {
		message += ", not even an agent that is HealthyBusy"
	}
	return message
}

// nodeAbsent is for a start on a node that died before its kubelet took the pod. Nothing
// marks such a pod until it is evicted, 300 s after its node was found dead.
func nodeAbsent(_ time.Time, f Facts) due {
	since := f.Compute.UnacknowledgedSince
	if since.IsZero() || !f.starting() {
		return due{}
	}
	return due{Stop: Stop{At: since.Add(acknowledgedWithin), Reason: v1alpha1.StopComputeLost}, message: notTaken, hidden: true}
}

func notTaken(_ time.Time, f Facts) string {
	return fmt.Sprintf("%s was assigned to its node, and for %s the node's kubelet has said nothing of it: the node may be dead", f.Compute.Where, acknowledgedWithin)
}

// nodeSilent is for pings that fail while the API server hears nothing of the agent's
// node. That is no fault of ours, and no invocation is at work there: neither an outage
// nor a lease holds it back. Where nobody asks here, the node's process does, and is as
// silent. Of an agent that was never healthy it says nothing: its compute was lost.
func nodeSilent(_ time.Time, f Facts) due {
	since, p, reason := f.Compute.SilentSince, f.Pulse, v1alpha1.StopUnhealthy
	if f.starting() {
		reason = v1alpha1.StopComputeLost
	}
	threshold := min(f.Policy.FailureThreshold, DefaultFailureThreshold)
	switch {
	case since.IsZero():
		return due{}
	case f.Blind:
		return due{Stop: Stop{since, reason, "The API server hears nothing of the node that the agent is asked on"}, hidden: true}
	case p.Failures < threshold:
		return due{}
	}
	message := fmt.Sprintf("At least %d pings in a row failed, and the API server hears nothing of the agent's node: %s", threshold, p.LastFailure.Detail)
	return due{Stop: Stop{latest(since, p.FailingSince.Add(time.Duration(threshold)*f.Policy.Period)), reason, message}, hidden: true}
}

// unhealthy: an agent that answers errors is ill. One that does not answer may be at
// work: that counts from the end of the last invocation, and after HealthyBusy from
// when AgentCore would lose its patience. It also counts from the end of an outage: as
// long as most of all agents were silent at once, the fault was ours.
func unhealthy(_ time.Time, f Facts) due {
	p, threshold, patience := f.Pulse, f.Policy.FailureThreshold, f.Policy.patience()
	if f.starting() || p.Failures < threshold {
		return due{}
	}
	at := latest(p.FailingSince, f.Outage, f.Traffic.EndedAt, f.Traffic.InUseUntil).Add(patience)
	if f.busy() {
		at = latest(at, p.FailingSince.Add(f.Policy.BusySilence))
	}
	if ill := p.ErringSince.Add(patience); p.Errors >= threshold && ill.Before(at) {
		at = ill
	}
	message := fmt.Sprintf("At least %d pings in a row failed: %s", threshold, p.LastFailure.Detail)
	return due{Stop: Stop{at, v1alpha1.StopUnhealthy, message}, hidden: true}
}

// spared is an agent that would be stopped as unhealthy, were it not for an outage.
func (f Facts) spared(now time.Time) bool {
	alone := f
	alone.Outage = time.Time{}
	due := unhealthy(now, alone)
	return !due.At.IsZero() && !now.Before(due.At)
}

// stuckBusy stops on a fresh answer only: while nobody looked, the agent may
// have completed its task. For a task that was forgotten it stops only if the
// agent told of it when it was last asked.
func stuckBusy(now time.Time, f Facts) due {
	at := f.stuckAt()
	if at.IsZero() || f.Policy.StuckAction != v1alpha1.StuckStop {
		return due{}
	}
	if stuck := f.forgotten(now); stuck != (Stuck{}) && f.Work.Answered() {
		at = stuck.At
	}
	return due{Stop: Stop{At: at, Reason: v1alpha1.StopStuckBusy}, message: whyStuck, unproven: !f.Pulse.Fresh(now, f.Policy.Period)}
}

func whyStuck(now time.Time, f Facts) string {
	message := f.busyTooLong(now)
	if stuck := f.forgotten(now); stuck != (Stuck{}) && f.Work.Answered() {
		message = stuck.Message
	}
	return message + ", and spec.stuckDetection.action is Stop"
}

// idleTimeout stops on a fresh and good answer only: a failed ping is never
// idleness.
func idleTimeout(now time.Time, f Facts) due {
	since := f.idleSince(now)
	if since.IsZero() {
		return due{}
	}
	at := since.Add(f.Policy.Idle)
	return due{
		Stop:     Stop{At: f.announced(now, at), Reason: v1alpha1.StopIdleTimeout},
		message:  noWork,
		unproven: !f.Pulse.Fresh(now, f.Policy.Period),
		hidden:   f.advancing() && now.Before(at), // by a clock that is late it may be due all the same
	}
}

func noWork(_ time.Time, f Facts) string {
	message := fmt.Sprintf("No work for %s: the agent answers %s and no invocation is in flight", f.Policy.Idle, f.Pulse.Status)
	switch {
	case f.Policy.Check == v1alpha1.PingCheckMCP:
		message = fmt.Sprintf("No work for %s: no invocation is in flight, and MCP's ping tells of no other work", f.Policy.Idle)
	case f.untold():
		message += ", and without a usable time_of_last_update its status does not count (spec.ping.idleClock is AgentCoreStrict)"
	}
	return message
}

// announced is when an idle stop that is due at a moment may come. Gateways let
// calls through by the stop that they have read: one that comes sooner, as the
// timeout was lowered or a stamp says that the agent has long been idle, stands in
// status for notice periods before, in which they say what is in flight.
func (f Facts) announced(now, at time.Time) time.Time {
	soonest := ceil(now.Add(notice * f.Policy.Period)) // status holds whole seconds
	if !f.Announced.IsZero() && f.Announced.Before(soonest) {
		soonest = f.Announced
	}
	return latest(at, soonest)
}

// advancing: by the clock that the spec chooses the session never goes idle.
func (f Facts) advancing() bool {
	return f.Pulse.Advancing() && f.Policy.IdleClock != v1alpha1.IdleClockObserved
}

func certain(now time.Time, reason v1alpha1.StopReason, message string) due {
	return due{Stop: Stop{now, reason, message}}
}
