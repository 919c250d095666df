package lifecycle_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// grace is what a pod has to end.
const grace = 15 * time.Second

// history is a session's life as the rules see it: an agent that does what it
// likes, a gateway, a cluster, an operator that comes and goes. Every look
// checks what must hold whatever happens.
type history struct {
	t     *rapid.T
	now   time.Time
	back  time.Duration // by how much the clock was set back
	facts lifecycle.Facts
	agent agent

	reported  reported // status
	reports   lifecycle.Reports
	flapping  bool          // status says so
	held      bool          // the last report, which was not due yet
	restless  bool          // each compute has changed too often already
	refused   bool          // the API server takes no pod
	volume    string        // of each compute; empty if it has none
	skew      time.Duration // of the node's clock
	down      bool          // the operator
	lastAlive time.Time
	lookAgain time.Time
	inUse     bool // at the last look
	stops     int  // of this activation

	crowded bool      // the prober has no place for another question
	asked   time.Time // when the agent was last asked for its tasks
	told    agent     // the agent as it was when it last told of them,
	toldAt  time.Time // which was then

	truth
}

// truth is what really happened to the compute, and what the operator has seen of it, told
// by the clock that it goes by and by nothing that the rules make of it.
type truth struct {
	ranAt     time.Time     // when the agent's container started,
	lag       time.Duration // by which its node's clock was behind then; negative: ahead
	healthy   bool          // it has answered well, to whichever operator,
	healthyAt time.Time     // first at that moment
	limitsAt  time.Time     // when the timeouts last changed

	answered     agent     // the agent as it was at its last good answer,
	answeredAt   time.Time // which was then
	stampedAt    time.Time // the latest that it ever stamped, of what is of use
	good         bool      // it has answered this operator well
	failures     int       // pings that it has failed since, before this operator,
	failingSince time.Time // the first of them then;
	errors       int       // those that it answered with an error,
	erringSince  time.Time // the first of them then
	watchedSince time.Time // since when good answers have told this operator the same, without a gap

	seenIdle time.Duration // how long good answers have said Healthy, without a gap,
	seenBusy time.Duration // and how long HealthyBusy
	unsure   time.Duration // by how much the rules may take them for longer
}

func newHistory(t *rapid.T) *history {
	h := &history{t: t, now: created, lastAlive: created}
	spec := &v1alpha1.AgentSessionSpec{}
	spec.Ping.IdleClock = rapid.SampledFrom([]v1alpha1.IdleClock{
		v1alpha1.IdleClockAgentCore, v1alpha1.IdleClockAgentCoreStrict, v1alpha1.IdleClockObserved,
	}).Draw(t, "clock")
	h.facts = lifecycle.Facts{Policy: lifecycle.PolicyOf(spec, 1), Desired: v1alpha1.DesiredRunning}
	h.limit(t)
	if rapid.Bool().Draw(t, "stuck detection") {
		h.facts.Policy.StuckAfter = time.Duration(rapid.IntRange(60, 200).Draw(t, "stuck after")) * time.Second
		h.facts.Policy.StuckAction = rapid.SampledFrom([]v1alpha1.StuckAction{v1alpha1.StuckReport, v1alpha1.StuckStop}).Draw(t, "action")
	}
	h.restless = rapid.Bool().Draw(t, "restless")
	h.volume = rapid.SampledFrom([]string{"", "a volume"}).Draw(t, "volume")
	h.stamp(t)
	return h
}

// stamp draws what the agent stamps from now on.
func (h *history) stamp(t *rapid.T) {
	h.agent.stamps = rapid.SampledFrom([]stamps{honest, honest, missing, milliseconds, future, advancing, frozen}).Draw(t, "stamps")
}

// limit draws the two timeouts.
func (h *history) limit(t *rapid.T) {
	h.facts.Policy.Idle = time.Duration(rapid.IntRange(60, 200).Draw(t, "idle")) * time.Second
	h.facts.Policy.Max = h.facts.Policy.Idle + time.Duration(rapid.IntRange(0, 600).Draw(t, "max-idle"))*time.Second
	h.limitsAt = h.now
}

// living: there is a compute that no rule has stopped.
func (h *history) living() bool {
	return h.facts.Created && h.facts.State != v1alpha1.StateStopping && h.facts.State != v1alpha1.StateStopped
}

// ping asks the agent, as the prober does.
func (h *history) ping() {
	if h.down {
		return
	}
	h.lastAlive = h.now
	if !h.living() || h.facts.Compute.Phase != lifecycle.ComputePresent || h.facts.Compute.StartedAt.IsZero() {
		return
	}
	h.facts.Asked = true
	before, answer := h.facts.Pulse, h.agent.answer(h.now)
	after := before.Observe(answer, h.now, period)
	h.facts.Pulse = after
	h.overdue()
	if answer.Failure == "" {
		h.heard(before, after)
	} else if h.failed(answer.Failure); after.Status != before.Status || after.Since != before.Since && after.Since.Before(h.now) || after.Fresh(h.now, period) {
		h.t.Fatal("a failed ping changed the status, or counts as an answer")
	}
	if before.Tells(after, h.facts.Policy.FailureThreshold) {
		h.look()
	}
}

