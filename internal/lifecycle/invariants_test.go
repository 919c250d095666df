package lifecycle_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestMain lets rapid try 3,000 histories instead of 100, and the same ones each time:
// make fuzz looks for others. Flags on the command line win.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "3000", "rapid.seed": "1"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestHistories: never stop in flight, never live past max, a failed ping never
// idles, stop exactly once, whatever happens in whatever order.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		h.look()
		t.Repeat(map[string]func(*rapid.T){
			"a moment passes":  func(t *rapid.T) { h.pass(rapid.IntRange(1, 5).Draw(t, "periods")) },
			"time passes":      func(t *rapid.T) { h.pass(rapid.IntRange(5, 40).Draw(t, "periods")) },
			"much time passes": func(t *rapid.T) { h.pass(rapid.IntRange(40, 120).Draw(t, "periods")) },
			"the clock steps":  func(t *rapid.T) { h.step(time.Duration(rapid.IntRange(-3, 90).Draw(t, "s")) * time.Second) },
			"it is set back": func(t *rapid.T) {
				h.seldom(func() { h.step(-time.Duration(rapid.IntRange(3, 4000).Draw(t, "back")) * time.Second) })
			},
			"it stamps anew":     func(t *rapid.T) { h.stamp(t) },
			"a task begins":      func(*rapid.T) { h.agent.work(true, h.now) },
			"a task ends":        func(*rapid.T) { h.agent.work(false, h.now) },
			"an event says so":   func(*rapid.T) { h.agent.record(h.now) }, // and the task stays
			"it tells no tasks":  func(*rapid.T) { h.agent.mute = true },
			"it tells its tasks": func(*rapid.T) { h.agent.mute = false },
			"no place to ask":    func(*rapid.T) { h.crowded = !h.crowded },
			"the agent hangs":    func(*rapid.T) { h.agent.fails = lifecycle.FailureTimeout },
			"the agent refuses":  func(*rapid.T) { h.agent.fails = lifecycle.FailureConnect },
			"the agent is ill":   func(*rapid.T) { h.agent.fails = lifecycle.FailureStatusCode },
			"the agent recovers": func(*rapid.T) { h.agent.fails = "" },
			"an invocation":      func(t *rapid.T) { h.invoke(time.Duration(rapid.IntRange(1, 200).Draw(t, "lease")) * time.Second) },
			"an invocation ends": func(*rapid.T) { h.invoke(0) },
			"the operator goes":  func(*rapid.T) { h.down = true },
			"the operator comes": func(t *rapid.T) { h.restart(rapid.Bool().Draw(t, "lease known")) },
			"an outage":          func(*rapid.T) { h.facts.Outage = h.now },
			"the limits change":  func(t *rapid.T) { h.limit(t); h.look() },
			"a stop is wanted":   func(*rapid.T) { h.seldom(func() { h.facts.Desired = v1alpha1.DesiredStopped }) },
			"it is taken back":   func(*rapid.T) { h.facts.Desired = v1alpha1.DesiredRunning; h.look() },
			"another activation": func(*rapid.T) { h.seldom(func() { h.facts.Requested = h.facts.Activation + 1 }) },
			"the session goes":   func(*rapid.T) { h.seldom(func() { h.facts.Deleted = true }) },
			"the agent starts":   func(*rapid.T) { h.begin() },
			"a node's clock":     func(t *rapid.T) { h.skew = time.Duration(rapid.IntRange(-300, 300).Draw(t, "skew")) * time.Second },
			"the start fails":    func(*rapid.T) { h.seldom(func() { h.cluster(lifecycle.ComputeFailed) }) },
			"the agent exits":    func(*rapid.T) { h.seldom(func() { h.cluster(lifecycle.ComputeExited) }) },
			"the node goes":      func(*rapid.T) { h.seldom(func() { h.cluster(lifecycle.ComputeLost) }) },
			"the pod is deleted": func(*rapid.T) { h.seldom(func() { h.cluster(lifecycle.ComputeLeaving) }) },
			"a node is silent":   func(*rapid.T) { h.seldom(func() { h.silence(true) }) },
			"a node is assigned": func(*rapid.T) { h.assign() },
			"its kubelet speaks": func(*rapid.T) { h.facts.Compute.UnacknowledgedSince = zero },
			"a node is heard of": func(*rapid.T) { h.silence(false); h.look() },
			"an old pod goes":    func(*rapid.T) { h.facts.Occupied = ""; h.look() },
			"old pods pile up":   func(t *rapid.T) { h.facts.Ending = rapid.IntRange(0, 4).Draw(t, "ending"); h.look() },
			"the pod goes":       func(*rapid.T) { h.seldom(func() { h.cluster(lifecycle.ComputeAbsent) }) },
			"a quota is full":    func(*rapid.T) { h.refused = true },
			"a quota has room":   func(*rapid.T) { h.refused = false; h.look() },
			"it is looked at":    func(*rapid.T) { h.look() },
		})
	})
}

