package lifecycle_test

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// stamps is what an agent sends as time_of_last_update.
type stamps string

const (
	honest       stamps = "honest" // whole seconds of the last change
	missing      stamps = "missing"
	milliseconds stamps = "milliseconds"
	iso8601      stamps = "ISO 8601"
	future       stamps = "future"
	advancing    stamps = "advancing" // now, on every ping
	frozen       stamps = "frozen"    // the creation of the compute, for ever
)

// usable: AgentCore can read them. Whether they are true is another matter.
func (s stamps) usable() bool { return s == honest || s == advancing || s == frozen }

// agent is an agent as it really is. It has one task at most.
type agent struct {
	born   time.Time
	busy   bool
	since  time.Time // when busy last changed
	ended  time.Time // when its journal said that the task had ended
	stamps stamps
	fails  lifecycle.Failure // how it answers no ping; empty if it answers
	mute   bool              // on GET /tasks
}

func newAgent(born time.Time, stamps stamps) agent {
	return agent{born: born, since: born, stamps: stamps}
}

// work lets the agent take up or finish a task.
func (a *agent) work(busy bool, now time.Time) {
	if a.busy != busy {
		a.busy, a.since, a.ended = busy, now, time.Time{}
	}
}

// record has the journal say that the task has ended, which stays noted.
func (a *agent) record(now time.Time) {
	if a.busy && a.ended.IsZero() {
		a.ended = now
	}
}

// tasks is what GET /tasks brings; false if nothing.
func (a *agent) tasks(now time.Time) (contract.Tasks, bool) {
	if a.fails != "" || a.mute {
		return contract.Tasks{}, false
	}
	if !a.busy {
		return contract.Tasks{}, true
	}
	task := contract.RunningTask{Name: "task", Duration: max(0, now.Sub(a.since))}
	if !a.ended.IsZero() {
		task.Ended = new(max(0, now.Sub(a.ended)))
	}
	return contract.Tasks{ActiveCount: 1, RunningJobs: []contract.RunningTask{task}}, true
}

// answer is what one ping of the agent brings.
func (a *agent) answer(now time.Time) lifecycle.Answer {
	if a.fails != "" {
		return lifecycle.Answer{Failure: a.fails, Detail: "it fails"}
	}
	ping := contract.Ping{Status: contract.Healthy, Stamp: contract.StampSeconds}
	if a.busy {
		ping.Status = contract.HealthyBusy
	}
	switch a.stamps {
	case honest:
		ping.UpdatedAt = a.since.Truncate(time.Second)
	case advancing:
		ping.UpdatedAt = now.Truncate(time.Second)
	case frozen:
		ping.UpdatedAt = a.born
	case future:
		ping.UpdatedAt = now.Add(time.Hour).Truncate(time.Second)
	case missing:
		ping.Stamp = contract.StampMissing
	case milliseconds:
		ping.Stamp = contract.StampMilliseconds
	case iso8601:
		ping.Stamp = contract.StampNotANumber
	}
	return lifecycle.Answer{Ping: ping}
}

// reported is what status holds of a pulse: all that outlives an operator.
// The controllers write it at a look and read it after a restart.
type reported struct {
	status                      contract.Status
	since, healthyAt, idleSince time.Time
	breach                      lifecycle.Breach
}

func (r *reported) write(p lifecycle.Pulse, v lifecycle.Verdict) {
	if p.Restored {
		return // nothing new is known before the agent has answered
	}
	*r = reported{p.Status, p.Since, p.HealthyAt, v.IdleSince.Truncate(time.Second), p.Breach}
}

// restore is the pulse that the next operator begins with. seen is when the
// last one was known to be there; zero if nobody knows.
func (r *reported) restore(seen time.Time) lifecycle.Pulse {
	if r.healthyAt.IsZero() {
		return lifecycle.Pulse{}
	}
	p := lifecycle.Pulse{
		Status: r.status, Since: r.since, HealthyAt: r.healthyAt, Breach: r.breach, Restored: true,
		Unseen: max(0, r.idleSince.Sub(r.since)),
	}
	if seen.After(r.since) {
		p.AnsweredAt = seen
	}
	return p
}

