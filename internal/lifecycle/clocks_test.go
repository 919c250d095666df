package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestIdleClocks lets agents of every kind live one and the same life: first
// asked at 6 s and every 2 s from then on, busy from 21 s to 99 s, an idle
// timeout of 60 s and a maximal lifetime of 300 s.
func TestIdleClocks(t *testing.T) {
	const (
		agentCore = v1alpha1.IdleClockAgentCore
		strict    = v1alpha1.IdleClockAgentCoreStrict
		observed  = v1alpha1.IdleClockObserved
	)
	for name, row := range map[string]struct {
		stamps  stamps
		clock   v1alpha1.IdleClock
		stopped time.Time
		reason  v1alpha1.StopReason
	}{
		"44, 45: idle from the stamp":                                          {honest, agentCore, at(159), v1alpha1.StopIdleTimeout},
		"44, 45: by the strict clock too":                                      {honest, strict, at(159), v1alpha1.StopIdleTimeout},
		"the observed clock counts from the ping that saw it":                  {honest, observed, at(160), v1alpha1.StopIdleTimeout},
		"46: a stamp of now never idles":                                       {advancing, agentCore, at(300), v1alpha1.StopMaxLifetime},
		"46: by the strict clock too":                                          {advancing, strict, at(300), v1alpha1.StopMaxLifetime},
		"46: by the observed clock it does":                                    {advancing, observed, at(160), v1alpha1.StopIdleTimeout},
		"47: no stamp, the operator's own moment":                              {missing, agentCore, at(160), v1alpha1.StopIdleTimeout},
		"47: no stamp, strict: stopped while busy":                             {missing, strict, at(66), v1alpha1.StopIdleTimeout},
		"no stamp is all the same to the observed clock":                       {missing, observed, at(160), v1alpha1.StopIdleTimeout},
		"48: milliseconds count as absent":                                     {milliseconds, agentCore, at(160), v1alpha1.StopIdleTimeout},
		"48: milliseconds, strict":                                             {milliseconds, strict, at(66), v1alpha1.StopIdleTimeout},
		"48: ISO 8601 counts as absent":                                        {iso8601, agentCore, at(160), v1alpha1.StopIdleTimeout},
		"48: ISO 8601, strict":                                                 {iso8601, strict, at(66), v1alpha1.StopIdleTimeout},
		"a stamp in the future counts as absent":                               {future, agentCore, at(160), v1alpha1.StopIdleTimeout},
		"a stamp in the future, strict":                                        {future, strict, at(66), v1alpha1.StopIdleTimeout},
		"a stamp in the future is nothing to the observed clock":               {future, observed, at(160), v1alpha1.StopIdleTimeout},
		"a frozen stamp: overdue when the task ends, as on AWS, and announced": {frozen, agentCore, at(110), v1alpha1.StopIdleTimeout},
		"a frozen stamp is all the same to the observed clock":                 {frozen, observed, at(160), v1alpha1.StopIdleTimeout},
		"a frozen stamp keeps a busy session by the strict clock":              {frozen, strict, at(110), v1alpha1.StopIdleTimeout},
		"milliseconds are all the same to the observed clock":                  {milliseconds, observed, at(160), v1alpha1.StopIdleTimeout},
		"ISO 8601 is all the same to the observed clock":                       {iso8601, observed, at(160), v1alpha1.StopIdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			stop, now := liveOneLife(row.stamps, row.clock)
			g.Expect(stop.Reason).To(Equal(row.reason))
			g.Expect(now).To(Equal(row.stopped))
		})
	}
}

// liveOneLife returns the stop and the moment at which it was decided.
func liveOneLife(stamps stamps, idleClock v1alpha1.IdleClock) (lifecycle.Stop, time.Time) {
	a, f := newAgent(created, stamps), living(created, limits(60, 300), clock(idleClock), starting)
	f.Announced = zero
	for now := at(0); now.Before(at(1000)); now = now.Add(500 * time.Millisecond) {
		a.work(!now.Before(at(21)) && now.Before(at(99)), now)
		if since := now.Sub(at(6)); since >= 0 && since%period == 0 {
			f.Pulse = f.Pulse.Observe(a.answer(now), now, period)
		}
		v := lifecycle.Decide(now, f)
		if v.State == v1alpha1.StateStopping {
			return v.Stop, now
		}
		f.Announced = announcedIn(v)
	}
	return lifecycle.Stop{}, zero
}

// announcedIn is the idle stop that a report of a verdict announces.
func announcedIn(v lifecycle.Verdict) time.Time {
	if v.Next.Reason != v1alpha1.StopIdleTimeout {
		return zero
	}
	return v.Next.At.Truncate(time.Second)
}