// seldom does what would let nobody live long, and always what ends or wakes a
// session that does not live.
func (h *history) seldom(happen func()) {
	if !h.living() || rapid.IntRange(0, 9).Draw(h.t, "really") == 9 {
		happen()
		h.look()
	}
}

// invoke begins an invocation with a lease, or ends it.
func (h *history) invoke(lease time.Duration) {
	ends := lease == 0
	switch {
	case ends && !h.facts.Traffic.InUseUntil.After(h.now):
		return
	case ends:
		h.facts.Traffic.EndedAt = h.now
	}
	h.facts.Traffic.InUseUntil = h.now.Add(lease)
	h.look()
}

// begin has the agent's container start, by its node's clock.
func (h *history) begin() {
	if h.living() && h.facts.Compute.StartedAt.IsZero() {
		h.facts.Compute.StartedAt = h.now.Add(h.skew).Truncate(time.Second)
		h.facts.Compute.UnacknowledgedSince = zero
		h.ranAt, h.lag = h.now, -h.skew
		h.look()
	}
}

// assign has a pod have a node, whose kubelet has said nothing of it so far.
func (h *history) assign() {
	if h.living() && h.facts.Compute.Phase == lifecycle.ComputePresent && h.facts.Compute.StartedAt.IsZero() {
		h.facts.Compute.UnacknowledgedSince = h.now.Truncate(time.Second)
		h.look()
	}
}

// cluster does something to the pod, if it can still be done.
func (h *history) cluster(phase lifecycle.ComputePhase) {
	switch now := h.facts.Compute.Phase; {
	case now == lifecycle.ComputeAbsent, now == lifecycle.ComputeLeaving && phase != lifecycle.ComputeAbsent:
		return
	}
	h.facts.Compute.Phase, h.facts.Compute.Detail = phase, "seen"
	if phase == lifecycle.ComputeLeaving {
		h.facts.Compute.GoneBy, h.facts.Compute.Where = h.now.Add(grace), "a pod"
	}
}

// silence has the API server hear nothing of the node of the pod, whose agent answers
// nobody then; or has it hear of it again.
func (h *history) silence(silent bool) {
	switch {
	case !silent:
		h.facts.Compute.SilentSince = zero
	case h.facts.Compute.Phase != lifecycle.ComputeAbsent:
		h.facts.Compute.SilentSince, h.agent.fails = h.now, lifecycle.FailureTimeout
	}
}

