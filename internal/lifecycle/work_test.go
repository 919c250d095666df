package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// busyWith is a session that has been busy since the tenth second and may be so
// for 300; what the agent told of its tasks is work.
func busyWith(action v1alpha1.StuckAction, work lifecycle.Work) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) {
		said(contract.HealthyBusy, at(10), at(10))(f)
		stuckAfter(300, action)(f)
		f.Work = work
	}
}

func TestWorkOf(t *testing.T) {
	now := at(1000)
	ended, first := 20*time.Second, 30*time.Second
	task := func(name string, age int, ended *time.Duration) contract.RunningTask {
		return contract.RunningTask{Name: name, Duration: time.Duration(age) * time.Second, Ended: ended}
	}
	for name, row := range map[string]struct {
		told []contract.RunningTask
		want lifecycle.Work
	}{
		"none": {nil, lifecycle.Work{AskedAt: now, ToldAt: now}},
		"the oldest of several": {
			[]contract.RunningTask{task("b", 5, nil), task("a", 50, nil), task("c", 1, nil)},
			lifecycle.Work{AskedAt: now, ToldAt: now, Oldest: lifecycle.Task{Name: "a", BeganAt: at(950)}},
		},
		"the first of those that ended": {
			[]contract.RunningTask{task("a", 50, nil), task("b", 40, &ended), task("c", 45, &first)},
			lifecycle.Work{
				AskedAt: now, ToldAt: now, Oldest: lifecycle.Task{Name: "a", BeganAt: at(950)},
				Ended: lifecycle.Task{Name: "c", BeganAt: at(955), EndedAt: at(970)},
			},
		},
		"a name that nobody should print": {
			[]contract.RunningTask{task("\x1b[31m"+strings.Repeat("é", 100), 1, nil)},
			lifecycle.Work{AskedAt: now, ToldAt: now, Oldest: lifecycle.Task{Name: "?[31m" + strings.Repeat("é", 59), BeganAt: at(999)}},
		},
	} {
		NewWithT(t).Expect(lifecycle.WorkOf(contract.Tasks{RunningJobs: row.told}, now)).To(Equal(row.want), name)
	}
}

// told is what an agent told at that moment, when it was last asked.
func told(moment time.Time, work lifecycle.Work) lifecycle.Work {
	work.AskedAt, work.ToldAt = moment, moment
	return work
}

