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

// Hold tells whether a session counts as flapping, so that reports of its agent wait: they
// had to before, or the next one would have to.
func (r Reports) Hold(now time.Time, flapped bool, p Policy) bool {
	return (flapped || r.Spent(now, p)) && now.Before(r.Easy(p))
}

// RestoreReports is what a session has left whose status another operator wrote. Of one
// whose reports had to wait one is due, since it was held back already, and no more.
func RestoreReports(now time.Time, status *v1alpha1.AgentSessionStatus, p Policy) Reports {
	if !Flapping(status) {
		return Reports{}
	}
	return SpentReports(now.Add(-p.Report), p)
}

// Flapping tells whether reports of a session's agent had to wait.
func Flapping(status *v1alpha1.AgentSessionStatus) bool {
	return readyReason(status) == v1alpha1.ReasonFlapping
}

// Staleness is by how much what status says of an agent may be out of date. Of one that is
// silent in an outage it does not say whether its reports had to wait.
func Staleness(status *v1alpha1.AgentSessionStatus, p Policy) time.Duration {
	if Flapping(status) || readyReason(status) == v1alpha1.ReasonMassFailure {
		return p.Report
	}
	return 0
}

func readyReason(status *v1alpha1.AgentSessionStatus) string {
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Reason
		}
	}
	return ""
}

// Late is a pulse that was restored from a report that may be out of date by some time:
// for so long nobody knows whether the agent had work.
func (p Pulse) Late(now time.Time, by time.Duration) Pulse {
	p.Unseen = p.Unseen.late(by, p.Since, now)
	return p
}