// check holds for every verdict.
func (h *history) check(v lifecycle.Verdict) {
	t, f := h.t, h.facts
	if again := lifecycle.Decide(h.now, f); again != v {
		t.Fatalf("the same facts, another verdict: %+v and %+v", v, again)
	}
	if !v.LookAgain.IsZero() && !v.LookAgain.After(h.now) {
		t.Fatalf("look again at %v, which is not after %v", v.LookAgain, h.now)
	}
	if v.Activation < f.Activation {
		t.Fatalf("activation %d after %d", v.Activation, f.Activation)
	}
	if h.stops > 1 {
		t.Fatalf("stopped %d times", h.stops)
	}
	switch {
	case f.State == v1alpha1.StateStopping:
		h.checkStopping(v)
	case v.Action == lifecycle.ActStart:
		if f.Compute.Phase != lifecycle.ComputeAbsent || f.Desired == v1alpha1.DesiredStopped || f.Deleted || f.Occupied != "" || f.Ending > 3 {
			t.Fatalf("started: %+v", f)
		}
	case h.living() && f.Compute.Phase != lifecycle.ComputeAbsent:
		h.checkLiving(v)
	}
}

// checkStopping: a stop is never taken back nor changed, and nothing runs beside a
// compute that was not told to go, or whose volume it would use. So there are never two
// that somebody asks or calls.
func (h *history) checkStopping(v lifecycle.Verdict) {
	t, f := h.t, h.facts
	gone := f.Compute.Phase == lifecycle.ComputeAbsent
	told := gone || f.Compute.Phase == lifecycle.ComputeLeaving
	lost := told && !gone && (!f.Compute.SilentSince.IsZero() || !h.now.Before(f.Compute.GoneBy.Add(10*time.Second)))
	switch v.State {
	case v1alpha1.StateStarting:
		alone := f.Occupied == "" && (gone && f.Ending <= 3 || !gone && f.Ending < 3 && f.Compute.Volume == "")
		if !told || !alone || v.Action != lifecycle.ActStart || v.Activation <= f.Activation || f.Desired == v1alpha1.DesiredStopped || f.Deleted {
			t.Fatalf("started beside %+v: %+v", f, v)
		}
	case v1alpha1.StateStopped:
		if !gone && !lost || v.Stop != f.LastStop || lost != (v.Remains != "") {
			t.Fatalf("stopped, and the compute is %+v: %+v", f.Compute, v)
		}
	case v1alpha1.StateStopping:
		if gone || lost || v.Stop != f.LastStop || told != (v.Action == lifecycle.ActNone) || told && !v.LookAgain.Equal(f.Compute.GoneBy.Add(10*time.Second)) {
			t.Fatalf("still stopping, and the compute is %+v: %+v", f.Compute, v)
		}
	default:
		t.Fatalf("a stop was taken back: %+v", v)
	}
}

// checkLiving holds for a compute that no rule had stopped before.
func (h *history) checkLiving(v lifecycle.Verdict) {
	t, f := h.t, h.facts
	stops := v.State == v1alpha1.StateStopping
	if stops && (h.now.Before(v.Stop.At) || v.Stop.Message == "" && v.Stop.Reason != v1alpha1.StopAgentExited) {
		t.Fatalf("stopped before it was due, or without a word: %+v", v.Stop)
	}
	end := f.Compute.CreatedAt.Add(f.Policy.Max)
	switch reason := undone(f, h.healthy); {
	case reason != "":
		if v.Stop.Reason != reason {
			t.Fatalf("stopped for %q and not for %q: %+v", v.Stop.Reason, reason, f)
		}
	case !h.now.Before(end):
		if v.Stop.Reason != v1alpha1.StopMaxLifetime {
			t.Fatalf("not stopped for it %v after its maximal lifetime: %+v", h.now.Sub(end), v)
		}
	case stops:
		h.checkNotBefore(v.Stop.Reason)
	case v.Next.At.IsZero() || v.Next.At.After(end):
		t.Fatalf("the next stop is announced for %v, after the maximal lifetime", v.Next.At)
	case v.LookAgain.IsZero() || v.LookAgain.After(end):
		t.Fatalf("looked at again %v, after the maximal lifetime", v.LookAgain)
	default:
		h.checkNotAfter(0)
	}
}

