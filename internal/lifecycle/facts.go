package lifecycle

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Facts are all that a decision rests on.
type Facts struct {
	// Policy is what the spec asks for.
	Policy Policy
	// Desired is spec.desiredState.
	Desired v1alpha1.DesiredState
	// Requested is spec.activation, 0 if absent.
	Requested int32
	// Deleted is a session that is being deleted: its compute goes.
	Deleted bool

	// State is what status says; empty for a new session.
	State v1alpha1.SessionState
	// Activation is the number of the current or the last compute.
	Activation int32
	// Created tells that the compute of Activation was created: status names
	// its pod.
	Created bool
	// LastStop is status.lastTermination; zero if there was none.
	LastStop Stop
	// GivenUp tells that LastStop ended a start that never had a pod, since desiredState
	// asked for it.
	GivenUp bool
	// StoppedAt is when the last compute was gone.
	StoppedAt time.Time
	// Announced is status.nextStop if that is an idle stop; else zero.
	Announced time.Time

	// Refusal says why the compute could not be had so far; empty if nothing does.
	Refusal string
	// Unmade says why the pod could not be made a moment ago, where that may come right
	// by itself; empty if it was not tried.
	Unmade string
	// UnmadeAfter is how long that try took.
	UnmadeAfter time.Duration
	// UnmadeUntil is status.nextStop of a start that has no pod; zero if it has none.
	UnmadeUntil time.Time
	// Occupied says which earlier pod of the session, that has not gone yet, has a
	// volume that the next one must not use beside it; empty if none has.
	Occupied string
	// Stored tells that the session has storage, or had it in an earlier activation.
	Stored bool
	// Ending is how many earlier pods have not gone yet, and do not count as lost.
	Ending int
	// Blind tells that nobody asks the agent here: its node's process does, if the node
	// is there.
	Blind bool
	// Compute is the pod of the activation.
	Compute Compute
	// Asked tells that the agent's container has started, and that somebody asks it.
	Asked bool
	// Pulse is what the pings told.
	Pulse Pulse
	// Traffic is what the gateway wrote.
	Traffic Traffic
	// Work is what the agent told of its tasks.
	Work Work
	// Outage is the last moment at which most of all agents failed at once.
	Outage time.Time
	// LeftOut is time by which the cluster's clock was set forward since the compute
	// was created, and that did not pass: the moments above have it in them.
	LeftOut time.Duration
}

// Compute is what is known of the pod of the current activation.
type Compute struct {
	Phase ComputePhase
	// CreatedAt is the pod's creation.
	CreatedAt time.Time
	// StartedAt is when the agent's container started, by the clock of its node;
	// zero before.
	StartedAt time.Time
	// Wait is what the pod waits for until then.
	Wait Wait
	// Detail says for people why the agent exited or never ran, or why the pod was
	// lost; and of one that is there why its agent is not asked.
	Detail string
	// Where names the pod and its node for people.
	Where string
	// Loopback tells that the pod's address is this machine's own: an agent is told where to
	// listen, and reached there.
	Loopback bool
	// GoneBy is when the grace of a pod that is leaving is over.
	GoneBy time.Time
	// SilentSince is since when the API server has heard nothing of the pod's node;
	// zero if it hears of it.
	SilentSince time.Time
	// UnacknowledgedSince is since when the pod has had a node whose kubelet has said
	// nothing of the pod; zero if it has no node, or the kubelet has said something.
	UnacknowledgedSince time.Time
	// Volume names a volume of the pod that no other may use beside it; empty if it
	// has none.
	Volume string
	// Unbound tells that the pod has no node, and the session's storage no volume.
	Unbound bool
}

// Wait is what keeps a session from starting.
type Wait struct {
	// Reason is one of the condition Ready; empty for what every start goes through.
	Reason string
	// Container is the one that is waited for, if it is one.
	Container string
	// Message says it for people.
	Message string
}

// ComputePhase is how far a compute is.
type ComputePhase int

const (
	// ComputeAbsent is no pod.
	ComputeAbsent ComputePhase = iota
	// ComputePresent is a pod that nobody is taking away.
	ComputePresent
	// ComputeExited is a pod whose agent has ended.
	ComputeExited
	// ComputeLost is a pod that was evicted, or that lost its node.
	ComputeLost
	// ComputeLeaving is a pod with a deletion timestamp.
	ComputeLeaving
	// ComputeFailed is a pod whose agent never ran, and never will.
	ComputeFailed
)

// Traffic is what is known of invocations.
type Traffic struct {
	// EndedAt is when the last known invocation ended.
	EndedAt time.Time
	// InUseUntil is the end of the lease of an invocation in flight.
	InUseUntil time.Time
}

// Stop is one stop, due or done.
type Stop struct {
	// At is the moment at which it is due.
	At      time.Time
	Reason  v1alpha1.StopReason
	Message string
}

// starting: there is a compute and it has not been healthy yet.
func (f Facts) starting() bool { return f.Pulse.HealthyAt.IsZero() }

// inUse: an invocation is in flight.
func (f Facts) inUse(now time.Time) bool { return now.Before(f.Traffic.InUseUntil) }

// LeasedAt is when a gateway took the lease that stands.
func (f Facts) LeasedAt() time.Time {
	return f.Traffic.InUseUntil.Add(-f.Policy.Lease)
}

// busy: the last good answer was HealthyBusy, and it counts. By
// AgentCoreStrict it counts only with a usable time_of_last_update.
func (f Facts) busy() bool {
	return f.Pulse.Status == contract.HealthyBusy && !f.untold()
}

// untold: AgentCoreStrict, and the agent does not say when its status changed.
// After a restart its stamp is not known yet, and the state that was reported
// tells whether its status counted. MCP has no stamps to miss.
func (f Facts) untold() bool {
	switch {
	case f.Policy.Check == v1alpha1.PingCheckMCP:
		return false
	case f.Policy.IdleClock != v1alpha1.IdleClockAgentCoreStrict:
		return false
	case f.Pulse.Restored:
		return f.State != v1alpha1.StateActive
	}
	return f.Pulse.Stamp.IsZero()
}

// changedAt is the moment of the last change of status by the idle clock that
// the spec chooses; zero if by that clock there was none. It never moves back: what
// the agent once stamped stands while its stamps are of no use. Where only the
// operator's own eyes tell that the status stayed, time in which it could not
// see moves that moment, and the end of the last invocation too.
func (f Facts) changedAt() time.Time {
	p := f.Pulse
	seen := latest(p.seenSince(), p.Unseen.past(f.Traffic.EndedAt), p.Unseen.past(f.Traffic.InUseUntil))
	switch {
	case f.Policy.IdleClock == v1alpha1.IdleClockObserved:
		return seen
	case !p.Stamp.IsZero():
		return p.Stamp
	case f.untold():
		return p.LastStamp
	}
	return latest(p.LastStamp, seen)
}

// idleSince is the moment from which the idle timeout counts: the latest of
// first healthy, the end of the last invocation, and the last change of
// status. Zero while the session has work or has not started.
func (f Facts) idleSince(now time.Time) time.Time {
	if f.starting() || f.inUse(now) || f.busy() {
		return time.Time{}
	}
	return latest(f.Pulse.HealthyAt, f.Traffic.EndedAt, f.Traffic.InUseUntil, f.changedAt())
}

func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
