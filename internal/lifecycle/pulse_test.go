package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const period = 2 * time.Second

// answer is a good answer; a zero stamp is none.
func answer(status contract.Status, stamp time.Time) lifecycle.Answer {
	ping := contract.Ping{Status: status, UpdatedAt: stamp, Stamp: contract.StampSeconds}
	if stamp.IsZero() {
		ping.Stamp = contract.StampMissing
	}
	return lifecycle.Answer{Ping: ping}
}

// hear observes the same answer every period, n times, from a moment on.
func hear(p lifecycle.Pulse, from time.Time, n int, a func(now time.Time) lifecycle.Answer) (lifecycle.Pulse, time.Time) {
	for ; n > 0; n-- {
		p = p.Observe(a(from), from, period)
		from = from.Add(period)
	}
	return p, from
}

func always(a lifecycle.Answer) func(time.Time) lifecycle.Answer {
	return func(time.Time) lifecycle.Answer { return a }
}

func TestPulseRemembersChanges(t *testing.T) {
	g := NewWithT(t)
	p := lifecycle.Pulse{}.Observe(answer(contract.Healthy, at(1)), at(5.3), period)
	g.Expect(p.HealthyAt).To(Equal(at(6)), "rounded up")
	g.Expect(p.Since).To(Equal(at(6)))
	g.Expect(p.Stamp).To(Equal(at(1)))
	g.Expect(p.Fresh(at(9.3), period)).To(BeTrue())
	g.Expect(p.Fresh(at(9.4), period)).To(BeFalse())

	p = p.Observe(answer(contract.HealthyBusy, at(7)), at(7.3), period)
	g.Expect(p.Since).To(Equal(at(8)))
	g.Expect(p.HealthyAt).To(Equal(at(6)), "the first good answer stays")
	g.Expect(p.Stamp).To(Equal(at(7)))

	failed := p.Observe(lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: "x"}, at(9.3), period)
	g.Expect(failed.Status).To(Equal(contract.HealthyBusy), "a failed ping says nothing of the status")
	g.Expect(failed.Since).To(Equal(at(8)))
	g.Expect(failed.Failures).To(Equal(1))
	g.Expect(failed.FailingSince).To(Equal(at(9.3)))
	g.Expect(failed.Fresh(at(9.4), period)).To(BeFalse())

	twice := failed.Observe(lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: "y"}, at(11.3), period)
	g.Expect(twice).To(And(HaveField("Failures", 2), HaveField("FailingSince", at(9.3)), HaveField("LastFailure.Detail", "y")))

	p = failed.Observe(answer(contract.HealthyBusy, at(2)), at(11.3), period)
	g.Expect(p.Failures).To(BeZero())
	g.Expect(p.FailingSince).To(BeZero())
	g.Expect(p.Stamp).To(Equal(at(7)), "a stamp does not move back")
}

func TestPulseCountsTimeThatNobodySaw(t *testing.T) {
	seen := func(p lifecycle.Pulse) lifecycle.Pulse {
		return p.Observe(answer(contract.Healthy, zero), at(10), period)
	}
	for name, row := range map[string]struct {
		before lifecycle.Pulse
		after  time.Time
		status contract.Status
		want   time.Duration
	}{
		"three periods are no gap":         {seen(lifecycle.Pulse{}), at(16), contract.Healthy, 0},
		"a gap is":                         {seen(lifecycle.Pulse{}), at(40), contract.Healthy, 30 * time.Second},
		"a change after a gap starts anew": {seen(lifecycle.Pulse{}), at(40), contract.HealthyBusy, 0},
		"down, last seen by the lease": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(10), HealthyAt: at(10), AnsweredAt: at(50), Restored: true}, at(70), contract.Healthy, 20 * time.Second,
		},
		"down, and nobody knows since when": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(10), HealthyAt: at(10), Restored: true}, at(70), contract.Healthy, 60 * time.Second,
		},
		"unseen for no longer than it has lasted": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(10), Unseen: lifecycle.Unseen{Total: 30 * time.Second}, HealthyAt: at(10), Restored: true}, at(70), contract.Healthy, 60 * time.Second,
		},
		"a change forgets what was not seen before": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(10), Unseen: lifecycle.Unseen{Total: 5 * time.Second}, AnsweredAt: at(50)}, at(52), contract.HealthyBusy, 0,
		},
		"what was not seen before stays": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(10), Unseen: lifecycle.Unseen{Total: 5 * time.Second}, AnsweredAt: at(50)}, at(70), contract.Healthy, 25 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := row.before.Observe(answer(row.status, zero), row.after, period)
			g.Expect(p.Unseen.Total).To(Equal(row.want))
			g.Expect(p.Restored).To(BeFalse())
		})
	}
}

