package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"
)

// Extensions of the contract, which agents of agentruntime serve when they are
// told to and other agents do not know.
const (
	// TasksPath answers GET with Tasks as JSON.
	TasksPath = "/tasks"
	// EventsPath answers GET with the last events of the agent's journal.
	EventsPath = "/events"
)

// MaxTasksBytes is the largest answer of TasksPath that is read.
const MaxTasksBytes = 64 << 10

// Tasks are the background tasks of an agent at a moment. As JSON they are what
// AWS's SDK for Python calls the task info, with more known of each task:
//
//	{"active_count":1,"running_jobs":[{"name":"index","duration":4.32,"id":1}]}
type Tasks struct {
	ActiveCount int           `json:"active_count"`
	RunningJobs []RunningTask `json:"running_jobs"` // the oldest first
}

// RunningTask is a task that has not been completed.
type RunningTask struct {
	// Name is whatever the agent called it.
	Name string
	// Duration is for how long it has run. On the wire: seconds.
	Duration time.Duration
	// ID is the agent's own number of it.
	ID int64
	// Metadata is the agent's own; ParseTasks leaves it out.
	Metadata map[string]any
	// Ended is how long ago an event of the journal said that the task had
	// ended; nil if none did. A task that ended and still runs was forgotten.
	// On the wire: "ended", seconds.
	Ended *time.Duration
}

type wireTask struct {
	Name     string         `json:"name"`
	Duration float64        `json:"duration"`
	ID       int64          `json:"id,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	Ended    *float64       `json:"ended,omitempty"`
}

// MarshalJSON writes times in seconds, to the millisecond.
func (t RunningTask) MarshalJSON() ([]byte, error) {
	wire := wireTask{Name: t.Name, Duration: seconds(t.Duration), ID: t.ID, Metadata: t.Metadata}
	if t.Ended != nil {
		ago := seconds(*t.Ended)
		wire.Ended = &ago
	}
	return json.Marshal(wire)
}

// UnmarshalJSON reads what MarshalJSON writes, except for the metadata. Times
// that are negative, or longer than a time.Duration can tell, are refused.
func (t *RunningTask) UnmarshalJSON(b []byte) error {
	var wire struct {
		wireTask
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	ran, err := duration(wire.Duration)
	if err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	*t = RunningTask{Name: wire.Name, Duration: ran, ID: wire.ID}
	if wire.Ended != nil {
		ago, err := duration(*wire.Ended)
		if err != nil {
			return fmt.Errorf("ended: %w", err)
		}
		t.Ended = &ago
	}
	return nil
}

// ParseTasks reads the body of an answer of TasksPath. Errors match ErrNotJSON
// or ErrTasksTooLarge.
func ParseTasks(body []byte) (Tasks, error) {
	if len(body) > MaxTasksBytes {
		return Tasks{}, ErrTasksTooLarge
	}
	if !utf8.Valid(body) {
		return Tasks{}, fmt.Errorf("%w: not UTF-8", ErrNotJSON)
	}
	var tasks *Tasks
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&tasks); err != nil {
		return Tasks{}, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Tasks{}, fmt.Errorf("%w: more follows after the object", ErrNotJSON)
	}
	if tasks == nil {
		return Tasks{}, fmt.Errorf("%w: null", ErrNotJSON)
	}
	return *tasks, nil
}

// ErrTasksTooLarge is a body of more than MaxTasksBytes.
var ErrTasksTooLarge = fmt.Errorf("more than %d bytes", MaxTasksBytes)

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e3) / 1e3 }

func duration(seconds float64) (time.Duration, error) {
	if seconds < 0 || seconds > math.MaxInt64/float64(time.Second)-1 {
		return 0, fmt.Errorf("%g seconds are out of range", seconds)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
