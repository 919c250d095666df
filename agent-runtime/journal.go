package agentruntime

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// journalLength is how many events GET /events shows.
const journalLength = 100

// Statuses of events about tasks. Others may be recorded as well: their names
// are the agent's own.
const (
	EventTaskStarted   = "TASK_STARTED"
	EventTaskCompleted = "TASK_COMPLETED"
	EventTaskFailed    = "TASK_FAILED"
)

// Event is an entry of the journal.
type Event struct {
	Time   time.Time `json:"time"`
	Status string    `json:"status"`
	// SessionID and RequestID are those of the invocation, if any.
	SessionID string `json:"session_id,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Task is the task that the event is about; 0 if it names none.
	Task TaskID `json:"task,omitempty"`
	// PingStatus is what a ping was answered with at that moment. HealthyBusy
	// with the event that the last task has ended is how a forgotten task shows.
	PingStatus Status `json:"ping_status"`
	// Attrs are the agent's own: groups become maps.
	Attrs map[string]any `json:"attrs,omitempty"`
}

// EventSink takes the events of the journal, to a database for example.
type EventSink interface {
	// WriteEvent is called by RecordEvent, in the goroutine and with the context
	// of its caller. An error is logged and loses nothing else.
	WriteEvent(ctx context.Context, e Event) error
}

// RecordEvent notes an event of the agent's life together with the ping status
// of this moment: in the Options' EventSink, and among the last 100 in memory,
// which GET /events shows if Options.Introspection is set.
//
// An event whose status is COMPLETED or FAILED, or ends with TASK_COMPLETED or
// TASK_FAILED, says that a task has ended: the task that ctx belongs to, or the
// one that an attribute "task" names by its TaskID, or else all that run. A
// task that is still noted then has been forgotten. GET /tasks says so, and
// AgentSession's operator tells it in the session's condition Stuck. So call
// CompleteAsyncTask first.
//
// The values of attrs are kept as they are, and must not be changed afterwards.
func (a *App) RecordEvent(ctx context.Context, status string, attrs ...slog.Attr) {
	e := Event{
		Time:      time.Now(),
		Status:    status,
		SessionID: SessionID(ctx),
		RequestID: RequestID(ctx),
		Task:      taskOf(ctx, attrs),
		Attrs:     attrMap(attrs),
	}
	if endsTask(status) {
		a.board.tasksSaidEnded(e.Task, e.Time)
	}
	e.PingStatus = a.currentPing(ctx).Status
	a.journal.add(e)
	if err := a.writeEvent(ctx, e); err != nil {
		a.log.ErrorContext(ctx, "Event not written to its sink", append(errorAttrs(err), "status", status)...)
	}
}

func (a *App) writeEvent(ctx context.Context, e Event) (err error) {
	defer recoverAs(&err)
	return a.options.Events.WriteEvent(ctx, e)
}

// endsTask takes an agent's own names too, AGENT_BACKGROUND_TASK_COMPLETED for
// example.
func endsTask(status string) bool {
	status = strings.ToUpper(status)
	return status == "COMPLETED" || status == "FAILED" ||
		strings.HasSuffix(status, EventTaskCompleted) || strings.HasSuffix(status, EventTaskFailed)
}

func taskOf(ctx context.Context, attrs []slog.Attr) TaskID {
	for _, attr := range attrs {
		if id, ok := attr.Value.Any().(TaskID); ok && attr.Key == "task" {
			return id
		}
	}
	id, _ := ctx.Value(taskKey{}).(TaskID)
	return id
}

func attrMap(attrs []slog.Attr) map[string]any {
	if len(attrs) == 0 {
		return nil
	}
	values := make(map[string]any, len(attrs))
	for _, attr := range attrs {
		value := attr.Value.Resolve()
		switch value.Kind() {
		case slog.KindGroup:
			values[attr.Key] = attrMap(value.Group())
		case slog.KindDuration:
			values[attr.Key] = seconds(value.Duration())
		default:
			values[attr.Key] = value.Any()
			if err, ok := value.Any().(error); ok {
				values[attr.Key] = err.Error() // which as JSON would be {}
			}
		}
	}
	return values
}

// journal holds the last events.
type journal struct {
	mu     sync.Mutex
	events []Event
}

func (j *journal) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) == journalLength {
		copy(j.events, j.events[1:])
		j.events = j.events[:journalLength-1]
	}
	j.events = append(j.events, e)
}

// last are the events, the oldest first.
func (j *journal) last() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Event{}, j.events...)
}

// logSink writes events into the log.
type logSink struct{ log *slog.Logger }

func (s logSink) WriteEvent(ctx context.Context, e Event) error {
	attrs := []slog.Attr{slog.String("status", e.Status), slog.String("pingStatus", string(e.PingStatus))}
	if e.Task != 0 {
		attrs = append(attrs, slog.Int64("taskId", int64(e.Task)))
	}
	if len(e.Attrs) > 0 {
		attrs = append(attrs, slog.Any("attrs", e.Attrs))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "Event", attrs...)
	return nil
}