func TestStuckNamesTheTask(t *testing.T) {
	index := lifecycle.Task{Name: "index", BeganAt: at(8)}
	forgotten := lifecycle.Task{Name: "index", BeganAt: at(8), EndedAt: at(60)}
	for name, row := range map[string]struct {
		now     time.Time
		work    lifecycle.Work
		reason  string
		message string
	}{
		"not yet": {at(309), told(at(300), lifecycle.Work{Oldest: index}), "", ""},
		"too long": {
			at(310),
			told(at(300), lifecycle.Work{Oldest: index}),
			v1alpha1.ReasonBusyTooLong,
			`HealthyBusy for 5m0s without a break; task "index" has run for 5m2s`,
		},
		"too long, and nobody tells":             {at(310), lifecycle.Work{AskedAt: at(300)}, v1alpha1.ReasonBusyTooLong, `HealthyBusy for 5m0s without a break`},
		"too long, and it tells no more":         {at(310), told(at(270), lifecycle.Work{Oldest: index}).Unanswered(at(300)), v1alpha1.ReasonBusyTooLong, `HealthyBusy for 5m0s without a break, `},
		"too long, and it told while it was not": {at(310), told(at(9), lifecycle.Work{Oldest: index}), v1alpha1.ReasonBusyTooLong, `HealthyBusy for 5m0s without a break, `},
		"a task older than the compute": {
			at(310),
			told(at(300), lifecycle.Work{Oldest: lifecycle.Task{Name: "liar", BeganAt: at(-1e9)}}),
			v1alpha1.ReasonBusyTooLong,
			`HealthyBusy for 5m0s without a break; task "liar" has run for 5m10s`,
		},
		"a task of the future": {
			at(310),
			told(at(300), lifecycle.Work{Oldest: lifecycle.Task{Name: "liar", BeganAt: at(1e9)}}),
			v1alpha1.ReasonBusyTooLong,
			`HealthyBusy for 5m0s without a break; task "liar" has run for 0s`,
		},
		"ended by the journal": {
			at(70),
			told(at(70), lifecycle.Work{Oldest: index, Ended: forgotten}),
			v1alpha1.ReasonTaskForgotten,
			`task "index", begun 1m2s ago, is still noted 10s after an event of the agent said that it had ended`,
		},
		"ended a moment ago":            {at(69), told(at(69), lifecycle.Work{Ended: forgotten}), "", ""},
		"ended, and not asked since":    {at(100), told(at(69), lifecycle.Work{Ended: forgotten}), "", ""},
		"ended, and did not tell since": {at(100), told(at(69), lifecycle.Work{Ended: forgotten}).Unanswered(at(100)), "", ""},
		"ended before it was busy":      {at(19), told(at(19), lifecycle.Work{Ended: lifecycle.Task{Name: "t", EndedAt: at(-50)}}), "", ""},
		"ended before, and busy since":  {at(20), told(at(20), lifecycle.Work{Ended: lifecycle.Task{Name: "t", EndedAt: at(-50)}}), v1alpha1.ReasonTaskForgotten, `task "t", begun 20s ago`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			v := lifecycle.Decide(row.now, living(row.now, busyWith(v1alpha1.StuckReport, row.work)))
			g.Expect(v.State).To(Equal(v1alpha1.StateActive), "Report stops nobody")
			g.Expect(v.Stuck.Reason).To(Equal(row.reason))
			g.Expect(v.Stuck.Message + ", ").To(HavePrefix(row.message))

			v = lifecycle.Decide(row.now, living(row.now, busyWith(v1alpha1.StuckStop, row.work)))
			if row.reason == "" {
				g.Expect(v.State).To(Equal(v1alpha1.StateActive))
				return
			}
			g.Expect(v.Stop.Reason).To(Equal(v1alpha1.StopStuckBusy))
			g.Expect(v.Stop.Message).To(And(HavePrefix(row.message), HaveSuffix(", and spec.stuckDetection.action is Stop")))
			g.Expect(v.Stop.At).To(Equal(row.now), "nobody knew before")

			unseen := living(row.now, busyWith(v1alpha1.StuckStop, row.work), failing(1, row.now))
			g.Expect(lifecycle.Decide(row.now, unseen).State).To(Equal(v1alpha1.StateActive), "on a fresh answer only")
		})
	}
}

// TestStuckCountsOnlyWhatIsKnown: where nobody looked, the agent may have been idle,
// unless its stamp says that it was not; and where it stamps a later change it was.
func TestStuckCountsOnlyWhatIsKnown(t *testing.T) {
	saw := func(gap float64, stamp time.Time) lifecycle.Pulse {
		p, _ := hear(lifecycle.Pulse{}, at(10), 1, always(answer(contract.HealthyBusy, at(9))))
		p, _ = hear(p, at(10+gap), 1, always(answer(contract.HealthyBusy, stamp)))
		return p
	}
	advancing, _ := hear(lifecycle.Pulse{}, at(10), 10, func(now time.Time) lifecycle.Answer { return answer(contract.HealthyBusy, now) })
	frozen, _ := hear(lifecycle.Pulse{}, at(8), 1, always(answer(contract.Healthy, at(0))))
	frozen, now := hear(frozen, at(10), 1, always(answer(contract.HealthyBusy, at(0))))
	frozen, _ = hear(frozen, now.Add(100*time.Second), 1, always(answer(contract.HealthyBusy, at(0))))
	for name, row := range map[string]struct {
		clock v1alpha1.IdleClock
		pulse lifecycle.Pulse
		want  time.Time
	}{
		"seen all the while":                          {v1alpha1.IdleClockAgentCore, saw(2, zero), at(310)},
		"not seen for 100 s":                          {v1alpha1.IdleClockAgentCore, saw(100, zero), at(410)},
		"and its stamp says that it was busy":         {v1alpha1.IdleClockAgentCore, saw(100, at(9)), at(310)},
		"and its stamp says that it was not":          {v1alpha1.IdleClockAgentCore, saw(100, at(50)), at(350)},
		"seen, and its stamp says that it was not":    {v1alpha1.IdleClockAgentCore, saw(2, at(11)), at(311)},
		"by the observed clock no stamp counts":       {v1alpha1.IdleClockObserved, saw(100, at(9)), at(410)},
		"a stamp that moves at each ping says naught": {v1alpha1.IdleClockAgentCore, advancing, at(310)},
		"nor does one that its status left behind":    {v1alpha1.IdleClockAgentCore, frozen, at(412)},
	} {
		t.Run(name, func(t *testing.T) {
			f := living(at(200), clock(row.clock), stuckAfter(300, v1alpha1.StuckStop), func(f *lifecycle.Facts) { f.Pulse = row.pulse })
			NewWithT(t).Expect(lifecycle.Decide(at(200), f).Next).To(And(HaveField("Reason", v1alpha1.StopStuckBusy), HaveField("At", row.want)))
		})
	}
}