// TestPulseKnowsItsGaps: what status held of unseen time is not among them,
// and a change of status ends them.
func TestPulseKnowsItsGaps(t *testing.T) {
	g := NewWithT(t)
	p := lifecycle.Pulse{Status: contract.Healthy, Since: at(10), Unseen: lifecycle.Unseen{Total: 20 * time.Second}, HealthyAt: at(10), AnsweredAt: at(50), Restored: true}
	p = p.Observe(answer(contract.Healthy, zero), at(59.5), period)
	g.Expect(p).To(And(HaveField("Unseen.Total", 29*time.Second), HaveField("Unseen.Gaps", 9*time.Second), HaveField("Unseen.Until", at(60))))
	p = p.Observe(answer(contract.Healthy, zero), at(61.5), period)
	g.Expect(p).To(And(HaveField("Unseen.Gaps", 9*time.Second), HaveField("Unseen.Until", at(60))), "no gap")
	p = p.Observe(answer(contract.Healthy, zero), at(71.5), period)
	g.Expect(p).To(And(HaveField("Unseen.Total", 39*time.Second), HaveField("Unseen.Gaps", 19*time.Second), HaveField("Unseen.Until", at(72))))
	p = p.Observe(answer(contract.HealthyBusy, zero), at(73.5), period)
	g.Expect(p).To(And(HaveField("Unseen", BeZero())))
}

// TestPulseTellsErrorsFromSilence: an agent that answers an error is not at work.
func TestPulseTellsErrorsFromSilence(t *testing.T) {
	g := NewWithT(t)
	p := lifecycle.Pulse{}.Observe(answer(contract.Healthy, at(1)), at(2), period)
	for i, failure := range []lifecycle.Failure{
		lifecycle.FailureTimeout, lifecycle.FailureStatusCode, lifecycle.FailureConnect, lifecycle.FailureProtocol, lifecycle.FailureBody,
	} {
		p = p.Observe(lifecycle.Answer{Failure: failure}, at(float64(4+2*i)), period)
	}
	g.Expect(p).To(And(HaveField("Failures", 5), HaveField("FailingSince", at(4)), HaveField("Errors", 3), HaveField("ErringSince", at(6))))
	p = p.Observe(answer(contract.Healthy, at(1)), at(14), period)
	g.Expect(p).To(And(HaveField("Failures", 0), HaveField("Errors", 0), HaveField("ErringSince", zero)))
}

