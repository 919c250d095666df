package lifecycle_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// history is a session's life as the rules see it: an agent that does what it
// likes, a gateway, an operator that comes and goes. Every step checks what
// must hold whatever happens.
type history struct {
	t     *rapid.T
	now   time.Time
	facts lifecycle.Facts

	// The agent, as it really is.
	busy    bool
	since   time.Time // when it last changed
	stamps  string    // honest, missing, advancing, frozen, future
	silent  bool
	idleFor time.Time // since when it has had no work, by its own knowledge

	down      bool      // the operator
	lastAlive time.Time // of the operator
	lookAgain time.Time
	stops     int
}

func newHistory(t *rapid.T) *history {
	h := &history{t: t, now: created, since: created, idleFor: created}
	h.stamps = rapid.SampledFrom([]string{"honest", "honest", "missing", "advancing", "frozen", "future"}).Draw(t, "stamps")
	spec := &v1alpha1.AgentSessionSpec{}
	spec.Ping.IdleClock = rapid.SampledFrom([]v1alpha1.IdleClock{
		v1alpha1.IdleClockAgentCore, v1alpha1.IdleClockAgentCoreStrict, v1alpha1.IdleClockObserved,
	}).Draw(t, "clock")
	h.facts = lifecycle.Facts{
		Policy: lifecycle.PolicyOf(spec, 1), Desired: v1alpha1.DesiredRunning,
		State: v1alpha1.StateStarting, Activation: 1, Created: true, Asked: true,
		Compute: lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: created},
	}
	h.facts.Policy.Idle = time.Duration(rapid.IntRange(60, 120).Draw(t, "idle")) * time.Second
	h.facts.Policy.Max = h.facts.Policy.Idle + time.Duration(rapid.IntRange(0, 600).Draw(t, "max-idle"))*time.Second
	h.lastAlive = created
	return h
}

// work lets the agent take up or finish a task.
func (h *history) work(busy bool) {
	if h.busy != busy {
		h.busy, h.since = busy, h.now
		if !busy {
			h.idleFor = h.now
		}
	}
}

func (h *history) answer() lifecycle.Answer {
	status := contract.Healthy
	if h.busy {
		status = contract.HealthyBusy
	}
	switch h.stamps {
	case "missing":
		return answer(status, zero)
	case "advancing":
		return answer(status, h.now.Truncate(time.Second))
	case "frozen":
		return answer(status, created)
	case "future":
		return answer(status, h.now.Add(time.Hour).Truncate(time.Second))
	}
	return answer(status, h.since.Truncate(time.Second))
}

// ping asks the agent, as the prober does.
func (h *history) ping() {
	if h.down {
		return
	}
	a := h.answer()
	if h.silent {
		a = lifecycle.Answer{Failure: lifecycle.FailureTimeout, Detail: "no answer"}
	}
	before := h.facts.Pulse
	h.facts.Pulse = before.Observe(a, h.now, period)
	h.lastAlive = h.now
	if h.silent && (h.facts.Pulse.Status != before.Status || !h.facts.Pulse.Since.Equal(before.Since)) {
		h.t.Fatal("a failed ping changed the status")
	}
	if before.Tells(h.facts.Pulse, h.facts.Policy.FailureThreshold) {
		h.look()
	}
}

// restart loses the operator's memory. What the next one knows is in status,
// and in the lease if known.
func (h *history) restart(leaseKnown bool) {
	old := h.facts.Pulse
	h.facts.Pulse = lifecycle.Pulse{}
	if !old.HealthyAt.IsZero() {
		h.facts.Pulse = lifecycle.Pulse{
			Status: old.Status, Since: old.Since, Unseen: old.Unseen, HealthyAt: old.HealthyAt, Breach: old.Breach, Restored: true,
		}
		if leaseKnown && h.lastAlive.After(old.Since) {
			h.facts.Pulse.AnsweredAt = h.lastAlive
		}
	}
	h.down = false
	h.look()
}

// look decides and does what the verdict says.
func (h *history) look() {
	if h.down || h.facts.State == v1alpha1.StateStopped {
		return
	}
	v := lifecycle.Decide(h.now, h.facts)
	h.check(v)
	h.lookAgain = v.LookAgain
	if v.State == v1alpha1.StateStopping && h.facts.State != v1alpha1.StateStopping {
		h.stops++
		h.facts.LastStop = v.Stop
	}
	h.facts.State = v.State
}

func (h *history) check(v lifecycle.Verdict) {
	t, f := h.t, h.facts
	if again := lifecycle.Decide(h.now, f); again != v {
		t.Fatalf("the same facts, another verdict: %+v and %+v", v, again)
	}
	if !v.LookAgain.IsZero() && !v.LookAgain.After(h.now) {
		t.Fatalf("look again at %v, which is not after %v", v.LookAgain, h.now)
	}
	if f.State == v1alpha1.StateStopping {
		if v.State != v1alpha1.StateStopping && v.State != v1alpha1.StateStopped || v.Stop != f.LastStop {
			t.Fatalf("a stop was taken back or changed: %+v", v)
		}
		return
	}
	if v.State != v1alpha1.StateStopping {
		if !h.now.Before(f.Compute.CreatedAt.Add(f.Policy.Max)) {
			t.Fatalf("alive %v after its maximal lifetime", h.now.Sub(f.Compute.CreatedAt.Add(f.Policy.Max)))
		}
		if v.Next.At.After(f.Compute.CreatedAt.Add(f.Policy.Max)) {
			t.Fatal("the next stop is announced for after the maximal lifetime")
		}
		return
	}
	h.checkStop(v.Stop)
}

