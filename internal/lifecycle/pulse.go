package lifecycle

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Settling a finding takes more than one answer, so that a flapping agent
// costs no write at every ping.
const (
	// settleAnswers is how many answers in a row change a finding that is known.
	settleAnswers = 5
	// advancingAnswers is how often a stamp moves without a change of status
	// before it counts as advancing on every ping; fewer than settleAnswers, so
	// that after a restart a known finding is not settled away before it is seen
	// again.
	advancingAnswers = 3
	// clockSkew is how far an agent's clock may differ from the operator's.
	clockSkew = 5 * time.Second
)

// Pulse is the memory of one agent's pings: a value, changed by Observe only.
// The zero Pulse is an agent that has not been heard of.
type Pulse struct {
	// Status is the last good answer's; empty before the first.
	Status contract.Status
	// Since is when that status was first seen, rounded up to the second,
	// which is what the API can hold: a restart neither gains nor loses time.
	Since time.Time
	// Unseen is how much of the time after Since nobody could see the agent.
	Unseen Unseen
	// LastStamp is the latest usable time_of_last_update, whatever came after it.
	LastStamp time.Time
	// Stamp is that too, or zero while what the agent answers is of no use, or lies
	// in the future.
	Stamp time.Time
	// HealthyAt is the first good answer, rounded up to the second.
	HealthyAt time.Time
	// AnsweredAt is when the last good answer was asked for; of a restored pulse, when
	// the last operator was known to be there, zero if nobody knows.
	AnsweredAt time.Time
	// Failures counts the failed pings since AnsweredAt.
	Failures int
	// FailingSince is the first of them.
	FailingSince time.Time
	// Errors counts those of the failed pings that the agent answered, and
	// ErringSince is the first of them.
	Errors      int
	ErringSince time.Time
	// LastFailure is the last failed answer; kept after recovery.
	LastFailure Answer
	// Finding is how the answers keep or break the contract, once that is settled, and
	// FindingDetail what was answered, if it is about that. A restored pulse has
	// no detail.
	Finding       Finding
	FindingDetail string
	// Restored is a pulse taken over from status after a restart, until the
	// agent has answered: Stamp is not known yet.
	Restored bool
	// Connections is what was last found out of them.
	Connections Connections

	seen       detailed  // what the last answer looked like,
	seenFor    int       // how many in a row were of that finding,
	sameFor    int       // and how many of that detail too
	sent       time.Time // LastStamp as it was sent, also when the clock was set back since
	frozen     bool      // the last change of status left the stamp behind
	advances   int       // moves of the stamp without a change of status
	advancedAt time.Time
}

// Observe returns the pulse after one more answer, which came at now. period
// is the time between two pings. What an answer shows is as old as its question; a
// change of status that it shows may be as young as the answer.
func (p Pulse) Observe(a Answer, now time.Time, period time.Duration) Pulse {
	if latest(p.AnsweredAt, p.FailingSince, p.seenSince()).After(now.Add(clockSkew)) {
		p = p.setBack(now)
	}
	if a.Failure != "" {
		return p.fail(a, now)
	}
	asked := now.Add(-a.Took)
	p = p.account(a.Ping, asked, now, period)
	p = p.stamp(a.Ping, now, period)
	if p.HealthyAt.IsZero() {
		p.HealthyAt = ceil(now)
	}
	p.Status, p.AnsweredAt, p.Restored = a.Ping.Status, asked, false
	p.Failures, p.FailingSince = 0, time.Time{}
	p.Errors, p.ErringSince = 0, time.Time{}
	if a.Connections != ConnectionsUnknown {
		p.Connections = a.Connections
	}
	return p.settle(p.findingOf(a))
}

// setBack is for a clock that was set back: what it said before counts from now. Else
// it would lie in the future, and the agent be idle, or dead, for as much longer.
func (p Pulse) setBack(now time.Time) Pulse {
	present := ceil(now)
	if p.Restored && p.AnsweredAt.After(present) {
		p.AnsweredAt = time.Time{} // by the clock of another operator: nobody knows
	}
	for _, at := range []*time.Time{
		&p.Since, &p.LastStamp, &p.HealthyAt, &p.AnsweredAt, &p.FailingSince, &p.ErringSince, &p.advancedAt,
	} {
		if at.After(present) {
			*at = present
		}
	}
	p.Unseen = p.Unseen.setBack(p.Since, present)
	return p
}

// fail changes neither Status nor Since: a failed ping says nothing of them.
func (p Pulse) fail(a Answer, now time.Time) Pulse {
	if p.Failures == 0 {
		p.FailingSince = now
	}
	p.Failures++
	if !a.Failure.Silent() {
		if p.Errors == 0 {
			p.ErringSince = now
		}
		p.Errors++
	}
	p.LastFailure = a
	if found := findingOfFailure(a); found.finding != "" && p.Failures >= settleAnswers {
		return p.settle(found)
	}
	return p
}