func TestPulseFindings(t *testing.T) {
	failure := func(f lifecycle.Failure) func(time.Time) lifecycle.Answer {
		return always(lifecycle.Answer{Failure: f, Detail: "x"})
	}
	form := func(f contract.StampForm) func(time.Time) lifecycle.Answer {
		return always(lifecycle.Answer{Ping: contract.Ping{Status: contract.Healthy, Stamp: f}})
	}
	for name, row := range map[string]struct {
		answers func(time.Time) lifecycle.Answer
		n       int
		want    lifecycle.Finding
	}{
		"before the first answer":         {nil, 0, ""},
		"a good answer":                   {always(answer(contract.Healthy, at(1))), 1, v1alpha1.ReasonPingConforms},
		"no stamp":                        {always(answer(contract.Healthy, zero)), 1, v1alpha1.ReasonTimestampMissing},
		"milliseconds":                    {form(contract.StampMilliseconds), 1, v1alpha1.ReasonTimestampMilliseconds},
		"ISO 8601":                        {form(contract.StampNotANumber), 1, v1alpha1.ReasonTimestampUnusable},
		"negative":                        {form(contract.StampOutOfRange), 1, v1alpha1.ReasonTimestampUnusable},
		"the future":                      {func(now time.Time) lifecycle.Answer { return answer(contract.Healthy, now.Add(6*time.Second)) }, 1, v1alpha1.ReasonTimestampInFuture},
		"a clock that is a little ahead":  {always(answer(contract.Healthy, at(14))), 1, v1alpha1.ReasonPingConforms},
		"now on every ping":               {func(now time.Time) lifecycle.Answer { return answer(contract.Healthy, now) }, 20, v1alpha1.ReasonTimestampAdvances},
		"now on every ping, not sure yet": {func(now time.Time) lifecycle.Answer { return answer(contract.Healthy, now) }, 5, v1alpha1.ReasonPingConforms},
		"not reachable is no finding":     {failure(lifecycle.FailureConnect), 20, ""},
		"too slow":                        {failure(lifecycle.FailureTimeout), 5, v1alpha1.ReasonPingTooSlow},
		"too slow, not sure yet":          {failure(lifecycle.FailureTimeout), 4, ""},
		"not 200":                         {failure(lifecycle.FailureStatusCode), 5, v1alpha1.ReasonPingNotOK},
		"not HTTP":                        {failure(lifecycle.FailureProtocol), 5, v1alpha1.ReasonPingMalformed},
		"says that it is ill":             {always(lifecycle.Question{}.Judge([]byte(`{"status":"Unhealthy"}`))), 5, v1alpha1.ReasonPingSaysUnhealthy},
		"says so, not sure yet":           {always(lifecycle.Question{}.Judge([]byte(`{"status":"Unhealthy"}`))), 4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p, _ := hear(lifecycle.Pulse{}, at(10), row.n, row.answers)
			g.Expect(p.Finding).To(Equal(row.want))
			if row.want != "" {
				g.Expect(p.Finding.Message("")).NotTo(BeEmpty())
			}
			if row.want == v1alpha1.ReasonTimestampInFuture {
				g.Expect(p.Stamp).To(BeZero(), "it is not used")
			}
		})
	}
}

// TestEveryFindingHasItsWords: each reason of the condition PingContract that
// the rules give says something of its own, and follows on what was answered.
func TestEveryFindingHasItsWords(t *testing.T) {
	g := NewWithT(t)
	said := map[string]lifecycle.Finding{}
	kept := map[lifecycle.Finding]bool{v1alpha1.ReasonPingConforms: true, v1alpha1.ReasonPingMCP: true, v1alpha1.ReasonTimestampMissing: true}
	for _, reason := range []lifecycle.Finding{
		v1alpha1.ReasonPingConforms, v1alpha1.ReasonPingMCP, v1alpha1.ReasonTimestampMissing, v1alpha1.ReasonTimestampMilliseconds, v1alpha1.ReasonTimestampUnusable,
		v1alpha1.ReasonTimestampInFuture, v1alpha1.ReasonTimestampAdvances, v1alpha1.ReasonTimestampFrozen,
		v1alpha1.ReasonPingTooSlow, v1alpha1.ReasonPingNotOK, v1alpha1.ReasonPingMalformed, v1alpha1.ReasonPingSaysUnhealthy,
		v1alpha1.ReasonStatusUnknown, v1alpha1.ReasonPingNotJSON, v1alpha1.ReasonPingEncoded, v1alpha1.ReasonPingTooLarge, v1alpha1.ReasonPingByteOrderMark,
	} {
		words := reason.Message("")
		g.Expect(len(words)).To(BeNumerically(">", 40), "%s", reason)
		g.Expect(said).NotTo(HaveKey(words))
		said[words] = reason
		g.Expect(reason.Message("GET /ping was answered with 404")).To(Equal("GET /ping was answered with 404. " + words))
		g.Expect(reason.Conforms()).To(Equal(kept[reason]), "%s", reason)
		if reason != v1alpha1.ReasonTimestampInFuture {
			g.Expect(words).To(MatchRegexp("AgentCore|AWS"), "%s: what AWS would do", reason)
		}
	}
}