func (h *history) checkStop(stop lifecycle.Stop) {
	t, f := h.t, h.facts
	if h.now.Before(stop.At) {
		t.Fatalf("stopped before it was due: %+v", stop)
	}
	switch stop.Reason {
	case v1alpha1.StopIdleTimeout:
		switch {
		case h.now.Before(f.Traffic.InUseUntil):
			t.Fatal("stopped as idle with an invocation in flight")
		case !f.Pulse.Fresh(h.now, period):
			t.Fatal("stopped as idle without a fresh good answer")
		case f.Pulse.Status == contract.HealthyBusy && (f.Policy.IdleClock != v1alpha1.IdleClockAgentCoreStrict || !f.Pulse.Stamp.IsZero()):
			t.Fatal("stopped as idle while busy")
		case h.honest() && h.now.Sub(h.idleFor) < f.Policy.Idle-time.Second:
			t.Fatalf("an agent without work for %v was stopped as idle for %v", h.now.Sub(h.idleFor), f.Policy.Idle)
		}
	case v1alpha1.StopUnhealthy:
		if f.Pulse.Failures < f.Policy.FailureThreshold {
			t.Fatalf("stopped as unhealthy after %d failures", f.Pulse.Failures)
		}
	case v1alpha1.StopStartTimeout:
		if !f.Pulse.HealthyAt.IsZero() {
			t.Fatal("stopped as never healthy, and was")
		}
	default:
	}
}

// honest: what the agent stamps, or what the operator saw, is the truth.
// Stamps count whole seconds.
func (h *history) honest() bool {
	return h.stamps == "honest" && h.facts.Policy.IdleClock != v1alpha1.IdleClockObserved
}

// pass lets time go by, one period at a time, with a ping in each and a look
// when one is due.
func (h *history) pass(periods int) {
	for range periods {
		end := h.now.Add(period)
		for !h.lookAgain.IsZero() && !h.lookAgain.After(end) && !h.down && h.facts.State != v1alpha1.StateStopped {
			h.now, h.lookAgain = h.lookAgain, zero
			h.look()
		}
		h.now = end
		h.ping()
	}
}

// TestHistories: never stop in flight, never live past max, a failed ping never
// idles, stop exactly once, whatever happens in whatever order.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		h.look()
		t.Repeat(map[string]func(*rapid.T){
			"time passes":        func(t *rapid.T) { h.pass(rapid.IntRange(1, 40).Draw(t, "periods")) },
			"a task begins":      func(*rapid.T) { h.work(true) },
			"a task ends":        func(*rapid.T) { h.work(false) },
			"the agent hangs":    func(*rapid.T) { h.silent = true },
			"the agent recovers": func(*rapid.T) { h.silent = false },
			"an invocation": func(t *rapid.T) {
				h.facts.Traffic.InUseUntil = h.now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "lease")) * time.Second)
				h.look()
			},
			"an invocation ends": func(*rapid.T) {
				if h.facts.Traffic.InUseUntil.After(h.now) {
					h.facts.Traffic = lifecycle.Traffic{EndedAt: h.now, InUseUntil: h.now}
					h.look()
				}
			},
			"the operator goes": func(*rapid.T) { h.down = true },
			"the operator comes": func(t *rapid.T) {
				if h.down {
					h.restart(rapid.Bool().Draw(t, "leaseKnown"))
				}
			},
			"an outage": func(*rapid.T) { h.facts.Outage = h.now },
			"the limits change": func(t *rapid.T) {
				h.facts.Policy.Idle = time.Duration(rapid.IntRange(60, 300).Draw(t, "idle")) * time.Second
				h.facts.Policy.Max = h.facts.Policy.Idle + time.Duration(rapid.IntRange(0, 600).Draw(t, "max-idle"))*time.Second
				h.look()
			},
			"a stop is asked for": func(*rapid.T) {
				if h.facts.State != v1alpha1.StateStopped {
					h.facts.Desired = v1alpha1.DesiredStopped
					h.look()
				}
			},
			"that is taken back": func(*rapid.T) { h.facts.Desired = v1alpha1.DesiredRunning },
			"the pod goes": func(*rapid.T) {
				if h.facts.State == v1alpha1.StateStopping {
					h.facts.Compute.Phase = lifecycle.ComputeAbsent
					h.look()
				}
			},
			"": func(t *rapid.T) {
				if h.stops > 1 {
					t.Fatalf("stopped %d times", h.stops)
				}
			},
		})
	})
}

// TestAnOutageStopsNobodyAsUnhealthy: while most of all agents fail, and for a
// threshold of periods after, no failure counts.
func TestAnOutageStopsNobodyAsUnhealthy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(1, 10_000).Draw(t, "failures")
		since := at(float64(rapid.IntRange(10, 1000).Draw(t, "since")))
		outage := since.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "outage")) * time.Second)
		now := outage.Add(time.Duration(rapid.IntRange(0, 29).Draw(t, "after")) * time.Second)
		f := living(now, failing(failures, since), func(f *lifecycle.Facts) { f.Outage = outage })
		if v := lifecycle.Decide(now, f); v.State == v1alpha1.StateStopping {
			t.Fatalf("stopped for %s", v.Stop.Reason)
		}
	})
}