// TestForgottenIsNotForgotten: an agent that does not tell once is as stuck as
// before. It is not stopped for what it told before that, but for being busy too
// long it is.
func TestForgottenIsNotForgotten(t *testing.T) {
	g := NewWithT(t)
	forgotten := lifecycle.Task{Name: "index", BeganAt: at(8), EndedAt: at(60)}
	work := told(at(70), lifecycle.Work{Oldest: forgotten, Ended: forgotten}).Unanswered(at(100))

	report := lifecycle.Decide(at(101), living(at(101), busyWith(v1alpha1.StuckReport, work)))
	g.Expect(report.Stuck).To(And(HaveField("Reason", v1alpha1.ReasonTaskForgotten), HaveField("Task", forgotten), HaveField("At", at(70))))

	stop := lifecycle.Decide(at(309), living(at(309), busyWith(v1alpha1.StuckStop, work)))
	g.Expect(stop.State).To(Equal(v1alpha1.StateActive))
	g.Expect(stop.Next).To(And(HaveField("Reason", v1alpha1.StopStuckBusy), HaveField("At", at(310))))
	stop = lifecycle.Decide(at(310), living(at(310), busyWith(v1alpha1.StuckStop, work)))
	g.Expect(stop.Stop).To(And(HaveField("Reason", v1alpha1.StopStuckBusy), HaveField("Message", HavePrefix("HealthyBusy for 5m0s without a break, "))))

	gone := told(at(130), lifecycle.Work{Oldest: lifecycle.Task{Name: "another", BeganAt: at(100)}})
	g.Expect(lifecycle.Decide(at(131), living(at(131), busyWith(v1alpha1.StuckReport, gone))).Stuck).To(Equal(lifecycle.Stuck{}))
}

// TestAnAgentDoesNotChooseHowOftenItIsAsked: whatever it tells.
func TestAnAgentDoesNotChooseHowOftenItIsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		work, asked := lifecycle.Work{}, time.Time{}
		for now, end := at(11), at(290); now.Before(end); {
			v := lifecycle.Decide(now, living(now, busyWith(v1alpha1.StuckReport, work)))
			if !v.Ask {
				now = v.LookAgain
				continue
			}
			if since := now.Sub(asked); since < 5*period {
				t.Fatalf("asked %v after it was asked", since)
			}
			asked = now
			ended := time.Duration(rapid.IntRange(0, 10_000).Draw(t, "ended")) * time.Millisecond
			work = lifecycle.WorkOf(contract.Tasks{RunningJobs: []contract.RunningTask{{Name: "t", Ended: &ended}}}, now)
		}
		if asked.IsZero() {
			t.Fatal("never asked")
		}
	})
}

