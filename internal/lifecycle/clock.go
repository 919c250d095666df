package lifecycle

import (
	"slices"
	"time"
)

// Clock is how a process knows the time of its cluster, which is the API server's: it
// hears it in each answer, and counts on by what has passed here. A clock that may be
// set plays no part. The zero Clock has heard nothing, and takes the process's own count
// for the time.
type Clock struct {
	ahead time.Duration // of the process's own count
	heard bool
	steps []step        // forward, in their order
	back  time.Duration // by how much it was set back without having been set forward
}

// step is time that was left out: what lies before a moment was written before it was
// heard of, and that time has not passed since.
type step struct {
	until time.Time
	by    time.Duration
}

// maxSteps is how many steps are told apart.
const maxSteps = 8

// Heard tells whether it knows the API server's time.
func (c Clock) Heard() bool { return c.heard }

// At is the cluster's time at a moment of the process's own count.
func (c Clock) At(own time.Time) time.Time { return own.Add(c.ahead) }

// Hear takes in that the API server said what time it is, in whole seconds, between two
// moments of the process's own count. Where that is another time, it counts from now on,
// and by is what it moved; of a slow answer nothing is certain. The first one is no step:
// there is nothing before it.
func (c Clock) Hear(said, sent, received time.Time) (next Clock, by time.Duration) {
	if received.Sub(sent) > clockSkew {
		return c, 0
	}
	now := c.At(received)
	least, most := said.Sub(now), said.Add(time.Second).Sub(c.At(sent))
	switch {
	case least > clockSkew:
		by = least
	case most < -clockSkew:
		by = most
	}
	first := !c.heard
	c.ahead, c.heard = c.ahead+by, true
	switch {
	case first:
		return c, 0
	case by > 0:
		c = c.forward(step{now.Add(by), by})
	case by < 0:
		c = c.backward(-by)
	}
	return c, by
}

// forward has time left out. Of too many steps the first two count as one, at the
// second's moment: nothing is older by that.
func (c Clock) forward(s step) Clock {
	c.steps = append(slices.Clone(c.steps), s)
	if len(c.steps) > maxSteps {
		c.steps[1].by += c.steps[0].by
		c.steps = c.steps[1:]
	}
	c.back = max(c.back-s.by, 0)
	return c
}

// backward takes back what was left out last, as where one of several API servers is
// ahead of the others.
func (c Clock) backward(by time.Duration) Clock {
	c.steps = slices.Clone(c.steps)
	for by > 0 && len(c.steps) > 0 {
		last := &c.steps[len(c.steps)-1]
		undone := min(by, last.by)
		last.by, last.until, by = last.by-undone, last.until.Add(-undone), by-undone
		if last.by == 0 {
			c.steps = c.steps[:len(c.steps)-1]
		}
	}
	c.back += by
	return c
}

// Past is a moment that somebody wrote, as long ago as has passed since.
func (c Clock) Past(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	for _, s := range c.steps {
		if t.Before(s.until) {
			t = t.Add(s.by)
		}
	}
	return t
}

// made is Past for a moment at which the API server made something, or we did: where it
// lies in the future, that was before the clock was set back.
func (c Clock) made(t, now time.Time) time.Time {
	if recalled := c.recalled(t, now); recalled.Before(t) {
		return recalled
	}
	return c.Past(t)
}

// recalled is a moment that may lie in the future, since the clock was set back.
func (c Clock) recalled(t, now time.Time) time.Time {
	if t.After(now.Add(clockSkew)) {
		return t.Add(-c.back)
	}
	return t
}

// begun is made for a moment of ours that may have been read, and written, as it is read
// since: time that was left out had no such moment.
func (c Clock) begun(t, now time.Time) time.Time {
	for _, s := range c.steps {
		if !t.After(s.until.Add(time.Second - s.by)) { // status holds whole seconds
			t = t.Add(s.by)
		}
	}
	return c.recalled(t, now)
}

// Read returns facts whose moments are as long ago as has passed since. Since when an
// agent has said what it says is not among them: to its pulse a step is time in which
// nobody looked. Nor is what was read from status, which may have been moved before.
func (c Clock) Read(f Facts, now time.Time) Facts {
	if len(c.steps) == 0 && c.back == 0 {
		return f
	}
	f.LeftOut = max(c.Past(f.Compute.CreatedAt).Sub(f.Compute.CreatedAt), 0)
	f.Compute.CreatedAt, f.StoppedAt = c.made(f.Compute.CreatedAt, now), c.made(f.StoppedAt, now)
	for _, t := range []*time.Time{
		&f.Announced, &f.Compute.StartedAt, &f.Compute.GoneBy, &f.Traffic.EndedAt,
		&f.Pulse.Stamp, &f.Pulse.LastStamp, &f.Pulse.FailingSince, &f.Pulse.ErringSince, &f.Outage,
	} {
		*t = c.Past(*t)
	}
	if !f.UnmadeUntil.IsZero() {
		f.UnmadeUntil = c.begun(f.UnmadeUntil.Add(-f.Policy.Provisioning), now).Add(f.Policy.Provisioning)
	}
	f.Compute.SilentSince = c.recalled(f.Compute.SilentSince, now)
	f.Compute.UnacknowledgedSince = c.made(f.Compute.UnacknowledgedSince, now)
	if leased := f.LeasedAt(); !f.Traffic.InUseUntil.IsZero() {
		f.Traffic.InUseUntil = c.Past(leased).Add(f.Policy.Lease)
	}
	if !f.Pulse.Restored {
		f.Pulse.HealthyAt = c.Past(f.Pulse.HealthyAt)
	}
	return f
}
