package agentruntime

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// TaskID names a task for CompleteAsyncTask. Ids count from 1 and are never
// used again.
type TaskID int64

type task struct {
	name     string
	metadata map[string]any
	began    time.Time
	job      *job

	max   time.Duration // 0 is no limit
	timer *time.Timer   // ends a task without function at max

	saidEnded time.Time // when an event said so; guarded by the board's lock
}

// TaskOption is an option of one task.
type TaskOption func(*task)

// ErrTaskTimeout is the cause with which the context of a task is cancelled
// that ran for longer than its MaxDuration.
var ErrTaskTimeout = errors.New("the task ran for longer than its maximum duration")

// MaxDuration is a deadline for a task, so that one that is forgotten or hangs
// does not keep the session busy until its maximum lifetime. When d is over,
// the context of a task's function is cancelled with ErrTaskTimeout; a task of
// AddAsyncTask, which has none, is taken off the board with a warning. A d of 0
// or less is no deadline.
func MaxDuration(d time.Duration) TaskOption {
	return func(t *task) { t.max = max(d, 0) }
}

// AddAsyncTask notes a task and makes the agent HealthyBusy until
// CompleteAsyncTask is called with the id. Prefer AsyncTask and Go, which
// cannot forget to. The metadata (may be nil) is for TaskInfo.
func (a *App) AddAsyncTask(name string, metadata map[string]any, options ...TaskOption) TaskID {
	t := newTask(name, options)
	t.metadata = maps.Clone(metadata)
	id := a.board.beginTask(t, nil)
	a.log.Info("Async task started", "task", name, "taskId", id)
	if t.max > 0 {
		a.board.expireTask(t, func() {
			if a.board.endTask(id) != nil {
				a.log.Warn("Async task ran for longer than its maximum duration and is no longer waited for",
					"task", name, "taskId", id, "maxDuration", seconds(t.max))
			}
		})
	}
	return id
}

func newTask(name string, options []TaskOption) *task {
	t := &task{name: name, began: time.Now()}
	for _, option := range options {
		option(t)
	}
	return t
}

// CompleteAsyncTask ends a task. An id that is unknown, or of a task that was
// completed already, changes nothing: the answer is false, and the log has a
// warning.
func (a *App) CompleteAsyncTask(id TaskID) bool {
	t := a.board.endTask(id)
	if t == nil {
		a.log.Warn("Attempted to complete unknown task", "taskId", id)
		return false
	}
	a.log.Info("Async task completed", "task", t.name, "taskId", id, "duration", seconds(time.Since(t.began)))
	return true
}

// AsyncTask runs fn as a task and returns its error. The agent is HealthyBusy
// until fn returns or panics; a panic becomes a *PanicError, and never ends the
// process.
//
// The context of fn has the values of ctx. A task outlives the invocation that
// started it: that an invocation was answered, or its client has gone, does not
// end the task's context, while any other cancellation or deadline of ctx does,
// and so does the end of the grace period (ErrStopping). A task that begins
// outside of an invocation should therefore not get the context of
// signal.NotifyContext, which ends at SIGTERM and leaves the task no grace;
// context.WithoutCancel makes one of it that does.
func (a *App) AsyncTask(ctx context.Context, name string, fn func(ctx context.Context) error, options ...TaskOption) error {
	ctx, id, release := a.startTask(ctx, newTask(name, options))
	defer release()
	return a.runTask(ctx, id, name, fn)
}

// Go is AsyncTask in a goroutine of its own. The task is noted when Go returns,
// so that the first ping after the invocation that called it says HealthyBusy.
// What goes wrong in fn is in the log.
func (a *App) Go(ctx context.Context, name string, fn func(ctx context.Context) error, options ...TaskOption) {
	ctx, id, release := a.startTask(ctx, newTask(name, options))
	go func() {
		defer release()
		_ = a.runTask(ctx, id, name, fn) // logged there
	}()
}

type taskKey struct{}

// startTask notes a task with a context of its own.
func (a *App) startTask(parent context.Context, t *task) (ctx context.Context, id TaskID, release func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		if cause := context.Cause(parent); !errors.Is(cause, errInvocationOver) {
			cancel(cause)
		}
	})
	id = a.board.beginTask(t, cancel)
	ctx = context.WithValue(ctx, taskKey{}, id)
	expire := func() {}
	if t.max > 0 {
		ctx, expire = context.WithTimeoutCause(ctx, t.max, ErrTaskTimeout)
	}
	a.log.InfoContext(ctx, "Async task started", "task", t.name, "taskId", id)
	return ctx, id, func() {
		stop()
		expire()
		cancel(nil)
	}
}

func (a *App) runTask(ctx context.Context, id TaskID, name string, fn func(context.Context) error) (err error) {
	start := time.Now()
	defer func() { // runs after a panic was made an error, and in runtime.Goexit
		a.board.endTask(id)
		attrs := []any{"task", name, "taskId", id, "duration", seconds(time.Since(start))}
		if err != nil {
			a.log.ErrorContext(ctx, "Async task failed", append(attrs, errorAttrs(err)...)...)
			return
		}
		a.log.InfoContext(ctx, "Async task completed", attrs...)
	}()
	defer recoverAs(&err)
	return fn(ctx)
}

// Tasks are the tasks that run at a moment.
type Tasks = contract.Tasks

// RunningTask is a task that has not been completed.
type RunningTask = contract.RunningTask

// TaskInfo tells which tasks run, the oldest first. The answer is a copy.
func (a *App) TaskInfo() Tasks { return a.board.taskInfo(time.Now()) }

func (b *board) taskInfo(now time.Time) Tasks {
	b.mu.Lock()
	defer b.mu.Unlock()
	info := Tasks{ActiveCount: len(b.tasks), RunningJobs: make([]RunningTask, 0, len(b.tasks))}
	for _, id := range slices.Sorted(maps.Keys(b.tasks)) {
		t := b.tasks[id]
		running := RunningTask{ID: int64(id), Name: t.name, Duration: now.Sub(t.began), Metadata: maps.Clone(t.metadata)}
		if !t.saidEnded.IsZero() {
			ago := now.Sub(t.saidEnded)
			running.Ended = &ago
		}
		info.RunningJobs = append(info.RunningJobs, running)
	}
	return info
}

// expireTask calls expired when the task has run for its maximum, unless it
// ends before.
func (b *board) expireTask(t *task, expired func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.timer = time.AfterFunc(t.max, expired)
}

// tasksSaidEnded notes that an event said that a task had ended; id 0 means all
// that run. The first event counts.
func (b *board) tasksSaidEnded(id TaskID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for running, t := range b.tasks {
		if (id == 0 || id == running) && t.saidEnded.IsZero() {
			t.saidEnded = now
		}
	}
}
