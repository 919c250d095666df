package lifecycle

import "time"

// Unseen is time in which nobody could see an agent, whose status was the same before and
// after: the operator was down or starved, or the pings failed. It is neither idle time
// nor failure. The zero Unseen is an agent that was seen all the time.
type Unseen struct {
	// Total is all of it, since the status was first seen.
	Total time.Duration
	// Gaps are what of it lies in this memory, without what status held, and Until is
	// the end of the last of them.
	Gaps  time.Duration
	Until time.Time
}

// with is u and one more gap, which ended at now. All of it is no longer than the status
// has lasted, since a moment.
func (u Unseen) with(gap time.Duration, since, now time.Time) Unseen {
	gap, end := gap.Truncate(time.Second), ceil(now)
	return Unseen{Total: min(u.Total+gap, end.Sub(since)), Gaps: u.Gaps + gap, Until: end}
}

// late is u of a report that may be out of date by some time: for so long nobody knows
// whether the agent had work.
func (u Unseen) late(by time.Duration, since, now time.Time) Unseen {
	u.Total = max(u.Total, min(u.Total+by, now.Sub(since)))
	return u
}

// setBack is u after the clock was set back to present.
func (u Unseen) setBack(since, present time.Time) Unseen {
	u.Total = min(u.Total, present.Sub(since))
	if u.Until.After(present) {
		u.Until = present
	}
	return u
}

// past moves a moment by the time after it in which nobody could see the agent: exactly
// if all gaps came after it, else by more, though never past the last gap.
func (u Unseen) past(t time.Time) time.Time {
	switch moved := t.Add(u.Gaps); {
	case !t.Before(u.Until):
		return t
	case moved.Before(u.Until):
		return moved
	}
	return u.Until
}
