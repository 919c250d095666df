package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// said is what the API server said between two moments of the process's own count.
type heard struct{ said, sent, received float64 }

func hearing(answers ...heard) (c lifecycle.Clock, by time.Duration) {
	for _, a := range answers {
		c, by = c.Hear(at(a.said), at(a.sent), at(a.received))
	}
	return c, by
}

func TestClockHearsTheAPIServer(t *testing.T) {
	for name, row := range map[string]struct {
		answers []heard
		ahead   time.Duration // of the cluster's time at last
		by      time.Duration // what it moved last
	}{
		"nothing heard": {nil, 0, 0},
		"as here":       {[]heard{{100, 100, 100.1}}, 0, 0},
		"a little off":  {[]heard{{105, 100, 100.1}}, 0, 0},
		"an hour ahead from the start is no step": {[]heard{{3700, 100, 100}}, time.Hour, 0},
		"two minutes behind from the start":       {[]heard{{100, 220, 220}}, -119 * time.Second, 0},
		"it is set forward":                       {[]heard{{100, 100, 100}, {3702, 102, 102}}, time.Hour, time.Hour},
		"it is set back":                          {[]heard{{4000, 4000, 4000}, {402, 4002, 4002}}, -3599 * time.Second, -3599 * time.Second},
		"there and back":                          {[]heard{{100, 100, 100}, {3702, 102, 102}, {104, 104, 104}}, time.Second, -3599 * time.Second},
		"it goes on as here":                      {[]heard{{100, 100, 100}, {3702, 102, 102}, {3704, 104, 104}}, time.Hour, 0},
		"of a slow answer nothing is certain":     {[]heard{{100, 100, 100}, {100, 100, 3700}}, 0, 0},
		"of a first one neither":                  {[]heard{{100, 100, 3700}, {7302, 3702, 3702}}, time.Hour, 0},
		"only as much as is certain":              {[]heard{{100, 100, 100}, {120, 102, 106}}, 14 * time.Second, 14 * time.Second},
		"as slow as an answer may be":             {[]heard{{100, 100, 100}, {120, 102, 107}}, 13 * time.Second, 13 * time.Second},
		"slower than it may be":                   {[]heard{{100, 100, 100}, {120, 102, 107.1}}, 0, 0},
		"as far ahead as clocks differ":           {[]heard{{100, 100, 100}, {107, 102, 102}}, 0, 0},
		"as far behind as clocks differ":          {[]heard{{100, 100, 100}, {96, 102, 102}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c, by := hearing(row.answers...)
			g.Expect(by).To(Equal(row.by))
			g.Expect(c.At(at(5000))).To(Equal(at(5000).Add(row.ahead)))
		})
	}
}

// TestAfterAStepAllIsAsLongAgoAsItWas: but for what was written after it.
func TestAfterAStepAllIsAsLongAgoAsItWas(t *testing.T) {
	c, _ := hearing(heard{1000, 1000, 1000}, heard{4602, 1002, 1002})
	now := at(4700)
	read := func(moment time.Time) lifecycle.Facts {
		return c.Read(lifecycle.Facts{
			Announced: moment, StoppedAt: moment, Compute: lifecycle.Compute{CreatedAt: moment, StartedAt: moment, GoneBy: moment},
			Traffic: lifecycle.Traffic{EndedAt: moment}, Outage: moment,
			Pulse: lifecycle.Pulse{HealthyAt: moment, Stamp: moment, LastStamp: moment, FailingSince: moment, ErringSince: moment},
		}, now)
	}
	for name, row := range map[string]struct{ moment, want time.Time }{
		"never":           {zero, zero},
		"long before":     {at(10), at(3610)},
		"just before":     {at(1001), at(4601)},
		"announced then":  {at(1400), at(5000)},
		"as it was heard": {at(4601), at(8201)},
		"after":           {at(4603), at(4603)},
	} {
		g := NewWithT(t)
		f := read(row.moment)
		g.Expect([]time.Time{
			f.Announced, f.StoppedAt, f.Compute.CreatedAt, f.Compute.StartedAt, f.Compute.GoneBy, f.Traffic.EndedAt,
			f.Pulse.HealthyAt, f.Pulse.Stamp, f.Pulse.LastStamp, f.Pulse.FailingSince, f.Pulse.ErringSince, f.Outage,
		}).To(HaveEach(row.want), name)
		g.Expect(f.LeftOut).To(Equal(row.want.Sub(row.moment)), name)
	}
	restored := c.Read(lifecycle.Facts{Pulse: lifecycle.Pulse{HealthyAt: at(10), Restored: true}}, now)
	NewWithT(t).Expect(restored.Pulse.HealthyAt).To(Equal(at(10)), "it is from status, which may have been moved")
	lease := func(taken float64) time.Time {
		f := lifecycle.Facts{Policy: lifecycle.Policy{Lease: 2 * time.Hour}, Traffic: lifecycle.Traffic{InUseUntil: at(taken).Add(2 * time.Hour)}}
		return c.Read(f, now).LeasedAt()
	}
	g := NewWithT(t)
	g.Expect(lease(1000)).To(Equal(at(4600)))
	g.Expect(lease(4603)).To(Equal(at(4603)))
}

