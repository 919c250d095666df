package lifecycle

import (
	"fmt"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// askPeriods is how many ping periods lie between two looks at the tasks of
	// a busy agent: 30 s.
	askPeriods = 15
	// forgottenPeriods is how long a task may stay on the board after an event
	// said that it had ended, before it counts as forgotten: 10 s. It is also
	// the least time between two looks, whatever the agent says of its tasks.
	forgottenPeriods = 5
	// maxTaskName is how many characters of a task's name are shown.
	maxTaskName = 64
)

// Work is what an agent told of its tasks when it last did. The zero Work is an
// agent that was not asked, or does not tell.
type Work struct {
	// AskedAt is when it was last asked, whether it told or not.
	AskedAt time.Time
	// ToldAt is when it last told; zero if it never did.
	ToldAt time.Time
	// Oldest is the task that has run for longest.
	Oldest Task
	// Ended is the task that still runs although an event said that it had
	// ended, of several the one of which it was said first.
	Ended Task
}

// Task is one task; the zero Task is none.
type Task struct {
	// Name is the agent's own, printable.
	Name string
	// BeganAt is when it was added.
	BeganAt time.Time
	// EndedAt is when an event said that it had ended; zero if none did.
	EndedAt time.Time
}

// WorkOf reads what an agent told at now.
func WorkOf(told contract.Tasks, now time.Time) Work {
	work := Work{AskedAt: now, ToldAt: now}
	for _, running := range told.RunningJobs {
		task := Task{Name: shorten(running.Name), BeganAt: now.Add(-running.Duration)}
		if running.Ended != nil {
			task.EndedAt = now.Add(-*running.Ended)
		}
		if work.Oldest == (Task{}) || task.BeganAt.Before(work.Oldest.BeganAt) {
			work.Oldest = task
		}
		if !task.EndedAt.IsZero() && (work.Ended == (Task{}) || task.EndedAt.Before(work.Ended.EndedAt)) {
			work.Ended = task
		}
	}
	return work
}

// Unanswered is w after the agent was asked once more, at now, and did not tell:
// as a failed ping, that says nothing of it.
func (w Work) Unanswered(now time.Time) Work {
	w.AskedAt = now
	return w
}

// Answered tells whether the agent told when it was last asked.
func (w Work) Answered() bool { return !w.ToldAt.IsZero() && !w.ToldAt.Before(w.AskedAt) }

// Tells reports whether w is worth a look at the session, after an earlier Work
// (nil: none). What only grew older is not.
func (w Work) Tells(before *Work) bool {
	if before == nil {
		before = &Work{}
	}
	return w.Ended != Task{} || before.Ended != Task{} || w.Oldest.Name != before.Oldest.Name
}

func shorten(name string) string {
	runes := []rune(Printable(name))
	return string(runes[:min(len(runes), maxTaskName)])
}

// Stuck is why a session counts as stuck; the zero Stuck is one that does not.
type Stuck struct {
	// At is since when.
	At time.Time
	// Reason is one of the condition's.
	Reason string
	// Task is the task that keeps it busy, as far as that is known.
	Task Task
	// Message says it for people, with the task's age at that moment.
	Message string
}

// busySince is since when it is known to be busy without a break. Where nobody could
// see it, that is for its stamp to say; without one it may have been idle meanwhile.
func (f Facts) busySince() time.Time {
	p := f.Pulse
	if f.Policy.IdleClock == v1alpha1.IdleClockObserved || p.Stamp.IsZero() || p.Frozen() || p.Advancing() {
		return latest(p.HealthyAt, p.seenSince())
	}
	return latest(p.HealthyAt, p.Since, p.Stamp)
}

// stuckAt is when a busy session counts as stuck; zero if it never will.
func (f Facts) stuckAt() time.Time {
	if f.Policy.StuckAfter == 0 || !f.busy() || f.starting() {
		return time.Time{}
	}
	return f.busySince().Add(f.Policy.StuckAfter)
}

// forgottenAt is when a task counts as forgotten; zero if there is none. What
// the agent says of times is bounded by what the operator has seen of it.
func (f Facts) forgottenAt() time.Time {
	if f.stuckAt().IsZero() || f.Work.Ended.EndedAt.IsZero() {
		return time.Time{}
	}
	return latest(f.Work.Ended.EndedAt, f.busySince()).Add(forgottenPeriods * f.Policy.Period)
}

// stuck tells whether and why the session counts as stuck at now.
func (f Facts) stuck(now time.Time) Stuck {
	if forgotten := f.forgotten(now); forgotten != (Stuck{}) {
		return forgotten
	}
	if at := f.stuckAt(); !at.IsZero() && !now.Before(at) {
		return Stuck{at, v1alpha1.ReasonBusyTooLong, f.oldest(), f.busyTooLong(now)}
	}
	return Stuck{}
}

// forgotten: a task counts as forgotten only if the agent told of it after its
// time, and until it tells otherwise or is busy no more.
func (f Facts) forgotten(now time.Time) Stuck {
	at := f.forgottenAt()
	if at.IsZero() || f.Work.ToldAt.Before(at) || now.Before(at) {
		return Stuck{}
	}
	task := f.Work.Ended
	at = latest(at, f.Work.ToldAt) // nobody knew before
	return Stuck{at, v1alpha1.ReasonTaskForgotten, task, fmt.Sprintf(
		"task %q, begun %s ago, is still noted %s after an event of the agent said that it had ended",
		task.Name, f.age(task.BeganAt, now), f.age(task.EndedAt, now))}
}

func (f Facts) busyTooLong(now time.Time) string {
	message := fmt.Sprintf("HealthyBusy for %s without a break", f.Policy.StuckAfter)
	if task := f.oldest(); task != (Task{}) {
		message += fmt.Sprintf("; task %q has run for %s", task.Name, f.age(task.BeganAt, now))
	}
	return message
}

// oldest is the task that has run for longest, if the agent told of it when it
// was last asked and since it is busy: else it may have ended long ago.
func (f Facts) oldest() Task {
	if !f.Work.Answered() || f.Work.ToldAt.Before(f.busySince()) {
		return Task{}
	}
	return f.Work.Oldest
}

// age is for people: an agent may say that a task is older than its pod.
func (f Facts) age(since, now time.Time) time.Duration {
	return max(now.Sub(latest(since, f.Compute.CreatedAt)), 0).Round(time.Second)
}

// askAt is when the agent should be asked for its tasks: while it is busy and
// somebody wants to know of stuck sessions, every askPeriods; before the session
// counts as stuck; and when a task counts as forgotten if it is still there.
// Zero if there is nothing to ask.
func (f Facts) askAt() time.Time {
	if f.stuckAt().IsZero() || !f.Asked {
		return time.Time{}
	}
	every := askPeriods * f.Policy.Period
	since := f.busySince()
	if f.Work.AskedAt.Before(since) { // not since it is busy
		return since.Add(min(every, f.Policy.StuckAfter/2))
	}
	next := f.Work.AskedAt.Add(every)
	// The moment is the agent's to choose: the least time is kept all the same.
	soonest := f.Work.AskedAt.Add(forgottenPeriods * f.Policy.Period)
	if at := f.forgottenAt(); at.After(f.Work.AskedAt) && at.Before(next) {
		return latest(at, soonest)
	}
	return next
}
