package lifecycle_test

import (
	"testing"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// dice reads facts off a fuzzer's bytes; nought when they are used up.
type dice []byte

func (d *dice) roll(sides int) int {
	if len(*d) == 0 {
		return 0
	}
	n := int((*d)[0]) % sides
	*d = (*d)[1:]
	return n
}

func (d *dice) yes() bool { return d.roll(2) == 1 }

// span is a quarter of a second to some hours; seldom nothing.
func (d *dice) span() time.Duration {
	return time.Duration(d.roll(256)*d.roll(256)) * 250 * time.Millisecond
}

// moment of the life of a compute, or one that is not known.
func (d *dice) moment() time.Time {
	if d.roll(4) == 0 {
		return zero
	}
	return created.Add(d.span())
}

func one[T any](d *dice, of ...T) T { return of[d.roll(len(of))] }

// facts that no session may ever have had.
func (d *dice) facts() lifecycle.Facts {
	f := lifecycle.Facts{
		Policy:  lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1),
		Desired: one(d, v1alpha1.DesiredRunning, v1alpha1.DesiredStopped, ""), Requested: int32(d.roll(4)), Deleted: d.roll(8) == 1,
		State:      one(d, v1alpha1.StateIdle, v1alpha1.StateActive, v1alpha1.StateStarting, v1alpha1.StateStopping, v1alpha1.StateStopped, "", "?"),
		Activation: int32(d.roll(4)), Created: d.yes(), Asked: d.yes(), StoppedAt: d.moment(), Announced: d.moment(), Outage: d.moment(),
		LastStop: lifecycle.Stop{At: d.moment(), Reason: one(d, v1alpha1.StopIdleTimeout, v1alpha1.StopRequested, "")},
		Compute:  lifecycle.Compute{Phase: lifecycle.ComputePhase(d.roll(6)), CreatedAt: created, StartedAt: d.moment()},
		Traffic:  lifecycle.Traffic{EndedAt: d.moment(), InUseUntil: d.moment()},
	}
	f.Work = lifecycle.Work{AskedAt: d.moment(), ToldAt: d.moment(), Ended: lifecycle.Task{EndedAt: d.moment()}}
	f.Policy.Idle, f.Policy.Max, f.Policy.StuckAfter, f.Policy.TTL = d.span(), d.span(), d.span(), d.span()-time.Second
	f.Policy.Provisioning = d.span()
	f.Policy.Check = one(d, v1alpha1.PingCheckHTTP, v1alpha1.PingCheckMCP)
	f.Policy.IdleClock = one(d, v1alpha1.IdleClockAgentCore, v1alpha1.IdleClockAgentCoreStrict, v1alpha1.IdleClockObserved)
	f.Policy.StuckAction = one(d, v1alpha1.StuckReport, v1alpha1.StuckStop)
	f.Pulse = lifecycle.Pulse{
		Status: one(d, contract.Healthy, contract.HealthyBusy, ""), Since: d.moment(), Unseen: lifecycle.Unseen{Total: d.span(), Gaps: d.span(), Until: d.moment()}, Stamp: d.moment(),
		HealthyAt: d.moment(), AnsweredAt: d.moment(), Failures: d.roll(20), FailingSince: d.moment(), Restored: d.roll(4) == 1,
	}
	return f
}

// FuzzDecide: whatever the facts, the verdict is of use.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a session like any other, alive and well and Idle until somebody asks it for something"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := dice(b)
		facts := d.facts()
		now := created.Add(d.span())
		v := lifecycle.Decide(now, facts)
		if again := lifecycle.Decide(now, facts); again != v {
			t.Fatalf("%+v and then %+v", v, again)
		}
		if !v.LookAgain.IsZero() && !v.LookAgain.After(now) {
			t.Fatalf("to be looked at again in the past: %+v", v)
		}
		if v.Activation < facts.Activation {
			t.Fatalf("went back to activation %d: %+v", v.Activation, facts)
		}
		switch facts.State {
		case v1alpha1.StateStopping:
			if v.State != v1alpha1.StateStopping && v.State != v1alpha1.StateStopped || v.Stop != facts.LastStop {
				t.Fatalf("a stop was taken back: %+v", v)
			}
			return
		case v1alpha1.StateStopped, "":
			if v.State != v1alpha1.StateStopped && v.Action != lifecycle.ActStart {
				t.Fatalf("neither stopped nor started: %+v", v)
			}
			return
		default:
		}
		if facts.Compute.Phase == lifecycle.ComputeAbsent {
			return
		}
		checkLife(t, now, facts, v)
		if end := created.Add(facts.Policy.Max); v.Next.At.After(end) || v.LookAgain.After(end) {
			t.Fatalf("foresees something after the maximal lifetime: %+v", v)
		}
	})
}

// checkLife: what somebody did comes first, then the maximal lifetime, and a clock of the
// agent's stops on answers, or on the want of them, only.
func checkLife(t *testing.T, now time.Time, f lifecycle.Facts, v lifecycle.Verdict) {
	t.Helper()
	p := f.Pulse
	fresh := !p.Restored && p.Failures == 0 && !p.AnsweredAt.IsZero() && now.Sub(p.AnsweredAt) <= 2*period
	over := !now.Before(f.Compute.CreatedAt.Add(f.Policy.Max))
	may := map[v1alpha1.StopReason]bool{
		"":                        !over,
		v1alpha1.StopMaxLifetime:  over,
		v1alpha1.StopStartFailed:  !over && p.HealthyAt.IsZero() && f.Compute.StartedAt.IsZero(),
		v1alpha1.StopStartTimeout: !over && p.HealthyAt.IsZero() && !f.Compute.StartedAt.IsZero(),
		v1alpha1.StopUnhealthy:    !over && !p.HealthyAt.IsZero() && p.Failures >= 15,
		v1alpha1.StopStuckBusy:    !over && fresh && p.Status == contract.HealthyBusy && f.Policy.StuckAction == v1alpha1.StuckStop,
		v1alpha1.StopIdleTimeout:  !over && fresh && !now.Before(f.Traffic.InUseUntil) && !f.Announced.IsZero() && !now.Before(f.Announced),
	}[v.Stop.Reason]
	if reason := undone(f, !p.HealthyAt.IsZero()); reason != "" {
		may = v.Stop.Reason == reason
	}
	if stops := v.State == v1alpha1.StateStopping; !may || stops != (v.Stop.Reason != "") {
		t.Fatalf("stopped for %q: %+v", v.Stop.Reason, f)
	}
}
