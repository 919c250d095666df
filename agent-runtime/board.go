package agentruntime

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// board is the App's memory: what runs, and the ping status that follows from
// it. One lock guards all of it and is never held while the agent's own code
// runs, so that /ping waits for nobody.
type board struct {
	mu sync.Mutex

	forced  Status // empty if the status is not forced
	custom  Status // the PingHandler's last answer; empty without one, or if it failed
	tasks   map[TaskID]*task
	lastID  TaskID
	status  Status    // what the last change made it
	changed time.Time // when that was

	busyWhileInvoking bool
	invocations       int

	jobs     map[*job]struct{} // invocations and tasks alike
	draining bool              // no new invocations
	cut      bool              // the jobs' contexts are cancelled, new ones from the start
	quiet    chan struct{}     // closed when draining and nothing runs
}

// job is an invocation or a task while it runs.
type job struct {
	what   string
	cancel context.CancelCauseFunc // nil for tasks that have no function
}

func newBoard(busyWhileInvoking bool) *board {
	return &board{
		tasks:             map[TaskID]*task{},
		status:            Healthy,
		changed:           time.Now(),
		busyWhileInvoking: busyWhileInvoking,
		jobs:              map[*job]struct{}{},
		quiet:             make(chan struct{}),
	}
}

// restamp is called with the lock held after each change that may matter to
// the ping status.
func (b *board) restamp() {
	if now := cmp.Or(b.forced, b.custom, b.automatic()); now != b.status {
		b.status, b.changed = now, time.Now()
	}
}

func (b *board) automatic() Status {
	if len(b.tasks) > 0 || b.busyWhileInvoking && b.invocations > 0 {
		return HealthyBusy
	}
	return Healthy
}

func (b *board) automaticStatus() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.automatic()
}

func (b *board) ping() contract.Ping {
	b.mu.Lock()
	defer b.mu.Unlock()
	return contract.Ping{Status: b.status, UpdatedAt: b.changed, Stamp: contract.StampSeconds}
}

func (b *board) force(s Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forced = s
	b.restamp()
}

func (b *board) setCustom(s Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.custom = s
	b.restamp()
}

func (b *board) isForced() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.forced != ""
}

// begin notes an invocation; false if there should be no new ones.
func (b *board) begin(what string, cancel context.CancelCauseFunc) (*job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.draining {
		return nil, false
	}
	b.invocations++
	b.restamp()
	return b.add(what, cancel), true
}

// beginTask notes a task. It is never refused: an invocation that may still
// finish may need one.
func (b *board) beginTask(t *task, cancel context.CancelCauseFunc) TaskID {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastID++
	t.job = b.add("task "+t.name, cancel)
	b.tasks[b.lastID] = t
	b.restamp()
	return b.lastID
}

// end takes an invocation off the board.
func (b *board) end(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.invocations--
	b.restamp()
	b.remove(j)
}

// endTask takes a task off the board; nil if there is none by that id.
func (b *board) endTask(id TaskID) *task {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tasks[id]
	if t == nil {
		return nil
	}
	delete(b.tasks, id)
	if t.timer != nil {
		t.timer.Stop()
	}
	b.remove(t.job)
	b.restamp()
	return t
}

func (b *board) add(what string, cancel context.CancelCauseFunc) *job {
	j := &job{what: what, cancel: cancel}
	b.jobs[j] = struct{}{}
	if b.cut && cancel != nil {
		cancel(ErrStopping)
	}
	return j
}

func (b *board) remove(j *job) {
	delete(b.jobs, j)
	b.settle()
}

// settle tells those who drain that the last job has ended. What begins after
// that, in the instants that are left, is not waited for.
func (b *board) settle() {
	if !b.draining || len(b.jobs) > 0 {
		return
	}
	select {
	case <-b.quiet:
	default:
		close(b.quiet)
	}
}
