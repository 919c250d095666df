package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestReportsAreBounded: however an agent changes, it is told of 40 times in its first
// hour, and 20 times in each that follows.
func TestReportsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := living(created)
		var left lifecycle.Reports
		var written []time.Time
		for now := created; now.Before(created.Add(5 * time.Hour)); {
			now = now.Add(time.Duration(rapid.IntRange(4, 400).Draw(t, "s")) * time.Second)
			if now.Before(left.Due(f, lifecycle.Verdict{})) {
				continue
			}
			left, written = left.Pay(now, f.Policy), append(written, now)
		}
		for i, from := range written {
			n := 0
			for _, at := range written[i:] {
				if at.Before(from.Add(time.Hour)) {
					n++
				}
			}
			if n > 40 {
				t.Fatalf("%d reports in the hour from %v on", n, from)
			}
		}
		if most := 20 + 5*20; len(written) > most {
			t.Fatalf("%d reports in five hours", len(written))
		}
	})
}

// TestNoReportIsLate: whatever idle timeout an agent has that changes all the time, and
// however often its idle stop comes near, what it does is told within Policy.Report. A
// clock that is set back takes no more than that once again.
func TestNoReportIsLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := living(created)
		f.Policy.Idle = time.Duration(rapid.IntRange(60, 180).Draw(t, "idle")) * time.Second
		stepsBack := rapid.Bool().Draw(t, "clock")
		var left lifecycle.Reports
		var told, v lifecycle.Verdict
		var set time.Duration // by how much the clock was set back
		var held, changes time.Time
		inTime, near, hours := 0, 0, 2
		for own := created; own.Before(created.Add(time.Duration(hours) * time.Hour)); own = own.Add(period) {
			if stepsBack && rapid.IntRange(0, 1000).Draw(t, "step") == 0 {
				set += time.Duration(rapid.IntRange(10, 24*3600).Draw(t, "by")) * time.Second
				held = own
			}
			now := own.Add(-set)
			if !own.Before(changes) {
				v = lifecycle.Verdict{}
				if rapid.IntRange(0, 2).Draw(t, "works") > 0 {
					v.Next = lifecycle.Stop{At: now.Add(f.Policy.Idle), Reason: v1alpha1.StopIdleTimeout}
				}
				changes = own.Add(f.Policy.Idle - time.Duration(rapid.IntRange(2, 58).Draw(t, "s"))*time.Second)
			}
			if stepsBack {
				left = left.Bounded(now, f.Policy)
			}
			if v == told {
				held = own
				continue
			}
			if now.Before(left.Due(f, v)) {
				if own.Sub(held) > f.Policy.Report {
					t.Fatalf("told %v late, and %v to wait", own.Sub(held), left.Due(f, v).Sub(now))
				}
				continue
			}
			if left.Spent(now, f.Policy) {
				near++
			} else {
				inTime++
			}
			left, told, held, f.Announced = left.Pay(now, f.Policy), v, own, v.Next.At
		}
		if most := 20 + hours*20; !stepsBack && inTime > most {
			t.Fatalf("%d reports in %d hours", inTime, hours)
		}
		if most := hours * int(time.Hour/(f.Policy.Idle-6*period)); near > most {
			t.Fatalf("%d of stops that came near in %d hours", near, hours)
		}
	})
}