// undone is why a compute has to be stopped at once for what somebody did; empty if
// nobody did anything. healthy: its agent once was.
func undone(f lifecycle.Facts, healthy bool) v1alpha1.StopReason {
	if f.Deleted || f.Desired == v1alpha1.DesiredStopped || f.Requested > f.Activation {
		return v1alpha1.StopRequested
	}
	if f.Compute.Phase == lifecycle.ComputeFailed && !healthy {
		return v1alpha1.StopStartFailed
	}
	return map[lifecycle.ComputePhase]v1alpha1.StopReason{
		lifecycle.ComputeExited:  v1alpha1.StopAgentExited,
		lifecycle.ComputeFailed:  v1alpha1.StopComputeLost,
		lifecycle.ComputeLost:    v1alpha1.StopComputeLost,
		lifecycle.ComputeLeaving: v1alpha1.StopComputeLost,
	}[f.Compute.Phase]
}

// overdue holds at every moment at which the operator is there, and not only when it looks.
func (h *history) overdue() {
	if !h.lookAgain.IsZero() && !h.lookAgain.After(h.now) {
		return // it is about to
	}
	if end := h.facts.Compute.CreatedAt.Add(h.facts.Policy.Max); undone(h.facts, h.healthy) == "" && h.now.Before(end) {
		h.checkNotAfter(period)
	}
}

// checkNotBefore: no clock stops a compute before its time.
func (h *history) checkNotBefore(reason v1alpha1.StopReason) {
	switch reason {
	case v1alpha1.StopIdleTimeout:
		h.checkIdle()
	case v1alpha1.StopStuckBusy:
		h.checkStuck()
	case v1alpha1.StopUnhealthy:
		h.checkUnhealthy()
	case v1alpha1.StopStartFailed, v1alpha1.StopStartTimeout:
		h.checkStart(reason)
	case v1alpha1.StopComputeLost:
		if h.healthy || !h.untakenTooLong(h.now) && !h.awayTooLong(h.now.Add(h.back)) {
			h.t.Fatalf("lost in its start, at %v: %+v", h.now, h.facts)
		}
	default:
		h.t.Fatalf("stopped for %s at %v: %+v", reason, h.now, h.facts)
	}
}

// checkNotAfter: a compute is not let live for longer than it may, by more than a while.
func (h *history) checkNotAfter(by time.Duration) {
	now := h.now.Add(-by)
	for reason, overdue := range map[v1alpha1.StopReason]bool{
		v1alpha1.StopStartFailed: h.startOverdue(now),
		v1alpha1.StopComputeLost: h.untakenTooLong(now) || !h.healthy && h.awayTooLong(now),
		v1alpha1.StopUnhealthy:   h.silentTooLong(now) || h.illTooLong(now) || h.healthy && h.awayTooLong(now),
		v1alpha1.StopStuckBusy:   h.busyTooLong(now) || h.forgottenTooLong(now),
		v1alpha1.StopIdleTimeout: h.idleTooLong(now),
	} {
		if overdue {
			h.t.Fatalf("alive at %v, and long overdue for %s: %+v\n%+v", h.now, reason, h.facts, h.truth)
		}
	}
}

// checkStart: a start has its time for the container, and the agent its 120 s from the
// container's start on, as far as the clock of its node is right.
func (h *history) checkStart(reason v1alpha1.StopReason) {
	made, policy := h.facts.Compute.CreatedAt, h.facts.Policy
	switch {
	case h.healthy:
		h.t.Fatalf("stopped for %s, and the agent was healthy", reason)
	case reason == v1alpha1.StopStartFailed:
		if !h.ranAt.IsZero() || h.now.Sub(made) < policy.Provisioning {
			h.t.Fatalf("stopped as a start that failed after %v, and the container ran at %v", h.now.Sub(made), h.ranAt)
		}
	case h.ranAt.IsZero(), h.facts.Asked && h.failures == 0:
		h.t.Fatal("stopped as not healthy in time, and it failed no ping")
	case h.now.Sub(h.ranAt)+max(h.lag, 0)+h.back < policy.StartTimeout-time.Second && h.now.Sub(made) < policy.Provisioning+policy.StartTimeout,
		!made.After(h.now) && h.now.Sub(made) < policy.StartTimeout:
		h.t.Fatalf("stopped as not healthy %v after its container started", h.now.Sub(h.ranAt))
	}
}