// TestPulseKeepsWhatWasAnswered: the words of a finding are those of an answer that
// stays, and those of an agent that answers differently each time stand.
func TestPulseKeepsWhatWasAnswered(t *testing.T) {
	g := NewWithT(t)
	says := func(detail string) func(time.Time) lifecycle.Answer {
		a := answer(contract.Healthy, zero)
		a.Finding, a.Detail = v1alpha1.ReasonPingNotJSON, detail
		return always(a)
	}
	p, now := hear(lifecycle.Pulse{}, at(10), 1, says("first"))
	g.Expect(p).To(And(HaveField("Finding", BeEquivalentTo(v1alpha1.ReasonPingNotJSON)), HaveField("FindingDetail", "first")))
	for i := range 20 {
		p, now = hear(p, now, 1, says(fmt.Sprint(i)))
		g.Expect(p.FindingDetail).To(Equal("first"))
	}
	p, now = hear(p, now, 4, says("second"))
	settled, now := hear(p, now, 1, says("second"))
	g.Expect(settled.FindingDetail).To(Equal("second"))
	g.Expect(p.Tells(settled, 15)).To(BeTrue())

	p = settled
	for i := range 10 { // each of them in other words
		p, now = hear(p, now, 1, always(lifecycle.Answer{Failure: lifecycle.FailureStatusCode, Detail: fmt.Sprint(i)}))
	}
	p, now = hear(p, now, 4, always(lifecycle.Answer{Failure: lifecycle.FailureStatusCode, Detail: "404"}))
	g.Expect(p).To(And(HaveField("Finding", BeEquivalentTo(v1alpha1.ReasonPingNotOK)), HaveField("FindingDetail", "8")))
	p, _ = hear(p, now, 1, always(lifecycle.Answer{Failure: lifecycle.FailureStatusCode, Detail: "404"}))
	g.Expect(p.FindingDetail).To(Equal("404"))

	restored := lifecycle.Pulse{Status: contract.Healthy, Since: at(10), HealthyAt: at(10), AnsweredAt: at(10), Restored: true, Finding: v1alpha1.ReasonPingNotJSON}
	restored, now = hear(restored, at(12), 4, says("second"))
	g.Expect(restored.FindingDetail).To(BeEmpty())
	restored, _ = hear(restored, now, 1, says("second"))
	g.Expect(restored.FindingDetail).To(Equal("second"))
}

// TestUnknownStatusIsHealthy: the status of such an agent does not change when it
// learns the word, and its stamp counts as any other.
func TestUnknownStatusIsHealthy(t *testing.T) {
	g := NewWithT(t)
	body := func(text string) func(time.Time) lifecycle.Answer {
		return always(lifecycle.Question{}.Judge([]byte(text)))
	}
	stamped := fmt.Sprintf(`{"status":"healthy","time_of_last_update":%d}`, at(5).Unix())
	p, now := hear(lifecycle.Pulse{}, at(10), 10, body(stamped))
	g.Expect(p).To(And(HaveField("Status", contract.Healthy), HaveField("Since", at(10)), HaveField("Stamp", at(5)),
		HaveField("Finding", BeEquivalentTo(v1alpha1.ReasonStatusUnknown))))
	p, now = hear(p, now, 10, body(`OK`))
	p, now = hear(p, now, 10, body(`{"status":"Healthy"}`))
	g.Expect(p.Since).To(Equal(at(10)))
	p, now = hear(p, now, 1, body(`{"status":"HealthyBusy"}`))
	p, _ = hear(p, now, 1, body(`{"status":"busy"}`))
	g.Expect(p.Status).To(Equal(contract.Healthy), "never busy")

	// One whose stamp moves on every ping never goes idle: that is what to know of it.
	p, _ = hear(lifecycle.Pulse{}, at(10), 20, func(now time.Time) lifecycle.Answer {
		return lifecycle.Question{}.Judge(fmt.Appendf(nil, `{"status":"ok","time_of_last_update":%d}`, now.Unix()))
	})
	g.Expect(p).To(And(HaveField("Finding", BeEquivalentTo(v1alpha1.ReasonTimestampAdvances)), HaveField("FindingDetail", "")))
}