func TestWhenTheNextReportIsDue(t *testing.T) {
	now := at(1000)
	idle := func(at time.Time) lifecycle.Verdict {
		return lifecycle.Verdict{Next: lifecycle.Stop{At: at, Reason: v1alpha1.StopIdleTimeout}}
	}
	spent := lifecycle.SpentReports(now, living(now).Policy)
	for name, row := range map[string]struct {
		left lifecycle.Reports
		v    lifecycle.Verdict
		told time.Time
		want time.Time
	}{
		"nothing left":                       {spent, lifecycle.Verdict{}, zero, now.Add(3 * time.Minute)},
		"nothing left, and a stop far away":  {spent, idle(now.Add(time.Hour)), zero, now.Add(3 * time.Minute)},
		"nothing left, and a stop near":      {spent, idle(now.Add(time.Minute)), zero, now.Add(48 * time.Second)},
		"and another one announced":          {spent, idle(now.Add(time.Minute)), now.Add(2 * time.Minute), now.Add(48 * time.Second)},
		"and that one announced":             {spent, idle(now.Add(time.Minute + time.Millisecond)), now.Add(time.Minute), now.Add(3 * time.Minute)},
		"nothing left, and the maximum near": {spent, lifecycle.Verdict{Next: lifecycle.Stop{At: now.Add(time.Minute), Reason: v1alpha1.StopMaxLifetime}}, zero, now.Add(3 * time.Minute)},
		"all left":                           {lifecycle.Reports{}, idle(now.Add(time.Minute)), zero, zero.Add(-57 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			f := living(now, func(f *lifecycle.Facts) { f.Announced = row.told })
			NewWithT(t).Expect(row.left.Due(f, row.v)).To(BeTemporally("==", row.want))
		})
	}
	g := NewWithT(t)
	policy := living(now).Policy
	left := lifecycle.Reports{}
	for range 19 {
		left = left.Pay(now, policy)
	}
	g.Expect(left.Spent(now, policy)).To(BeFalse())
	left = left.Pay(now, policy)
	g.Expect(left.Spent(now, policy)).To(BeTrue())
	g.Expect(left.Easy(policy)).To(BeTemporally("==", now.Add(6*time.Minute)))
}

func TestALateReportIsUnknownTime(t *testing.T) {
	g := NewWithT(t)
	p := lifecycle.Pulse{Since: at(100), Unseen: lifecycle.Unseen{Total: 10 * time.Second}}
	g.Expect(p.Late(at(1000), 0)).To(Equal(p))
	g.Expect(p.Late(at(1000), 3*time.Minute).Unseen.Total).To(Equal(190 * time.Second))
	g.Expect(p.Late(at(200), 3*time.Minute).Unseen.Total).To(Equal(100*time.Second), "and not beyond now")
	g.Expect(p.Late(at(105), 3*time.Minute).Unseen.Total).To(Equal(10 * time.Second))
}

func TestFlapping(t *testing.T) {
	now := time.Unix(1795423194, 0)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	for reason, row := range map[string]struct {
		flapping bool
		late     time.Duration
	}{
		"":                         {false, 0},
		"Active":                   {false, 0},
		v1alpha1.ReasonMassFailure: {false, policy.Report},
		v1alpha1.ReasonFlapping:    {true, policy.Report},
	} {
		g := NewWithT(t)
		status := &v1alpha1.AgentSessionStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionPingContract, Reason: v1alpha1.ReasonFlapping}, {Type: v1alpha1.ConditionReady, Reason: reason}}}
		g.Expect(lifecycle.Flapping(status)).To(Equal(row.flapping), reason)
		g.Expect(lifecycle.Staleness(status, policy)).To(Equal(row.late), reason)
		left := lifecycle.RestoreReports(now, status, policy)
		g.Expect(left.Spent(now, policy)).To(BeFalse(), "one is due, at least")
		g.Expect(left.Pay(now, policy).Spent(now, policy)).To(Equal(row.flapping), reason)
	}
}

// A session that flapped is one that does until there is room for two reports; one that did
// not becomes one when there is room for none.
func TestHold(t *testing.T) {
	now := time.Unix(1795423194, 0)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	spent := lifecycle.SpentReports(now, policy)
	for name, row := range map[string]struct {
		after   time.Duration
		flapped bool
		want    bool
	}{
		"nothing left":                {0, false, true},
		"room for one":                {policy.Report, false, false},
		"room for one, and it did":    {policy.Report, true, true},
		"nearly room for two":         {2*policy.Report - time.Second, true, true},
		"room for two":                {2 * policy.Report, true, false},
		"room for two, and it didn't": {2 * policy.Report, false, false},
	} {
		NewWithT(t).Expect(spent.Hold(now.Add(row.after), row.flapped, policy)).To(Equal(row.want), name)
	}
}