// account keeps Since and Unseen.
func (p Pulse) account(ping contract.Ping, asked, now time.Time, period time.Duration) Pulse {
	if ping.Status != p.Status {
		p.Since, p.Unseen = ceil(now), Unseen{}
		return p
	}
	if gap := asked.Sub(p.AnsweredAt); gap > 3*period {
		if p.AnsweredAt.IsZero() {
			gap = now.Sub(p.Since) // taken over from status, and nobody knows when it was last seen
		}
		p.Unseen = p.Unseen.with(gap, p.Since, now)
	}
	return p
}

// stamp keeps Stamp and what tells an advancing or a frozen one.
func (p Pulse) stamp(ping contract.Ping, now time.Time, period time.Duration) Pulse {
	changed := p.Status != "" && ping.Status != p.Status
	if changed {
		p.frozen, p.advances = false, 0
	}
	stamp := p.usable(ping, now)
	if stamp.IsZero() {
		p.Stamp, p.advances = stamp, 0
		return p
	}
	switch moved := stamp.After(p.LastStamp); {
	case changed && !moved:
		p.frozen = stamp.Before(p.AnsweredAt.Add(-clockSkew))
	case !changed && moved && !p.Stamp.IsZero():
		p.advances, p.advancedAt = p.advances+1, now
	}
	if now.Sub(p.advancedAt) > 2*period+time.Second { // stamps count whole seconds
		p.advances = 0
	}
	if stamp.After(p.LastStamp) {
		p.LastStamp, p.sent = stamp, stamp
	}
	p.Stamp = p.LastStamp
	return p
}

// usable is the stamp of an answer; zero if it is of no use. One that was of use before
// the clock was set back is so still.
func (p Pulse) usable(ping contract.Ping, now time.Time) time.Time {
	stamp := ping.UpdatedAt
	if stamp.Equal(p.sent) {
		stamp = p.LastStamp
	}
	if ping.Stamp != contract.StampSeconds || stamp.After(now.Add(clockSkew)) {
		return time.Time{}
	}
	return stamp
}

// settle takes over a finding: the first at once, a different one only when it
// was seen settleAnswers times in a row. Of an agent that answers differently each
// time, the finding is settled all the same.
func (p Pulse) settle(found detailed) Pulse {
	if found.finding != p.seen.finding {
		p.seenFor = 0
	}
	if found != p.seen {
		p.sameFor = 0
	}
	p.seen, p.seenFor, p.sameFor = found, p.seenFor+1, p.sameFor+1
	another := found.finding != p.Finding && p.seenFor >= settleAnswers
	if p.Finding == "" || another || p.sameFor >= settleAnswers {
		p.Finding, p.FindingDetail = found.finding, found.detail
	}
	return p
}

// seenSince is since when the agent is known to say what it says: what nobody saw of that
// time does not count.
func (p Pulse) seenSince() time.Time { return p.Since.Add(p.Unseen.Total) }

// Frozen tells whether the last change of status left the stamp behind.
func (p Pulse) Frozen() bool { return p.frozen }

// Advancing tells whether the stamp moves on every ping, so that by
// AgentCore's clock the session never goes idle.
func (p Pulse) Advancing() bool { return p.advances >= advancingAnswers }

// Fresh tells whether the last ping succeeded, and was made within the last two
// periods; of a scaled time, in which an answer may take longer than that, within a
// second. A restored pulse is not fresh: its AnsweredAt says that an operator was
// there, not that the agent answered it.
func (p Pulse) Fresh(now time.Time, period time.Duration) bool {
	return !p.Restored && p.Failures == 0 && !p.AnsweredAt.IsZero() && now.Sub(p.AnsweredAt) <= max(2*period, time.Second)
}

// Tells reports whether the step from p to next is worth a look at the
// session, whose pings may fail threshold times in a row. Everything else
// stays in memory until a deadline comes up.
func (p Pulse) Tells(next Pulse, threshold int) bool {
	return p.Status != next.Status ||
		!p.HealthyAt.Equal(next.HealthyAt) ||
		!p.Since.Equal(next.Since) ||
		p.Unseen != next.Unseen ||
		p.Restored != next.Restored ||
		p.Finding != next.Finding || p.FindingDetail != next.FindingDetail ||
		p.Advancing() != next.Advancing() ||
		reaches(p.Failures, next.Failures, threshold) ||
		reaches(p.Errors, next.Errors, threshold) ||
		p.Failures >= threshold && next.Failures == 0
}

func reaches(before, after, threshold int) bool { return before < threshold && after >= threshold }

// ceil rounds up to the whole second.
func ceil(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}