func TestAsk(t *testing.T) {
	ended := lifecycle.Task{Name: "t", EndedAt: at(45)}
	for name, row := range map[string]struct {
		change []func(*lifecycle.Facts)
		want   time.Time // zero: never
	}{
		"15 periods after it became busy":      {nil, at(40)},
		"again 15 periods later":               {[]func(*lifecycle.Facts){busyWith(v1alpha1.StuckReport, lifecycle.Work{AskedAt: at(40)})}, at(70)},
		"before it is stuck":                   {[]func(*lifecycle.Facts){stuckAfter(20, v1alpha1.StuckReport)}, at(20)},
		"when a task would be forgotten":       {[]func(*lifecycle.Facts){busyWith(v1alpha1.StuckReport, told(at(44), lifecycle.Work{Ended: lifecycle.Task{Name: "t", EndedAt: at(44.5)}}))}, at(54.5)},
		"but 5 periods later at the soonest":   {[]func(*lifecycle.Facts){busyWith(v1alpha1.StuckReport, told(at(54), lifecycle.Work{Ended: ended}))}, at(64)},
		"it did not tell then":                 {[]func(*lifecycle.Facts){busyWith(v1alpha1.StuckReport, told(at(46), lifecycle.Work{Ended: ended}).Unanswered(at(55)))}, at(85)},
		"a forgotten task, as often as others": {[]func(*lifecycle.Facts){busyWith(v1alpha1.StuckReport, told(at(55), lifecycle.Work{Ended: ended}))}, at(85)},
		"what was told of an earlier task":     {[]func(*lifecycle.Facts){busyWith(v1alpha1.StuckReport, lifecycle.Work{AskedAt: at(9)})}, at(40)},
		"nobody wants to know":                 {[]func(*lifecycle.Facts){stuckAfter(0, "")}, time.Time{}},
		"not busy":                             {[]func(*lifecycle.Facts){said(contract.Healthy, at(10), at(10))}, time.Time{}},
		"not asked":                            {[]func(*lifecycle.Facts){func(f *lifecycle.Facts) { f.Asked = false }}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			decide := func(now time.Time) lifecycle.Verdict {
				return lifecycle.Decide(now, living(now, append([]func(*lifecycle.Facts){busyWith(v1alpha1.StuckReport, lifecycle.Work{})}, row.change...)...))
			}
			if row.want.IsZero() {
				g.Expect(decide(at(200)).Ask).To(BeFalse())
				return
			}
			before := decide(row.want.Add(-1))
			g.Expect(before.Ask).To(BeFalse())
			g.Expect(before.LookAgain).To(Equal(row.want))
			due := decide(row.want)
			g.Expect(due.Ask).To(BeTrue())
			g.Expect(due.LookAgain).To(BeTemporally("<=", row.want.Add(period)), "and again if nobody could be asked")
		})
	}
}

func TestWorkTells(t *testing.T) {
	older := lifecycle.Work{AskedAt: at(1), Oldest: lifecycle.Task{Name: "a", BeganAt: at(0)}}
	for name, row := range map[string]struct {
		before *lifecycle.Work
		work   lifecycle.Work
		want   bool
	}{
		"nothing known":       {nil, lifecycle.Work{AskedAt: at(2)}, false},
		"the first task":      {nil, older, true},
		"the same task":       {&older, lifecycle.Work{AskedAt: at(9), Oldest: lifecycle.Task{Name: "a", BeganAt: at(0.1)}}, false},
		"another task":        {&older, lifecycle.Work{AskedAt: at(9), Oldest: lifecycle.Task{Name: "b"}}, true},
		"no task any more":    {&older, lifecycle.Work{AskedAt: at(9)}, true},
		"a task that ended":   {&older, lifecycle.Work{Oldest: older.Oldest, Ended: lifecycle.Task{Name: "a", EndedAt: at(2)}}, true},
		"and is gone at last": {&lifecycle.Work{Oldest: older.Oldest, Ended: older.Oldest}, older, true},
	} {
		NewWithT(t).Expect(row.work.Tells(row.before)).To(Equal(row.want), name)
	}
}