// TestStampNeverMovesBack: not over an answer without a usable one either.
func TestStampNeverMovesBack(t *testing.T) {
	for name, unusable := range map[string]lifecycle.Answer{
		"in the future": answer(contract.Healthy, at(3600)),
		"missing":       answer(contract.Healthy, zero),
		"no number":     {Ping: contract.Ping{Status: contract.Healthy, Stamp: contract.StampNotANumber}},
		"no JSON":       lifecycle.Question{}.Judge([]byte("OK")),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p, now := hear(lifecycle.Pulse{}, at(10), 1, always(answer(contract.Healthy, at(8))))
			p, now = hear(p, now, 1, always(unusable))
			g.Expect(p.Stamp).To(BeZero(), "what is of no use is not used")
			p, _ = hear(p, now, 1, always(answer(contract.Healthy, at(1))))
			g.Expect(p.Stamp).To(Equal(at(8)))
		})
	}
}

// TestAnUnusableStampMovesNoIdleClock: what the agent once stamped stands, by each clock
// that takes stamps.
func TestAnUnusableStampMovesNoIdleClock(t *testing.T) {
	for _, idleClock := range []v1alpha1.IdleClock{v1alpha1.IdleClockAgentCore, v1alpha1.IdleClockAgentCoreStrict} {
		g := NewWithT(t)
		p, now := hear(lifecycle.Pulse{}, at(10), 500, always(answer(contract.Healthy, at(8))))
		p, now = hear(p, now, 1, always(answer(contract.Healthy, at(1000))))
		p, now = hear(p, now, 1, always(answer(contract.Healthy, now.Add(time.Hour))))
		v := lifecycle.Decide(now, living(now, clock(idleClock), func(f *lifecycle.Facts) { f.Pulse = p }))
		g.Expect(v).To(And(HaveField("State", v1alpha1.StateIdle), HaveField("IdleSince", at(1000))), "%s", idleClock)
	}
}

// TestAnAnswerIsAsOldAsItsQuestion: one that lay in the socket says what was when it was
// asked for. A change may have come just before it was read.
func TestAnAnswerIsAsOldAsItsQuestion(t *testing.T) {
	g := NewWithT(t)
	late := answer(contract.Healthy, zero)
	late.Took = 1500 * time.Millisecond
	p := lifecycle.Pulse{}.Observe(late, at(12), period)
	g.Expect(p).To(And(HaveField("AnsweredAt", at(10.5)), HaveField("Since", at(12)), HaveField("HealthyAt", at(12))))
	g.Expect(p.Fresh(at(14.5), period)).To(BeTrue())
	g.Expect(p.Fresh(at(14.6), period)).To(BeFalse())
	g.Expect(p.Fresh(at(11.5), period/20)).To(BeTrue(), "in a scaled time an answer takes longer than two periods")
	g.Expect(p.Fresh(at(11.6), period/20)).To(BeFalse())
}