// TestAfterAStepAStartHasItsTime: also one that has no pod, and whose limit may have been
// written since, or not.
func TestAfterAStepAStartHasItsTime(t *testing.T) {
	forward, _ := hearing(heard{1000, 1000, 1000}, heard{4602, 1002, 1002})
	back, _ := hearing(heard{5000, 5000, 5000}, heard{1402, 5002, 5002})
	read := func(c lifecycle.Clock, now time.Time, f lifecycle.Facts) lifecycle.Facts {
		f.State, f.Created, f.Compute.Phase, f.Unmade = v1alpha1.StateStarting, false, lifecycle.ComputeAbsent, "the webhook is down"
		return c.Read(f, now)
	}
	for name, row := range map[string]struct {
		clock lifecycle.Clock
		now   float64
		begun float64 // by what status says
		want  float64
	}{
		"before the step":                 {forward, 4610, 900, 4500},
		"as it was heard":                 {forward, 4610, 1002.9, 4602.9},
		"written since, as it is read":    {forward, 4610, 4500, 4500},
		"after the step":                  {forward, 4610, 4605, 4605},
		"before it was set back":          {back, 1410, 4900, 1301},
		"written since it was set back":   {back, 1410, 1301, 1301},
		"begun after the clock went back": {back, 1410, 1405, 1405},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := living(at(row.now))
			f.UnmadeUntil = at(row.begun).Add(f.Policy.Provisioning)
			f = read(row.clock, at(row.now), f)
			limit := at(row.want).Add(f.Policy.Provisioning)
			g.Expect(f.UnmadeUntil).To(BeTemporally("~", limit, time.Second))
			g.Expect(lifecycle.Decide(limit.Add(-2*time.Second), f).State).To(Equal(v1alpha1.StateStarting))
			g.Expect(lifecycle.Decide(limit.Add(2*time.Second), f).Stop.Reason).To(Equal(v1alpha1.StopStartFailed))
		})
	}
	g := NewWithT(t)
	g.Expect(read(forward, at(4610), living(at(4610))).UnmadeUntil).To(BeZero(), "none was written")
	silent := func(since float64) time.Time {
		return back.Read(living(at(1410), func(f *lifecycle.Facts) { f.Compute.SilentSince = at(since) }), at(1410)).Compute.SilentSince
	}
	g.Expect(silent(4990)).To(BeTemporally("~", at(1391), time.Second), "a node that was silent before it was set back")
	g.Expect(silent(1405)).To(Equal(at(1405)))
	g.Expect(back.Read(living(at(1410)), at(1410)).Compute.SilentSince).To(BeZero())
	untaken := func(c lifecycle.Clock, now, since float64) time.Time {
		return c.Read(living(at(now), unacknowledged(at(since))), at(now)).Compute.UnacknowledgedSince
	}
	g.Expect(untaken(forward, 4610, 990)).To(BeTemporally("~", at(4590), 2*time.Second), "a pod that was assigned before the step is as old as it was")
	g.Expect(untaken(back, 1410, 4990)).To(BeTemporally("~", at(1391), time.Second), "and before it was set back")
	g.Expect(back.Read(living(at(1410)), at(1410)).Compute.UnacknowledgedSince).To(BeZero())
}