// failed keeps the truth of failed pings.
func (h *history) failed(how lifecycle.Failure) {
	if h.failures++; h.failures == 1 {
		h.failingSince = h.now
	}
	if how == lifecycle.FailureStatusCode {
		if h.errors++; h.errors == 1 {
			h.erringSince = h.now
		}
	}
}

// heard keeps the truth of what good answers have shown of idleness.
func (h *history) heard(before, after lifecycle.Pulse) {
	if !h.good || h.answered.busy != h.agent.busy || h.answered.stamps != h.agent.stamps || h.now.Sub(h.answeredAt) > 3*period {
		h.watchedSince = h.now
	}
	gap := h.now.Sub(before.AnsweredAt)
	switch {
	case after.Status == contract.HealthyBusy || before.Status != contract.Healthy:
		h.seenIdle, h.unsure = 0, 0
	case gap <= 3*period:
		h.seenIdle += max(gap, 0) // the clock may have been set back
	default:
		h.unsure += time.Second // the API holds whole seconds
	}
	h.seenIdle = min(h.seenIdle, max(0, h.now.Sub(h.facts.Traffic.InUseUntil)))
	switch {
	case after.Status == contract.Healthy || before.Status != contract.HealthyBusy:
		h.seenBusy = 0
	case gap <= 3*period:
		h.seenBusy += max(gap, 0)
	}
	if !h.healthy {
		h.healthyAt = h.now
	}
	h.answered, h.answeredAt, h.good, h.healthy = h.agent, h.now, true, true
	h.failures, h.errors = 0, 0
	if h.stamped() {
		h.stampedAt = later(h.stampedAt, h.agent.answer(h.now).Ping.UpdatedAt)
	}
}

// usedUntil is when the last invocation ended, or will.
func (h *history) usedUntil() time.Time {
	return later(h.facts.Traffic.EndedAt, h.facts.Traffic.InUseUntil)
}

// restart loses the operator's memory. What the next one knows is in status,
// and in the lease if known.
func (h *history) restart(leaseKnown bool) {
	if !h.down {
		return
	}
	old, state := h.facts.Pulse, h.facts.State
	h.down, h.facts.Pulse, h.facts.Asked = false, lifecycle.Pulse{}, false
	h.facts.Work, h.asked = lifecycle.Work{}, time.Time{}
	h.good, h.failures, h.errors = false, 0, 0
	if h.living() {
		seen := zero
		if leaseKnown {
			seen = h.lastAlive
		}
		h.facts.Pulse = h.reported.restore(seen)
		h.reports = lifecycle.Reports{}
		if h.flapping {
			h.facts.Pulse = h.facts.Pulse.Late(h.now, h.facts.Policy.Report)
			h.reports = lifecycle.SpentReports(h.now.Add(-h.facts.Policy.Report), h.facts.Policy)
		}
		if old.Failures > 0 { // nobody wrote down that pings failed before the end
			h.unsure += h.lastAlive.Sub(old.AnsweredAt)
		}
		h.unsure += time.Second
	}
	inUse, held := h.inUse, h.held
	h.look()
	// A report that had to wait may be told now.
	if h.living() && h.facts.Pulse.Restored && h.inUse == inUse && !held && h.facts.State != state {
		h.t.Fatalf("a restart alone made %s of %s", h.facts.State, state)
	}
}

// look decides and does what the verdict says.
func (h *history) look() {
	if h.down {
		return
	}
	h.inUse = h.now.Before(h.facts.Traffic.InUseUntil)
	v := lifecycle.Decide(h.now, h.facts)
	h.check(v)
	h.lookAgain = v.LookAgain
	before := h.facts.State
	h.facts.State, h.facts.Activation = v.State, v.Activation
	switch {
	case v.Action == lifecycle.ActStart:
		h.start()
	case v.State == v1alpha1.StateStopping && before != v1alpha1.StateStopping,
		v.State == v1alpha1.StateStopped && h.facts.Created && before != v1alpha1.StateStopping:
		h.stops++
		h.facts.LastStop = v.Stop
	}
	if v.State == v1alpha1.StateStopped {
		h.leave()
	}
	switch {
	case !h.living():
	case h.mayReport(before, v):
		h.reported.write(h.facts.Pulse, v)
		h.announce(v)
	default:
		h.facts.State = before
	}
	if v.Ask {
		h.ask()
	}
}

