package lifecycle

import (
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Reports is what a session has left of its budget for reports of its agent. Decisions
// cost nothing of it. The zero value has all.
type Reports struct {
	// PaidAt is when those so far are paid for: each costs Policy.Report.
	PaidAt time.Time
}

// SpentReports are those of a session that has nothing left.
func SpentReports(now time.Time, p Policy) Reports {
	return Reports{now.Add(reportBurst * p.Report)}
}

// Pay is after one more.
func (r Reports) Pay(now time.Time, p Policy) Reports {
	return Reports{latest(r.PaidAt, now).Add(p.Report)}.Bounded(now, p)
}

// Bounded is with no more owed than all: whatever was written, and if the clock was set
// back, the next one waits for one Policy.Report at most.
func (r Reports) Bounded(now time.Time, p Policy) Reports {
	if most := SpentReports(now, p); r.PaidAt.After(most.PaidAt) {
		return most
	}
	return r
}

// room is when there is room for n more.
func (r Reports) room(n int, p Policy) time.Time {
	return r.PaidAt.Add(time.Duration(n-reportBurst) * p.Report)
}

// Due is when the next one may be written. An idle stop that comes near is told in any
// case, or it would have to wait: no stop comes unannounced.
func (r Reports) Due(f Facts, v Verdict) time.Time {
	due := r.room(1, f.Policy)
	if v.Next.Reason != v1alpha1.StopIdleTimeout || v.Next.At.Truncate(time.Second).Equal(f.Announced) {
		return due
	}
	if soonest := v.Next.At.Add(-(notice + 1) * f.Policy.Period); soonest.Before(due) {
		return soonest
	}
	return due
}

// Spent tells whether the next one would have to wait.
func (r Reports) Spent(now time.Time, p Policy) bool { return now.Before(r.room(1, p)) }

// Easy is when a session whose reports had to wait counts as one that changes seldom
// again: there is room for that report and one more.
func (r Reports) Easy(p Policy) time.Time { return r.room(2, p) }

// Late is a pulse that was restored from a report that may be out of date by some time:
// for so long nobody knows whether the agent had work.
func (p Pulse) Late(now time.Time, by time.Duration) Pulse {
	p.Unseen = p.Unseen.late(by, p.Since, now)
	return p
}