// TestStepsAreForgotten: of many, and of one that is taken back, nothing is left that would
// make anything younger than it is.
func TestStepsAreForgotten(t *testing.T) {
	g := NewWithT(t)
	age := func(c lifecycle.Clock, moment, own float64) time.Duration {
		now := c.At(at(own))
		return now.Sub(c.Read(lifecycle.Facts{Compute: lifecycle.Compute{CreatedAt: at(moment)}}, now).Compute.CreatedAt)
	}
	there := []heard{{1000, 1000, 1000}, {4602, 1002, 1002}}
	c, _ := hearing(append(there, heard{1004, 1004, 1004})...)
	g.Expect(age(c, 10, 1010)).To(BeNumerically("~", 1000*time.Second, 2*time.Second))
	g.Expect(age(c, 1005, 1010)).To(BeNumerically("~", 5*time.Second, 2*time.Second), "made since it was taken back")
	c, _ = hearing(append(there, heard{2804, 1004, 1004})...)
	g.Expect(age(c, 2806, 1010)).To(BeNumerically("~", 5*time.Second, 2*time.Second), "made since half of it was taken back")
	g.Expect(age(c, 10, 1010)).To(BeNumerically("~", 1000*time.Second, 2*time.Second), "half of it stands")
	c, _ = hearing(append(there, heard{8204, 1004, 1004}, heard{2806, 1006, 1006})...)
	g.Expect(age(c, 10, 1010)).To(BeNumerically("~", 1000*time.Second, 3*time.Second), "one and a half of two were taken back")
	c, _ = hearing(there...)
	for n := range 20 {
		c, _ = c.Hear(at(4604+float64(n)), at(1004+float64(n)), at(1004+float64(n)))
	}
	g.Expect(age(c, 4605, 1030)).To(BeNumerically("~", 25*time.Second, 2*time.Second), "what is no step is not remembered")

	c, _ = hearing(heard{5000, 5000, 5000}, heard{1402, 5002, 5002})
	g.Expect(age(c, 4990, 5010)).To(BeNumerically("~", 20*time.Second, 2*time.Second), "made before it was set back, and in the future")
	g.Expect(age(c, 1403, 5010)).To(BeNumerically("~", 7*time.Second, 2*time.Second), "made since")
	g.Expect(age(c, 1413, 5010)).To(BeNumerically("~", -3*time.Second, 2*time.Second), "a little ahead, as clocks are")
	c, _ = c.Hear(at(5012), at(5012), at(5012))
	g.Expect(age(c, 5050, 5020)).To(BeNumerically("~", -30*time.Second, 2*time.Second), "and far ahead, when it is right again")

	c, _ = hearing(heard{1000, 1000, 1000})
	said, own := 1000.0, 1000.0
	for n := range 100 {
		said, own = said+3600, own+10
		c, _ = c.Hear(at(said), at(own), at(own))
		if n == 7 {
			g.Expect(age(c, 4605, own)).To(BeNumerically("~", 65*time.Second, 2*time.Second), "eight are told apart, and this lies between the first two")
		}
	}
	g.Expect(age(c, 1000, own)).To(BeNumerically("<=", 1000*time.Second), "older by no step that is remembered")
}

// TestStepsStopNobodyEarly: however the API server's clock is set, an agent of any kind
// is stopped no earlier than if it had not been, and not much later.
func TestStepsStopNobodyEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := drawLife(t)
		steady, reason := life.live(0)
		step := time.Duration(rapid.IntRange(10, 7200).Draw(t, "step")) * time.Second
		if rapid.Bool().Draw(t, "back") {
			step = -step
		}
		stepped, _ := life.live(step)
		late := life.policy.Idle + 30*time.Second
		if step < 0 || life.undone.Before(stepped) {
			late += step.Abs() // what others wrote before it was set back lies in the future for so long
		}
		if life.dies.Before(stepped) {
			late += life.policy.BusySilence // it may have said that it is busy, a moment after it would have been stopped
		}
		soon := stepped.Add(2 * time.Second) // whole seconds are said and written
		for _, began := range []time.Time{life.busyFrom, life.calledAt, life.dies} {
			if !began.Before(stepped) && !began.After(soon) {
				soon = steady // it was stopped a moment before it would have had work, or been silent
			}
		}
		switch {
		case stepped.IsZero():
			t.Fatalf("it lives for ever after a step of %v, and was stopped for %s after %v", step, reason, steady.Sub(created))
		case soon.Before(steady):
			t.Fatalf("stopped %v earlier after a step of %v: without one for %s after %v", steady.Sub(stepped), step, reason, steady.Sub(created))
		case stepped.After(later(steady, later(life.busyUntil, life.endedAt)).Add(late)):
			t.Fatalf("stopped %v later after a step of %v: without one for %s after %v", stepped.Sub(steady), step, reason, steady.Sub(created))
		}
	})
}

// life is one activation by the count of the process that asks the agent.
type life struct {
	policy              lifecycle.Policy
	stamps              stamps
	busyFrom, busyUntil time.Time
	calledAt, endedAt   time.Time // a call, with its lease
	dies                time.Time // the agent answers no more
	steps, undone       time.Time // the API server's clock is set, and set right again
}

