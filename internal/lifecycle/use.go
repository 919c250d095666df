package lifecycle

import (
	"slices"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Phase is what a session is to those who want to use it.
type Phase string

const (
	// PhaseReady sessions have a compute that answers.
	PhaseReady Phase = "Ready"
	// PhaseStarting sessions will have one.
	PhaseStarting Phase = "Starting"
	// PhaseStopping sessions have one that is being taken away.
	PhaseStopping Phase = "Stopping"
	// PhaseStopped sessions have none until somebody wakes them.
	PhaseStopped Phase = "Stopped"
)

// PhaseOf reads what a session is, and what was asked of it and not yet done.
func PhaseOf(session *v1alpha1.AgentSession) Phase {
	spec, status := &session.Spec, &session.Status
	switch {
	case session.DeletionTimestamp != nil:
		return PhaseStopping
	case Living(status.State):
		return livingPhase(spec, status)
	case spec.DesiredState != v1alpha1.DesiredStopped && (requested(spec, status) || status.State == "" || StopAsked(status)):
		return PhaseStarting // which does not wait for the last pod to go
	case status.State == v1alpha1.StateStopping:
		return PhaseStopping
	}
	return PhaseStopped
}

func livingPhase(spec *v1alpha1.AgentSessionSpec, status *v1alpha1.AgentSessionStatus) Phase {
	switch {
	case spec.DesiredState == v1alpha1.DesiredStopped:
		return PhaseStopping
	case status.State == v1alpha1.StateStarting:
		return PhaseStarting
	case requested(spec, status) || status.Pod == nil:
		return PhaseStopping // a higher activation replaces the compute
	case status.Pod.IP == "":
		return PhaseStarting // its address was refused
	}
	return PhaseReady
}

// requested: a higher activation is asked for than there was.
func requested(spec *v1alpha1.AgentSessionSpec, status *v1alpha1.AgentSessionStatus) bool {
	return max(spec.Activation, 1) > status.Activation
}

// Dropped tells whether a session that is stopping may be woken as one that has
// stopped: its compute was told to go, and is nobody's to ask or to call any more.
func Dropped(session *v1alpha1.AgentSession) bool {
	return PhaseOf(session) == PhaseStopping && session.Status.State == v1alpha1.StateStopping && session.DeletionTimestamp == nil
}

// Missed tells whether a session that has stopped, or is stopping and may be woken, was
// there and idled out, or lost its compute to the cluster. To a call that had it started, and
// that was not let through in time, that is no start that failed: the session may be woken
// once more.
func Missed(session *v1alpha1.AgentSession) bool {
	last := session.Status.LastTermination
	return (PhaseOf(session) == PhaseStopped || Dropped(session)) && last != nil &&
		(last.Reason == v1alpha1.StopIdleTimeout || last.Reason == v1alpha1.StopComputeLost)
}

// Refuses tells whether a reason of the condition Ready says what keeps a compute
// from being had or asked, and not only which state the session is in.
func Refuses(reason string) bool { return Hinders(reason) && reason != v1alpha1.ReasonPodNotMade }

// Hindrances are the reasons of Refuses, and one that may also pass by itself, within the
// limit of the start.
var Hindrances = []string{
	v1alpha1.ReasonPodRefused, v1alpha1.ReasonPodNameTaken, v1alpha1.ReasonAddressRefused,
	v1alpha1.ReasonStorageRefused, v1alpha1.ReasonStorageNameTaken,
	v1alpha1.ReasonRuntimeNotFound, v1alpha1.ReasonUnreadable, v1alpha1.ReasonPodNotMade,
}

// Hinders tells whether a reason is one of Hindrances.
func Hinders(reason string) bool { return slices.Contains(Hindrances, reason) }

// Refusal is such a reason that a session has; empty if nothing keeps it.
func Refusal(session *v1alpha1.AgentSession) string {
	if reason := readyReason(&session.Status); Refuses(reason) {
		return reason
	}
	return ""
}

// HasCompute tells whether a session counts among those that its runtime may have.
// One that cannot start has none and will have none for now.
func HasCompute(session *v1alpha1.AgentSession) bool {
	switch PhaseOf(session) {
	case PhaseStopped:
		return false
	case PhaseStarting:
		return session.Status.Pod != nil || Refusal(session) == ""
	case PhaseReady, PhaseStopping:
	}
	return true
}

// StopAsked tells whether desiredState or activation had asked for the last stop, so
// that taking that back wakes the session: also for that of a start that never had a
// pod, which was given up.
func StopAsked(status *v1alpha1.AgentSessionStatus) bool {
	last := status.LastTermination
	return last != nil && last.Reason == v1alpha1.StopRequested || GivenUp(status)
}

// GivenUp tells whether the last activation never had a pod, and was ended by a request
// and by no limit.
func GivenUp(status *v1alpha1.AgentSessionStatus) bool {
	return status.LastTermination != nil && status.LastTermination.DueAt == nil && len(status.History) > 0 && status.History[0].Activation == status.Activation && status.History[0].From == nil
}

// Living tells whether a session in a state has a compute that nobody is taking
// away, or is about to.
func Living(state v1alpha1.SessionState) bool {
	return state == v1alpha1.StateStarting || state == v1alpha1.StateActive || state == v1alpha1.StateIdle
}

// Ended is why a compute of a session, that of an activation, is told to end, or has
// ended; empty while it may serve what it was asked. One that somebody else takes away
// has its grace for that, whether the session was woken meanwhile or not.
func Ended(session *v1alpha1.AgentSession, activation int32, pod *v1alpha1.PodStatus) v1alpha1.StopReason {
	status, last := &session.Status, v1alpha1.Termination{Reason: v1alpha1.StopComputeLost}
	if status.LastTermination != nil {
		last = *status.LastTermination
	}
	taken := last.Reason == v1alpha1.StopComputeLost && last.Activation == activation && status.State != v1alpha1.StateStopped
	switch {
	case taken && session.DeletionTimestamp == nil:
	case !taken && (status.Pod == nil || status.Pod.UID != pod.UID || status.State == v1alpha1.StateStopping):
		return last.Reason
	case session.DeletionTimestamp != nil, PhaseOf(session) == PhaseStopping:
		return v1alpha1.StopRequested
	}
	return ""
}

// Wake is the activation that wakes a stopped session. As many as ask for it at
// once ask for the same.
func Wake(session *v1alpha1.AgentSession) int32 {
	return max(session.Status.Activation, 0) + 1
}

// Use is what one gateway knows of a session's invocations, and what of it is
// worth a write: never one for each of them, at most four in an idle timeout, or in
// AgentCore's of 15 minutes if that is shorter.
type Use struct {
	// InFlight is how many there are.
	InFlight int
	// BeganAt is when the first of those in flight began, or of those that they
	// followed so closely that the agent may have had no time for a ping.
	BeganAt time.Time
	// HeardAt is when the agent last answered one.
	HeardAt time.Time
	// EndedAt is when there was last none in flight.
	EndedAt time.Time
	// PaidAt is when the writes so far are paid for: each costs half of a lease.
	PaidAt time.Time
	// Held is the lease that the gateway took last; zero if it gave it back, or if
	// that of another gateway was longer.
	Held time.Time
	// Alone is an invocation that wanted the session for itself: that it has ended
	// is told at once, since others may wait for that.
	Alone bool
}

// Seen is what a gateway reads of a session whose compute lives.
type Seen struct {
	// Traffic is what gateways have written.
	Traffic Traffic
	// IdleAt is when the compute will be stopped for idleness as far as its
	// status says; zero if it is not idle.
	IdleAt time.Time
	// Idle is the idle timeout.
	Idle time.Duration
	// Lease is how long a lease lasts.
	Lease time.Duration
	// Patience is how long the agent may leave pings unanswered while no invocation
	// is known to be in flight.
	Patience time.Duration
}

// SeenOf reads a session.
func SeenOf(session *v1alpha1.AgentSession) Seen {
	status := &session.Status
	scale := max(status.TimeScale, 1)
	spec := Govern(session.Spec, status.Runtime)
	seen := Seen{
		Idle:     LimitsOf(status.LifecycleConfiguration).Idle / time.Duration(scale),
		Patience: PolicyOf(&spec, int(scale)).patience(),
	}
	seen.Lease = leaseOf(seen.Idle, int(scale))
	if t := status.Traffic; t != nil {
		if t.LastInvocationAt != nil {
			seen.Traffic.EndedAt = t.LastInvocationAt.Time
		}
		if t.InUseUntil != nil {
			seen.Traffic.InUseUntil = t.InUseUntil.Time
		}
	}
	if next := status.NextStop; next != nil && next.Reason == v1alpha1.StopIdleTimeout {
		// What gateways wrote counts, also before the operator has said so.
		seen.IdleAt = latest(next.At.Time, latest(seen.Traffic.EndedAt, seen.Traffic.InUseUntil).Add(seen.Idle))
	}
	return seen
}

// InUse tells whether an invocation is known to be in flight.
func (s Seen) InUse(now time.Time) bool { return now.Before(s.Traffic.InUseUntil) }

// Free tells whether a session could serve an invocation at once and for itself,
// as far as it is known: an agent without work, and no invocation in flight.
func Free(session *v1alpha1.AgentSession, now time.Time) bool {
	return PhaseOf(session) == PhaseReady && session.Status.PingStatus == string(contract.Healthy) && !SeenOf(session).InUse(now)
}

// margin is how long before an idle stop that may come all must be written.
func (s Seen) margin() time.Duration { return s.Idle / 4 }

// lull is how long an invocation lasts before it is told, and how long a pause is
// in which an agent that answers would have answered a ping. Two gateways that know
// nothing of each other's calls may need it twice before one of them tells: the last
// third of the patience is for the write.
func (s Seen) lull() time.Duration { return min(s.Lease/4, s.Patience/3) }

// Begin is one invocation more. One that follows closely upon another that the agent
// answered is a part of the same work; callers try a dead agent again and again too.
func (u Use) Begin(now time.Time, s Seen) Use {
	if u.InFlight == 0 && now.Sub(u.HeardAt) > s.lull() {
		u.BeganAt = now
	}
	u.InFlight++
	return u
}

// End is one less.
func (u Use) End(now time.Time) Use {
	if u.InFlight--; u.InFlight == 0 {
		u.EndedAt = now
	}
	return u
}

// Pay is after a write.
func (u Use) Pay(now time.Time, s Seen) Use {
	u.PaidAt = latest(u.PaidAt, now).Add(s.Lease / 2)
	return u
}

// MustClaim tells whether an invocation that begins now must be written before
// it is let through: the idle stop is near, and whoever writes first wins.
func (s Seen) MustClaim(now time.Time) bool {
	return !s.IdleAt.IsZero() && now.After(s.IdleAt.Add(-s.margin()))
}

// WriteAt is when the next write is due; zero if nothing has to be told.
//
// An invocation that lasts takes a lease, which is renewed when half of it is
// over. What has ended is told when nothing has followed for a while. A lease is given
// back soon, if that is paid for, since an agent that has died goes unnoticed as long
// as it stands; or not before its end, when other gateways rely on it no more. And
// all is told before the idle stop that the status foresees.
func (u Use) WriteAt(s Seen) time.Time {
	var at time.Time
	switch untold := u.EndedAt.After(s.Traffic.EndedAt) || u.holds(s); {
	case u.InFlight > 0:
		at = latest(u.BeganAt.Add(s.lull()), s.Traffic.InUseUntil.Add(-s.Lease/2))
	case untold && u.Alone:
		return u.EndedAt
	case u.holds(s):
		if at = u.EndedAt.Add(s.lull()); at.Before(u.PaidAt.Add(-s.Lease)) {
			at = u.Held
		}
	case untold:
		at = u.EndedAt.Add(s.Idle * 3 / 8)
	default:
		return time.Time{}
	}
	if !s.IdleAt.IsZero() && s.IdleAt.Add(-s.margin()).Before(at) {
		at = s.IdleAt.Add(-s.margin())
	}
	return at
}

// holds tells whether the lease that stands is the gateway's own.
func (u Use) holds(s Seen) bool { return !u.Held.IsZero() && u.Held.Equal(s.Traffic.InUseUntil) }

// Record is what a gateway writes now, and the lease that it holds then. It takes
// nothing back that another gateway wrote. A lease that comes back late, as the API
// server or another idle timeout would have it, lasts until now: another gateway that
// relies on it gets the time that it would have had.
func (u Use) Record(now time.Time, s Seen) (next Traffic, held time.Time) {
	next = s.Traffic
	next.EndedAt = latest(next.EndedAt, u.EndedAt)
	switch lease := now.Add(s.Lease).Truncate(time.Microsecond); { // what the API holds
	case u.InFlight == 0 && u.holds(s) && now.After(u.EndedAt.Add(2*s.lull())) && now.Before(u.Held):
		next.InUseUntil = now.Truncate(time.Microsecond)
	case u.InFlight == 0 && u.holds(s):
		next.InUseUntil = time.Time{}
	case u.InFlight > 0 && lease.After(next.InUseUntil):
		next.InUseUntil, held = lease, lease
	}
	return next, held
}
