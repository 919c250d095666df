package agentruntime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"
)

// TaskID names a task for CompleteAsyncTask. Ids count from 1 and are never
// used again.
type TaskID int64

type task struct {
	name     string
	metadata map[string]any
	began    time.Time
	job      *job
}

// AddAsyncTask notes a task and makes the agent HealthyBusy until
// CompleteAsyncTask is called with the id. Prefer AsyncTask and Go, which
// cannot forget to. The metadata (may be nil) is for TaskInfo.
func (a *App) AddAsyncTask(name string, metadata map[string]any) TaskID {
	id := a.noteTask(name, metadata, nil)
	a.log.Info("Async task started", "task", name, "taskId", id)
	return id
}

func (a *App) noteTask(name string, metadata map[string]any, cancel context.CancelCauseFunc) TaskID {
	return a.board.beginTask(&task{name: name, metadata: maps.Clone(metadata), began: time.Now()}, cancel)
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
func (a *App) AsyncTask(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	ctx, id, release := a.startTask(ctx, name)
	defer release()
	return a.runTask(ctx, id, name, fn)
}

// Go is AsyncTask in a goroutine of its own. The task is noted when Go returns,
// so that the first ping after the invocation that called it says HealthyBusy.
// What goes wrong in fn is in the log.
func (a *App) Go(ctx context.Context, name string, fn func(ctx context.Context) error) {
	ctx, id, release := a.startTask(ctx, name)
	go func() {
		defer release()
		_ = a.runTask(ctx, id, name, fn) // logged there
	}()
}

// startTask notes a task with a context of its own.
func (a *App) startTask(parent context.Context, name string) (ctx context.Context, id TaskID, release func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		if cause := context.Cause(parent); !errors.Is(cause, errInvocationOver) {
			cancel(cause)
		}
	})
	id = a.noteTask(name, nil, cancel)
	a.log.InfoContext(ctx, "Async task started", "task", name, "taskId", id)
	return ctx, id, func() {
		stop()
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

// Tasks are the tasks that run at a moment. As JSON they are what AWS's SDK for
// Python shows, and the metadata:
//
//	{"active_count":1,"running_jobs":[{"name":"index","duration":4.32}]}
type Tasks struct {
	ActiveCount int           `json:"active_count"`
	RunningJobs []RunningTask `json:"running_jobs"` // the oldest first
}

// RunningTask is a task that has not been completed.
type RunningTask struct {
	Name     string
	Duration time.Duration // since it was added
	Metadata map[string]any
}

// MarshalJSON writes the duration in seconds.
func (t RunningTask) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name     string         `json:"name"`
		Duration float64        `json:"duration"`
		Metadata map[string]any `json:"metadata,omitempty"`
	}{t.Name, seconds(t.Duration), t.Metadata})
}

// TaskInfo tells which tasks run. The answer is a copy.
func (a *App) TaskInfo() Tasks {
	running := a.board.snapshot()
	info := Tasks{ActiveCount: len(running), RunningJobs: make([]RunningTask, len(running))}
	for i, t := range running {
		info.RunningJobs[i] = RunningTask{Name: t.name, Duration: time.Since(t.began), Metadata: maps.Clone(t.metadata)}
	}
	return info
}

// snapshot lists the tasks, the oldest first. A task does not change once noted.
func (b *board) snapshot() []*task {
	b.mu.Lock()
	defer b.mu.Unlock()
	byAge := slices.SortedFunc(maps.Keys(b.tasks), cmp.Compare)
	running := make([]*task, len(byAge))
	for i, id := range byAge {
		running[i] = b.tasks[id]
	}
	return running
}
