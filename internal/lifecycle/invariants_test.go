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
	if reason := owed(h.now, f); v.Stop.Reason != reason {
		t.Fatalf("stopped for %q and not for %q: %+v", v.Stop.Reason, reason, f)
	}
	end := f.Compute.CreatedAt.Add(f.Policy.Max)
	if v.State == v1alpha1.StateStopping {
		h.checkStop(v.Stop)
		return
	}
	switch {
	case !h.now.Before(end):
		t.Fatalf("alive %v after its maximal lifetime", h.now.Sub(end))
	case v.Next.At.IsZero() || v.Next.At.After(end):
		t.Fatalf("the next stop is announced for %v, after the maximal lifetime", v.Next.At)
	case v.LookAgain.IsZero() || v.LookAgain.After(end):
		t.Fatalf("looked at again %v, after the maximal lifetime", v.LookAgain)
	}
}

func (h *history) checkStop(stop lifecycle.Stop) {
	if h.now.Before(stop.At) || stop.Message == "" && stop.Reason != v1alpha1.StopAgentExited {
		h.t.Fatalf("stopped before it was due, or without a word: %+v", stop)
	}
	switch stop.Reason {
	case v1alpha1.StopIdleTimeout:
		h.checkIdle()
	case v1alpha1.StopStuckBusy:
		h.checkStuck()
	case v1alpha1.StopUnhealthy:
		h.checkUnhealthy()
	default:
	}
}

// checkStuck: the agent was busy for long, as it stamps or as far as anybody saw, or it
// told of its task ten seconds after its journal had said that it ended.
func (h *history) checkStuck() {
	f, told := h.facts, h.told
	long := h.seenBusy+h.now.Sub(f.Pulse.AnsweredAt) >= f.Policy.StuckAfter-h.unsure
	if h.byStamp() {
		long = h.answered.stamps != honest || h.now.Sub(h.answered.since)+h.back >= f.Policy.StuckAfter-h.unsure-time.Second
	}
	if !long && (!told.busy || told.ended.IsZero() || h.toldAt.Sub(told.ended) < 10*time.Second-h.unsure) {
		h.t.Fatalf("stopped as stuck, after %v, and at %v the agent was %+v", h.seenBusy, h.toldAt, told)
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
// before a threshold of periods after it, in which no ping was answered.
func (h *history) checkUnhealthy() {
	f := h.facts
	threshold := f.Policy.FailureThreshold
	patience := time.Duration(threshold) * period
	switch silent := h.now.Sub(h.answeredAt) + h.back; {
	case h.errors >= threshold:
	case !f.Compute.SilentSince.IsZero():
		if silent < min(patience, 30*time.Second) {
			h.t.Fatalf("stopped with its node after %v", silent)
		}
	case h.now.Sub(f.Traffic.InUseUntil) < patience, h.now.Sub(f.Traffic.EndedAt) < patience:
		h.t.Fatal("stopped as unhealthy in or soon after an invocation, and it answered no error")
	case silent < patience, h.answered.busy && f.Pulse.Status == contract.HealthyBusy && silent < 15*time.Minute && h.counts():
		h.t.Fatalf("stopped as unhealthy after %v, and it was %+v", silent, h.answered)
	}
}

// counts: by the clock that the spec chooses a status of the agent counts.
func (h *history) counts() bool {
	return h.facts.Policy.IdleClock != v1alpha1.IdleClockAgentCoreStrict || h.stamped()
}

func (h *history) checkIdle() {
	t, f, p := h.t, h.facts, h.facts.Pulse
	sinceAnswer := h.now.Sub(p.AnsweredAt)
	strict := f.Policy.IdleClock == v1alpha1.IdleClockAgentCoreStrict
	byStamp := h.byStamp()
	switch {
	case f.Announced.IsZero() || h.now.Before(f.Announced):
		t.Fatalf("stopped as idle, and %v was announced", f.Announced)
	case h.now.Before(f.Traffic.InUseUntil):
		t.Fatal("stopped as idle with an invocation in flight")
	case p.Restored || p.Failures > 0 || sinceAnswer > 2*period:
		t.Fatal("stopped as idle without a fresh good answer")
	case p.Status == contract.HealthyBusy && (!strict || byStamp):
		t.Fatal("stopped as idle while busy")
	case byStamp && h.answered.stamps == honest && h.now.Sub(h.answered.since)+h.back < f.Policy.Idle-time.Second:
		t.Fatalf("stopped after %v without work", h.now.Sub(h.answered.since))
	case !byStamp && !strict && min(h.seenIdle+sinceAnswer, h.sinceUse()) < f.Policy.Idle-h.unsure:
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
