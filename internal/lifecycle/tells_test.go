package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestTells: each thing that status shows or a rule waits for is told alone,
// and nothing else is.
func TestTells(t *testing.T) {
	const threshold = 15
	was := lifecycle.Pulse{Status: contract.Healthy, Since: at(10), HealthyAt: at(10), AnsweredAt: at(50), Stamp: at(9), Finding: v1alpha1.ReasonPingConforms}
	failed := func(n int) lifecycle.Pulse { p := was; p.Failures = n; return p }
	for name, row := range map[string]struct {
		from   lifecycle.Pulse
		change func(*lifecycle.Pulse)
		tells  bool
	}{
		"nothing":                  {was, func(*lifecycle.Pulse) {}, false},
		"one more answer":          {was, func(p *lifecycle.Pulse) { p.AnsweredAt = at(52) }, false},
		"a stamp":                  {was, func(p *lifecycle.Pulse) { p.Stamp = at(11) }, false},
		"another status":           {was, func(p *lifecycle.Pulse) { p.Status = contract.HealthyBusy }, true},
		"first healthy":            {lifecycle.Pulse{Status: contract.Healthy}, func(p *lifecycle.Pulse) { p.HealthyAt = at(10) }, true},
		"time that nobody saw":     {was, func(p *lifecycle.Pulse) { p.Unseen.Total = time.Second }, true},
		"no longer restored":       {was, func(p *lifecycle.Pulse) { p.Restored = true }, true},
		"another finding":          {was, func(p *lifecycle.Pulse) { p.Finding = v1alpha1.ReasonTimestampMissing }, true},
		"other words of a finding": {was, func(p *lifecycle.Pulse) { p.FindingDetail = "x" }, true},
		"a failure":                {was, func(p *lifecycle.Pulse) { p.Failures = 1 }, false},
		"a failure short of many":  {failed(13), func(p *lifecycle.Pulse) { p.Failures = 14 }, false},
		"as many as are too many":  {failed(14), func(p *lifecycle.Pulse) { p.Failures = 15 }, true},
		"more than that":           {failed(15), func(p *lifecycle.Pulse) { p.Failures = 16 }, false},
		"an error short of many":   {failed(40), func(p *lifecycle.Pulse) { p.Failures, p.Errors = 41, 14 }, false},
		"as many errors":           {failed(40), func(p *lifecycle.Pulse) { p.Failures, p.Errors = 41, 15 }, true},
		"recovery from a few":      {failed(14), func(p *lifecycle.Pulse) { p.Failures = 0 }, false},
		"recovery from too many":   {failed(15), func(p *lifecycle.Pulse) { p.Failures = 0 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			next := row.from
			row.change(&next)
			NewWithT(t).Expect(row.from.Tells(next, threshold)).To(Equal(row.tells))
		})
	}
}

// TestAdvancing: three moves of the stamp without a change of status are
// advancing, which is told; a change or some seconds without a move end it.
func TestAdvancing(t *testing.T) {
	g := NewWithT(t)
	stampsNow := func(now time.Time) lifecycle.Answer { return answer(contract.Healthy, now) }
	third, now := hear(lifecycle.Pulse{}, at(10), 3, stampsNow)
	g.Expect(third.Advancing()).To(BeFalse(), "the first stamp is no move")
	fourth, now := hear(third, now, 1, stampsNow)
	g.Expect(fourth.Advancing()).To(BeTrue())
	g.Expect(third.Tells(fourth, 15)).To(BeTrue())

	changed, _ := hear(fourth, now, 1, always(answer(contract.HealthyBusy, now)))
	g.Expect(changed.Advancing()).To(BeFalse())

	still, now := hear(fourth, now, 2, always(answer(contract.Healthy, at(16))))
	g.Expect(still.Advancing()).To(BeTrue(), "4 s without a move")
	still, _ = hear(still, now, 1, always(answer(contract.Healthy, at(16))))
	g.Expect(still.Advancing()).To(BeFalse(), "6 s")
}