func drawLife(t *rapid.T) life {
	moment := func(name string, most int) time.Time { return at(float64(rapid.IntRange(6, most).Draw(t, name))) }
	l := life{steps: moment("steps", 500).Add(period), undone: at(1e6), dies: at(1e6)}
	spec := &v1alpha1.AgentSessionSpec{}
	spec.Ping.IdleClock = rapid.SampledFrom([]v1alpha1.IdleClock{
		v1alpha1.IdleClockAgentCore, v1alpha1.IdleClockAgentCoreStrict, v1alpha1.IdleClockObserved,
	}).Draw(t, "clock")
	l.policy = lifecycle.PolicyOf(spec, 1)
	l.policy.Idle = time.Duration(rapid.IntRange(60, 200).Draw(t, "idle")) * time.Second
	l.policy.Max = l.policy.Idle + time.Duration(rapid.IntRange(0, 600).Draw(t, "max-idle"))*time.Second
	l.stamps = rapid.SampledFrom([]stamps{honest, missing, advancing, frozen}).Draw(t, "stamps")
	l.busyFrom, l.calledAt = moment("busy", 300), moment("called", 300)
	l.busyUntil = l.busyFrom.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "for")) * time.Second)
	l.endedAt = l.calledAt.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "call")) * time.Second)
	if near := func(change time.Time) bool { return !change.After(l.steps) && change.Add(period).After(l.steps) }; near(l.busyFrom) || near(l.busyUntil) {
		l.steps = l.steps.Add(2 * period) // or the agent stamps the future, and nobody has seen it do so before
	}
	if rapid.Bool().Draw(t, "undone") {
		l.undone = l.steps.Add(time.Duration(rapid.IntRange(2, 100).Draw(t, "after")) * time.Second)
	}
	if rapid.Bool().Draw(t, "dies") {
		l.dies = moment("dead", 500)
	}
	return l
}

// live returns when it is stopped, by the process's own count, and why. Agents and
// gateways have the API server's clock, which is set by step.
func (l life) live(step time.Duration) (time.Time, v1alpha1.StopReason) {
	set := func(own time.Time) time.Time {
		if !own.Before(l.steps) && own.Before(l.undone) {
			return own.Add(step)
		}
		return own
	}
	var clock lifecycle.Clock
	a := newAgent(created, l.stamps)
	f := lifecycle.Facts{
		Policy: l.policy, Desired: v1alpha1.DesiredRunning, State: v1alpha1.StateStarting, Activation: 1, Created: true, Asked: true,
		Compute: lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: created, StartedAt: created},
	}
	look := created
	for own := created; own.Before(at(12_000)); own = own.Add(time.Second) {
		api, before := set(own), f.Pulse
		clock, _ = clock.Hear(api.Truncate(time.Second), own, own)
		now := clock.At(own)
		a.work(!own.Before(l.busyFrom) && own.Before(l.busyUntil), api)
		switch {
		case own.Equal(l.endedAt):
			f.Traffic, look = lifecycle.Traffic{EndedAt: api}, own
		case own.Equal(l.calledAt):
			f.Traffic.InUseUntil, look = api.Add(f.Policy.Lease), own
		}
		if own.Equal(l.dies) {
			a.fails = lifecycle.FailureTimeout
		}
		if own.Sub(created)%period == 0 && own.After(at(4)) {
			f.Pulse = f.Pulse.Observe(a.answer(api), now, period)
		}
		if own.Before(look) && !before.Tells(f.Pulse, f.Policy.FailureThreshold) {
			continue
		}
		v := lifecycle.Decide(now, clock.Read(f, now))
		if v.State == v1alpha1.StateStopping {
			return own, v.Stop.Reason
		}
		f.State, f.Announced, look = v.State, announcedIn(v), own.Add(v.LookAgain.Sub(now))
	}
	return time.Time{}, ""
}

// TestAComputeOfTheFuture: its agent has the time of a start all the same.
func TestAComputeOfTheFuture(t *testing.T) {
	g := NewWithT(t)
	f := living(at(0), starting, func(f *lifecycle.Facts) {
		f.Compute.CreatedAt, f.Compute.StartedAt = at(3600), at(0)
		f.Pulse = lifecycle.Pulse{Failures: 9, FailingSince: at(1)}
	})
	g.Expect(lifecycle.Decide(at(119), f).State).To(Equal(v1alpha1.StateStarting))
	g.Expect(lifecycle.Decide(at(120), f).Stop.Reason).To(Equal(v1alpha1.StopStartTimeout))
	f.Pulse = lifecycle.Pulse{}.Observe(answer(contract.Healthy, zero), at(100), period)
	g.Expect(lifecycle.Decide(at(120), f).State).To(Equal(v1alpha1.StateIdle))
}