// owed is the reason for which a living compute has to be stopped at a moment;
// empty if it may live. It says in other words what the rules have to say.
func owed(now time.Time, f lifecycle.Facts) v1alpha1.StopReason {
	reached := func(from time.Time, d time.Duration) bool { return !now.Before(from.Add(d)) }
	p, policy := f.Pulse, f.Policy
	started := !p.HealthyAt.IsZero()
	fresh := !p.Restored && p.Failures == 0 && !p.AnsweredAt.IsZero() && now.Sub(p.AnsweredAt) <= 2*policy.Period
	counts := policy.IdleClock != v1alpha1.IdleClockAgentCoreStrict || policy.Check == v1alpha1.PingCheckMCP || !p.Stamp.IsZero() || p.Restored && f.State == v1alpha1.StateActive
	busy := p.Status == contract.HealthyBusy && counts
	threshold := time.Duration(policy.FailureThreshold) * policy.Period
	running := !f.Compute.StartedAt.IsZero()
	runs := later(f.Compute.CreatedAt, f.Compute.StartedAt)
	switch { // no clock that is right says so
	case f.Compute.CreatedAt.After(now):
		runs = earlier(now, f.Compute.StartedAt)
	case runs.After(now):
		runs = later(f.Compute.CreatedAt, earlier(now, f.Compute.CreatedAt.Add(policy.Provisioning)))
	}

	switch {
	case f.Deleted, f.Desired == v1alpha1.DesiredStopped, f.Requested > f.Activation:
		return v1alpha1.StopRequested
	case f.Compute.Phase == lifecycle.ComputeExited:
		return v1alpha1.StopAgentExited
	case f.Compute.Phase == lifecycle.ComputeFailed && !started:
		return v1alpha1.StopStartFailed
	case f.Compute.Phase == lifecycle.ComputeFailed, f.Compute.Phase == lifecycle.ComputeLost, f.Compute.Phase == lifecycle.ComputeLeaving:
		return v1alpha1.StopComputeLost
	case reached(f.Compute.CreatedAt, policy.Max):
		return v1alpha1.StopMaxLifetime
	case !started && !running && reached(f.Compute.CreatedAt, policy.Provisioning):
		return v1alpha1.StopStartFailed
	case !started && running && reached(runs, policy.StartTimeout) && (!f.Asked || p.Failures > 0):
		return v1alpha1.StopStartTimeout
	case started && !f.Compute.SilentSince.IsZero() && reached(f.Compute.SilentSince, 0) && p.Failures >= min(policy.FailureThreshold, 15) &&
		reached(p.FailingSince, min(threshold, 15*policy.Period)):
		return v1alpha1.StopUnhealthy
	case started && (ill(now, f) || reached(f.Outage, threshold) && dead(now, f, busy)):
		return v1alpha1.StopUnhealthy
	case !started, !fresh:
		return ""
	case busy && policy.StuckAction == v1alpha1.StuckStop && policy.StuckAfter > 0 &&
		(reached(busyFrom(f), policy.StuckAfter) || forgotten(now, f)):
		return v1alpha1.StopStuckBusy
	case busy, now.Before(f.Traffic.InUseUntil):
		return ""
	}
	if f.Announced.IsZero() || now.Before(f.Announced) {
		return ""
	}
	for _, from := range []time.Time{p.HealthyAt, f.Traffic.EndedAt, f.Traffic.InUseUntil, changed(f, counts)} {
		if !reached(from, policy.Idle) {
			return ""
		}
	}
	return v1alpha1.StopIdleTimeout
}

// ill: it answered a threshold of pings with errors, whatever it was doing.
func ill(now time.Time, f lifecycle.Facts) bool {
	p, threshold := f.Pulse, f.Policy.FailureThreshold
	return p.Errors >= threshold && !now.Before(p.ErringSince.Add(time.Duration(threshold)*f.Policy.Period))
}

// dead: it answered no ping for a threshold of periods in which it is not known to
// have had an invocation, and for 15 minutes if it was busy before.
func dead(now time.Time, f lifecycle.Facts, busy bool) bool {
	p, threshold := f.Pulse, f.Policy.FailureThreshold
	free := later(p.FailingSince, later(f.Traffic.EndedAt, f.Traffic.InUseUntil))
	return p.Failures >= threshold && !now.Before(free.Add(time.Duration(threshold)*f.Policy.Period)) &&
		(!busy || !now.Before(p.FailingSince.Add(15*time.Minute)))
}

// forgotten: ten seconds after an event said that a task had ended, and after the
// agent became busy, the agent told that the task still runs, and it told so
// when it was last asked.
func forgotten(now time.Time, f lifecycle.Facts) bool {
	told, ended := f.Work.ToldAt, f.Work.Ended.EndedAt
	known := !ended.IsZero() && !now.Before(told) && !told.Before(f.Work.AskedAt)
	for _, from := range []time.Time{ended, busyFrom(f)} {
		known = known && !told.Before(from.Add(10*time.Second))
	}
	return known
}

// busyFrom is since when a busy agent is known to be so.
func busyFrom(f lifecycle.Facts) time.Time {
	p := f.Pulse
	stamped := f.Policy.IdleClock != v1alpha1.IdleClockObserved && !p.Stamp.IsZero() && !p.Advancing()
	if stamped && !p.Frozen() {
		return later(p.HealthyAt, later(p.Since, p.Stamp))
	}
	return later(p.HealthyAt, p.Since.Add(p.Unseen))
}

// changed is when the status last changed by the clock that the spec chooses.
func changed(f lifecycle.Facts, counts bool) time.Time {
	observed := f.Policy.IdleClock == v1alpha1.IdleClockObserved
	switch {
	case !counts:
		return f.Pulse.LastStamp
	case observed || f.Pulse.Stamp.IsZero():
		last := f.Pulse.Since.Add(f.Pulse.Unseen)
		if !observed {
			last = later(last, f.Pulse.LastStamp)
		}
		for _, end := range []time.Time{f.Traffic.EndedAt, f.Traffic.InUseUntil} {
			if end.Before(f.Pulse.SeenSince) { // nobody saw the agent for a while after it
				last = later(last, earlier(end.Add(f.Pulse.Gaps), f.Pulse.SeenSince))
			}
		}
		return last
	}
	return f.Pulse.Stamp
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
