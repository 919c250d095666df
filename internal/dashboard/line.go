package dashboard

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// window is how much of a session's past its time line shows.
	window = time.Hour
	// maxTurns bounds a time line.
	maxTurns = 48
	// lived is the state of a time of which only that is known: the session had a compute.
	lived v1alpha1.SessionState = "Lived"
)

// turn is a change of a session's state.
type turn struct {
	at    int64
	state v1alpha1.SessionState
}

// MarshalJSON makes it [at, "state"].
func (t turn) MarshalJSON() ([]byte, error) {
	state, err := json.Marshal(t.state)
	if err != nil {
		return nil, fmt.Errorf("write a state: %w", err)
	}
	return fmt.Appendf(nil, "[%d,%s]", t.at, state), nil
}

// extend adds a turn to a time line, and returns it without what is too old. Turns that come
// late count from the last one on.
func extend(line []turn, now time.Time, at time.Time, state v1alpha1.SessionState) []turn {
	t := turn{ms(at), state}
	if n := len(line); n > 0 {
		t.at = max(t.at, line[n-1].at)
		if state != "" && line[n-1].at == t.at { // it lasted for no time
			line = line[:n-1]
		}
	}
	if n := len(line); state != "" && (n == 0 || line[n-1].state != state) {
		line = append(line, t)
	}
	begin := ms(now.Add(-window))
	old := max(0, len(line)-maxTurns)
	for old+1 < len(line) && line[old+1].at <= begin {
		old++
	}
	return line[old:]
}

// pastOf is the time line that a session's status tells.
func pastOf(now time.Time, session *v1alpha1.AgentSession, since time.Time) (line []turn) {
	s := &session.Status
	add := func(at time.Time, state v1alpha1.SessionState) {
		if !at.IsZero() && !at.After(now) {
			line = extend(line, now, at, state)
		}
	}
	for i := len(s.History) - 1; i >= 0; i-- {
		if p := &s.History[i]; p.From != nil {
			add(p.From.Time, lived)
			add(p.Until.Time, v1alpha1.StateStopped)
		}
	}
	if s.Pod != nil {
		add(s.Pod.CreatedAt.Time, v1alpha1.StateStarting)
	}
	if s.HealthyAt != nil && s.State != v1alpha1.StateStopped {
		add(s.HealthyAt.Time, lived)
	}
	add(since, s.State)
	return line
}