// startOverdue: the container has had the time of its provisioning, or the agent its 120 s.
func (h *history) startOverdue(now time.Time) bool {
	made, policy := h.facts.Compute.CreatedAt, h.facts.Policy
	since := now.Sub(later(made, h.ranAt))
	switch {
	case h.healthy, h.facts.Asked && h.failures == 0:
		return false
	case h.ranAt.IsZero():
		return now.Sub(made) >= policy.Provisioning
	case h.ranAt.Sub(made) < policy.Provisioning && now.Sub(made) >= policy.Provisioning+policy.StartTimeout:
		return true
	}
	return since >= policy.StartTimeout+max(-h.lag, 0)
}

// patience is how long pings must fail.
func (h *history) patience() time.Duration {
	return time.Duration(h.facts.Policy.FailureThreshold) * period
}

// illTooLong: it answered nothing but errors for a threshold of periods.
func (h *history) illTooLong(now time.Time) bool {
	return h.healthy && h.errors >= h.facts.Policy.FailureThreshold && now.Sub(h.erringSince) >= h.patience()
}

// awayTooLong: neither it nor its node was heard of for 30 s.
func (h *history) awayTooLong(now time.Time) bool {
	silent := h.facts.Compute.SilentSince
	return !silent.IsZero() && !now.Before(silent) && h.failures >= 15 && now.Sub(h.failingSince) >= 30*time.Second
}

// untakenTooLong: for a minute its node has said nothing of the pod that it was given.
func (h *history) untakenTooLong(now time.Time) bool {
	since := h.facts.Compute.UnacknowledgedSince
	return !h.healthy && !since.IsZero() && now.Sub(since) >= time.Minute
}

// silentTooLong: for a threshold of periods it answered no ping, and nothing excused that.
// If it may be busy, and for 15 minutes.
func (h *history) silentTooLong(now time.Time) bool {
	free := later(h.failingSince, later(h.facts.Outage, h.usedUntil()))
	busy := h.answered.busy && (h.counts() || !h.good) || h.facts.Pulse.Restored
	return h.healthy && h.failures >= h.facts.Policy.FailureThreshold && now.Sub(free) >= h.patience() &&
		(!busy || now.Sub(h.failingSince) >= 15*time.Minute)
}

// checkStuck: the agent was busy for long, as it stamps or as far as anybody saw, or it
// told of its task ten seconds after its journal had said that it ended.
func (h *history) checkStuck() {
	f, told := h.facts, h.told
	h.checkFresh()
	if !h.answered.busy || f.Policy.StuckAfter == 0 || f.Policy.StuckAction != v1alpha1.StuckStop {
		h.t.Fatalf("stopped as stuck: %+v", h.answered)
	}
	long := h.seenBusy+h.now.Sub(h.answeredAt) >= f.Policy.StuckAfter-h.unsure
	if h.byStamp() {
		long = h.answered.stamps != honest || h.now.Sub(h.answered.since)+h.back >= f.Policy.StuckAfter-h.unsure-time.Second
	}
	if !long && (!told.busy || told.ended.IsZero() || h.toldAt.Sub(told.ended) < 10*time.Second-h.unsure) {
		h.t.Fatalf("stopped as stuck, after %v, and at %v the agent was %+v", h.seenBusy, h.toldAt, told)
	}
}

// busyTooLong: it was watched being busy for long, and stamps nothing else.
func (h *history) busyTooLong(now time.Time) bool {
	policy := h.facts.Policy
	return policy.StuckAfter > 0 && policy.StuckAction == v1alpha1.StuckStop && h.fresh() && h.answered.busy && h.counts() &&
		now.Sub(h.watched()) >= policy.StuckAfter
}