// TestPulseAfterTheClockWasSetBack: what was seen counts from now, and not from an hour
// that is still to come.
func TestPulseAfterTheClockWasSetBack(t *testing.T) {
	hour := 3600.0
	before := func(last func(p lifecycle.Pulse, now time.Time) lifecycle.Pulse) lifecycle.Pulse {
		p, now := hear(lifecycle.Pulse{}, at(hour+10), 5, always(answer(contract.Healthy, zero)))
		return last(p, now)
	}
	same := func(p lifecycle.Pulse, _ time.Time) lifecycle.Pulse { return p }
	dead := lifecycle.Answer{Failure: lifecycle.FailureConnect}
	for name, row := range map[string]struct {
		before lifecycle.Pulse
		answer lifecycle.Answer
		want   types.GomegaMatcher
	}{
		"it answers": {before(same), answer(contract.Healthy, zero), And(HaveField("Since", at(30)), HaveField("HealthyAt", at(30)), HaveField("AnsweredAt", at(30)), HaveField("Unseen", BeZero()))},
		"it fails":   {before(same), dead, And(HaveField("FailingSince", at(30)), HaveField("Since", at(30)))},
		"it failed": {before(func(p lifecycle.Pulse, now time.Time) lifecycle.Pulse {
			p, _ = hear(p, now, 3, always(dead))
			return p
		}), dead, And(HaveField("FailingSince", at(30)), HaveField("Failures", 4))},
		"it had stepped forward before": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(5), HealthyAt: at(5), AnsweredAt: at(20)}.Observe(answer(contract.Healthy, zero), at(hour+22), period),
			answer(contract.Healthy, zero), And(HaveField("Since", at(5)), HaveField("Unseen.Total", 25*time.Second)),
		},
		"its stamp lay in the future": {
			lifecycle.Pulse{}.Observe(answer(contract.Healthy, at(hour+10)), at(hour+10), period), answer(contract.Healthy, at(29)),
			And(HaveField("Stamp", at(30)), HaveField("LastStamp", at(30))),
		},
		"its stamp still does": {
			lifecycle.Pulse{}.Observe(answer(contract.Healthy, at(hour+10)), at(hour+10), period), answer(contract.Healthy, at(hour+10)),
			And(HaveField("Stamp", at(30)), HaveField("Finding", BeEquivalentTo(v1alpha1.ReasonPingConforms))),
		},
		"another operator's clock was ahead": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(5), HealthyAt: at(5), AnsweredAt: at(hour), Restored: true},
			answer(contract.Healthy, zero), And(HaveField("Since", at(5)), HaveField("Unseen.Total", 25*time.Second)),
		},
		"a little is no step": {
			lifecycle.Pulse{Status: contract.Healthy, Since: at(34), HealthyAt: at(34), AnsweredAt: at(33.5)}, dead, HaveField("Since", at(34)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			after := row.before.Observe(row.answer, at(30), period)
			g.Expect(after).To(row.want)
			if !after.Since.Equal(row.before.Since) {
				g.Expect(row.before.Tells(after, 15)).To(BeTrue(), "status says otherwise")
			}
		})
	}
}

// TestAPulseThatIsSetBackKnowsThatItWasSeen: one failure is no time in which nobody could
// see the agent.
func TestAPulseThatIsSetBackKnowsThatItWasSeen(t *testing.T) {
	p, _ := hear(lifecycle.Pulse{}, at(3610), 5, always(answer(contract.Healthy, zero)))
	p, now := hear(p, at(30), 1, always(lifecycle.Answer{Failure: lifecycle.FailureConnect}))
	p, _ = hear(p, now, 1, always(answer(contract.Healthy, zero)))
	NewWithT(t).Expect(p).To(And(HaveField("Since", at(30)), HaveField("Unseen", BeZero())))
}

// TestAdvancesComeOneSoonAfterTheOther: a stamp that has stood for more than five seconds
// does not move on every ping.
func TestAdvancesComeOneSoonAfterTheOther(t *testing.T) {
	for _, row := range []struct {
		stands time.Duration
		want   bool
	}{{2*period + time.Second, true}, {2*period + time.Second + 1, false}} {
		p, now := hear(lifecycle.Pulse{}, at(10), 10, func(now time.Time) lifecycle.Answer { return answer(contract.Healthy, now) })
		now = now.Add(row.stands - period)
		p = p.Observe(answer(contract.Healthy, p.LastStamp), now, period)
		NewWithT(t).Expect(p.Advancing()).To(Equal(row.want), "%s", row.stands)
	}
}

// TestUntil: a while that began in the future is over.
func TestUntil(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lifecycle.Until(at(10), at(9), time.Second)).To(Equal(at(10)))
	g.Expect(lifecycle.Until(at(10), at(15), time.Second)).To(Equal(at(16)), "status rounds up, and clocks differ a little")
	g.Expect(lifecycle.Until(at(10), at(15.1), time.Second)).To(Equal(at(10)))
}