// mayReport tells whether status says anew what the agent does. In the first state of a
// compute it does at once.
func (h *history) mayReport(before v1alpha1.SessionState, v lifecycle.Verdict) bool {
	h.held = false
	p, policy := h.facts.Pulse, h.facts.Policy
	next := h.reported
	next.write(p, v)
	runs := before == v1alpha1.StateActive || before == v1alpha1.StateIdle
	if p.Restored || !runs || next == h.reported && announcedIn(v).Equal(h.facts.Announced) {
		return true
	}
	due := h.reports.Due(h.facts, v)
	if h.held = h.now.Before(due); h.held {
		if h.lookAgain.IsZero() || due.Before(h.lookAgain) {
			h.lookAgain = due
		}
		return false
	}
	h.reports = h.reports.Pay(h.now, policy)
	h.flapping = h.reports.Spent(h.now, policy)
	return true
}

// announce writes the next stop into status. Gateways rely on the one that they
// have read: an earlier one leaves them time.
func (h *history) announce(v lifecycle.Verdict) {
	if h.facts.Pulse.Restored {
		return
	}
	before := h.facts.Announced
	h.facts.Announced = announcedIn(v)
	sooner := before.IsZero() || h.facts.Announced.Before(before)
	if !h.facts.Announced.IsZero() && sooner && h.facts.Announced.Sub(h.now) < 5*period {
		h.t.Fatalf("an idle stop is announced for %v later: %+v", h.facts.Announced.Sub(h.now), v)
	}
}

// ask asks the agent for its tasks, if there is a place to do it.
func (h *history) ask() {
	switch pulse := h.facts.Pulse; {
	case h.facts.Policy.StuckAfter == 0 || pulse.Status != contract.HealthyBusy || !h.facts.Asked:
		h.t.Fatalf("asked for its tasks: %+v", h.facts)
	case h.crowded:
		if h.lookAgain.IsZero() || h.lookAgain.After(h.now.Add(period)) {
			h.t.Fatalf("there was no place to ask it, and it is looked at again at %v", h.lookAgain)
		}
		return
	case h.now.Sub(h.asked) < 5*period:
		h.t.Fatalf("asked %v after it was asked", h.now.Sub(h.asked))
	}
	h.asked = h.now
	before := h.facts.Work
	if told, tells := h.agent.tasks(h.now); tells {
		h.facts.Work, h.told, h.toldAt = lifecycle.WorkOf(told, h.now), h.agent, h.now
	} else {
		h.facts.Work = before.Unanswered(h.now)
	}
	if h.facts.Work.Tells(&before) {
		h.look()
	}
}

// leave has the session have no compute. Its pod may be there, and have its volume.
func (h *history) leave() {
	if h.facts.Compute.Volume != "" && h.facts.Compute.Phase != lifecycle.ComputeAbsent {
		h.facts.Occupied = h.facts.Compute.Volume
	}
	h.facts.Created, h.facts.Compute = false, lifecycle.Compute{}
}

// start makes the compute of a new activation, or has it refused.
func (h *history) start() {
	h.leave()
	h.facts.Traffic.InUseUntil = zero
	if h.refused {
		h.lookAgain = h.now.Add(time.Minute)
		return
	}
	h.facts.Created, h.facts.Asked, h.facts.Pulse, h.facts.Announced = true, false, lifecycle.Pulse{}, time.Time{}
	h.facts.Compute = lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: h.now.Truncate(time.Second), Volume: h.volume}
	h.agent = newAgent(h.facts.Compute.CreatedAt, h.agent.stamps)
	h.facts.Work, h.asked, h.told, h.toldAt = lifecycle.Work{}, time.Time{}, agent{}, time.Time{}
	if h.reports, h.flapping = (lifecycle.Reports{}), h.restless; h.restless {
		h.reports = lifecycle.SpentReports(h.now, h.facts.Policy)
	}
	h.reported, h.stops, h.truth = reported{}, 0, truth{limitsAt: h.limitsAt}
	h.look()
}

// step sets the clock, forward or back.
func (h *history) step(by time.Duration) {
	h.now = h.now.Add(by)
	h.unsure += max(0, -by)
	h.back += max(0, -by)
	if by < 0 { // the rules begin anew
		h.watchedSince = h.now
	}
}

// pass lets time go by, one period at a time, with a ping in each and a look
// when one is due.
func (h *history) pass(periods int) {
	for range periods {
		end := h.now.Add(period)
		for !h.lookAgain.IsZero() && !h.lookAgain.After(end) && !h.down {
			if h.lookAgain.After(h.now) {
				h.now = h.lookAgain
			}
			h.lookAgain = zero
			h.look()
		}
		h.now = end
		h.ping()
	}
}