// forgottenTooLong: the agent, watched being busy, told when it was last asked of a task
// that its journal had ended ten seconds before.
func (h *history) forgottenTooLong(now time.Time) bool {
	policy, told := h.facts.Policy, h.told
	return policy.StuckAfter > 0 && policy.StuckAction == v1alpha1.StuckStop && h.fresh() && h.answered.busy && h.counts() &&
		told.busy && !told.ended.IsZero() && !h.toldAt.Before(h.asked) && !now.Before(h.toldAt) &&
		h.toldAt.Sub(later(told.ended, h.watched())) >= 10*time.Second
}

// idleTooLong: it was watched having no work for long, and stamps nothing else. The stop
// was announced, or there were ten seconds to do it.
func (h *history) idleTooLong(now time.Time) bool {
	f := h.facts
	since, known := h.watched(), h.limitsAt
	if h.byStamp() { // which may be long ago when it is first seen, and settled after five answers
		since, known = later(h.stampedAt, h.healthyAt.Add(time.Second)), later(known, h.watched().Add(5*period))
	}
	due := later(since, h.usedUntil()).Add(f.Policy.Idle)
	announced := later(due, known).Add(5*period + time.Second)
	if said := f.Announced; !said.IsZero() && said.Before(announced) {
		announced = later(due, said)
	}
	return h.fresh() && (!h.answered.busy || !h.counts()) && !now.Before(announced)
}

// watched is since when the agent has at least been as it is, by what it told this
// operator without a gap. Moments are rounded up to the second, and a clock that was set
// back by less than 5 s leaves them in the future.
func (h *history) watched() time.Time {
	since := h.watchedSince.Add(time.Second + min(h.back, 5*time.Second))
	if h.facts.Policy.IdleClock != v1alpha1.IdleClockObserved {
		since = later(since, h.stampedAt)
	}
	return since
}

// fresh: this operator's last ping was answered well, not long ago.
func (h *history) fresh() bool {
	return h.good && h.failures == 0 && h.now.Sub(h.answeredAt) <= 2*period
}

func (h *history) checkFresh() {
	if !h.fresh() {
		h.t.Fatalf("stopped without a fresh good answer, the last was at %v, and then %d failed", h.answeredAt, h.failures)
	}
}

// byStamp: the last good answer had a stamp by which the idle clock counts.
func (h *history) byStamp() bool {
	return h.facts.Policy.IdleClock != v1alpha1.IdleClockObserved && h.stamped()
}

// stamped: the stamp of the last good answer was of use. One from before the clock was set
// back may lie in the future then.
func (h *history) stamped() bool {
	stamp := h.answered.answer(h.answeredAt).Ping.UpdatedAt
	return h.answered.stamps.usable() && !stamp.After(h.answeredAt.Add(5*time.Second))
}

// checkUnhealthy: nobody is stopped for silence while an invocation is in flight, nor
// before a threshold of periods after it, in which no ping was answered, nor in an outage.
func (h *history) checkUnhealthy() {
	f := h.facts
	silent := h.now.Sub(h.failingSince) + h.back
	switch {
	case !h.healthy || h.failures == 0:
		h.t.Fatalf("stopped as unhealthy after %d failed pings: healthy is %v", h.failures, h.healthy)
	case h.errors >= f.Policy.FailureThreshold && h.now.Sub(h.erringSince)+h.back >= h.patience():
	case !f.Compute.SilentSince.IsZero() && h.failures >= 15:
		if silent < min(h.patience(), 30*time.Second) || h.now.Before(f.Compute.SilentSince) {
			h.t.Fatalf("stopped with its node after %v", silent)
		}
	case h.failures < f.Policy.FailureThreshold:
		h.t.Fatalf("stopped as unhealthy after %d failed pings", h.failures)
	case h.now.Sub(h.usedUntil()) < h.patience():
		h.t.Fatal("stopped as unhealthy in or soon after an invocation, and it answered no error")
	case h.now.Sub(f.Outage) < h.patience():
		h.t.Fatal("stopped as unhealthy in or soon after an outage")
	case silent < h.patience(), h.answered.busy && f.Pulse.Status == contract.HealthyBusy && silent < 15*time.Minute && h.counts():
		h.t.Fatalf("stopped as unhealthy after %v, and it was %+v", silent, h.answered)
	}
}