func TestPulseFindsAFrozenStamp(t *testing.T) {
	g := NewWithT(t)
	p, now := hear(lifecycle.Pulse{}, at(10), 10, always(answer(contract.HealthyBusy, at(9))))
	p, now = hear(p, now, 5, always(answer(contract.Healthy, at(9))))
	g.Expect(p.Finding).To(BeEquivalentTo(v1alpha1.ReasonTimestampFrozen))
	p, _ = hear(p, now, 5, always(answer(contract.HealthyBusy, now)))
	g.Expect(p.Finding).To(BeEquivalentTo(v1alpha1.ReasonPingConforms))

	// Two changes within one second share a stamp, which is no breach.
	p, _ = hear(lifecycle.Pulse{}, at(10), 1, always(answer(contract.Healthy, at(9))))
	p, _ = hear(p, at(10.1), 1, always(answer(contract.HealthyBusy, at(10))))
	p, _ = hear(p, at(10.9), 9, always(answer(contract.Healthy, at(10))))
	g.Expect(p.Finding).To(BeEquivalentTo(v1alpha1.ReasonPingConforms))
}

func TestPulseSettlesAChangeOfFinding(t *testing.T) {
	g := NewWithT(t)
	good, none := always(answer(contract.Healthy, at(1))), always(answer(contract.Healthy, zero))
	p, now := hear(lifecycle.Pulse{}, at(10), 1, good)
	for range 20 { // missing and there by turns: one finding stays
		p, now = hear(p, now, 1, none)
		p, now = hear(p, now, 1, good)
		g.Expect(p.Finding).To(BeEquivalentTo(v1alpha1.ReasonPingConforms))
	}
	p, now = hear(p, now, 4, none)
	g.Expect(p.Finding).To(BeEquivalentTo(v1alpha1.ReasonPingConforms))
	p, _ = hear(p, now, 1, none)
	g.Expect(p.Finding).To(BeEquivalentTo(v1alpha1.ReasonTimestampMissing))
}

func TestPulseTellsOnlyWhatMatters(t *testing.T) {
	g := NewWithT(t)
	const threshold = 15
	told := func(p lifecycle.Pulse, a lifecycle.Answer, now time.Time) (lifecycle.Pulse, bool) {
		next := p.Observe(a, now, period)
		return next, p.Tells(next, threshold)
	}
	good := answer(contract.Healthy, at(1))
	p, tells := told(lifecycle.Pulse{}, good, at(10))
	g.Expect(tells).To(BeTrue(), "the first good answer")
	now := at(12)
	for range 1000 {
		if p, tells = told(p, good, now); tells {
			t.Fatal("nothing changed")
		}
		now = now.Add(period)
	}
	failed := lifecycle.Answer{Failure: lifecycle.FailureConnect}
	for i := range 30 {
		p, tells = told(p, failed, now)
		g.Expect(tells).To(Equal(i == threshold-1), "failure %d", i+1)
		now = now.Add(period)
	}
	p, tells = told(p, good, now)
	g.Expect(tells).To(BeTrue(), "it answers again")
	p, tells = told(p, answer(contract.HealthyBusy, now), now.Add(period))
	g.Expect(tells).To(BeTrue(), "it is busy")
	p.Restored = true
	_, tells = told(p, answer(contract.HealthyBusy, now), now.Add(2*period))
	g.Expect(tells).To(BeTrue(), "what was restored is confirmed")
}

// What was found out of an agent's connections stands until it is found out anew, and is
// alone no reason to look at the session.
func TestConnections(t *testing.T) {
	g := NewWithT(t)
	with := func(c lifecycle.Connections) lifecycle.Answer {
		a := answer(contract.Healthy, time.Time{})
		a.Connections = c
		return a
	}
	p := lifecycle.Pulse{}.Observe(with(lifecycle.ConnectionsOne), at(0), period)
	g.Expect(p.Connections).To(Equal(lifecycle.ConnectionsOne))
	p = p.Observe(with(lifecycle.ConnectionsUnknown), at(2), period)
	g.Expect(p.Connections).To(Equal(lifecycle.ConnectionsOne))
	next := p.Observe(with(lifecycle.ConnectionsMany), at(4), period)
	g.Expect(next.Connections).To(Equal(lifecycle.ConnectionsMany))
	g.Expect(p.Tells(next, 15)).To(BeFalse())
}