// counts: by the clock that the spec chooses a status of the agent counts.
func (h *history) counts() bool {
	return h.facts.Policy.IdleClock != v1alpha1.IdleClockAgentCoreStrict || h.stamped()
}

// checkIdle: nobody is stopped as idle who was not told so, is at work, or was seen
// without work for less than the timeout, by the clock that the spec chooses.
func (h *history) checkIdle() {
	t, f := h.t, h.facts
	h.checkFresh()
	sinceAnswer := h.now.Sub(h.answeredAt)
	strict := f.Policy.IdleClock == v1alpha1.IdleClockAgentCoreStrict
	byStamp := h.byStamp()
	switch {
	case f.Announced.IsZero() || h.now.Before(f.Announced):
		t.Fatalf("stopped as idle, and %v was announced", f.Announced)
	case h.now.Before(f.Traffic.InUseUntil):
		t.Fatal("stopped as idle with an invocation in flight")
	case h.now.Sub(h.usedUntil()) < f.Policy.Idle:
		t.Fatalf("stopped as idle %v after an invocation", h.now.Sub(h.usedUntil()))
	case h.answered.busy && h.counts():
		t.Fatal("stopped as idle while busy")
	case byStamp && h.answered.stamps == honest && h.now.Sub(h.answered.since)+h.back < f.Policy.Idle-time.Second:
		t.Fatalf("stopped after %v without work", h.now.Sub(h.answered.since))
	case !byStamp && !strict && min(h.seenIdle+sinceAnswer, h.now.Sub(h.usedUntil())) < f.Policy.Idle-h.unsure:
		t.Fatalf("stopped after it was seen without work for %v, unsure of %v", h.seenIdle+sinceAnswer, h.unsure)
	}
}

// TestAnOutageStopsNobodyAsUnhealthy: while most of all agents are silent, and for a
// threshold of periods after, no silence counts.
func TestAnOutageStopsNobodyAsUnhealthy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(1, 10_000).Draw(t, "failures")
		since := at(float64(rapid.IntRange(10, 1000).Draw(t, "since")))
		until := since.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "outage")) * time.Second)
		now := until.Add(time.Duration(rapid.IntRange(0, 29).Draw(t, "after")) * time.Second)
		f := living(now, failing(failures, since), outage(until))
		if v := lifecycle.Decide(now, f); v.State == v1alpha1.StateStopping {
			t.Fatalf("stopped for %s", v.Stop.Reason)
		}
	})
}

// TestAQuietAgentCostsNothing: an agent that does not change is told of once,
// however late single pings are and although some fail.
func TestAQuietAgentCostsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAgent(created, rapid.SampledFrom([]stamps{honest, missing, milliseconds, iso8601, future, frozen}).Draw(t, "stamps"))
		a.busy = rapid.Bool().Draw(t, "busy")
		now := created.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
		pulse := lifecycle.Pulse{}.Observe(a.answer(now), now, period)
		for range 100 {
			now = now.Add(period + time.Duration(rapid.IntRange(-400, 400).Draw(t, "late"))*time.Millisecond)
			if fails := a.fails == "" && rapid.IntRange(0, 9).Draw(t, "hangs") == 0; fails {
				a.fails = lifecycle.FailureTimeout
			} else {
				a.fails = ""
			}
			next := pulse.Observe(a.answer(now), now, period)
			if pulse.Tells(next, lifecycle.DefaultFailureThreshold) {
				t.Fatalf("told of nothing: %+v and then %+v", pulse, next)
			}
			pulse = next
		}
	})
}
