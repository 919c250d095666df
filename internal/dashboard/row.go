package dashboard

import (
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// row is a session as the page shows it. Moments are milliseconds of Unix time; 0 is none.
type row struct {
	Key        string         `json:"key"`
	Namespace  string         `json:"ns"`
	Name       string         `json:"name"`
	Runtime    string         `json:"runtime"`
	State      string         `json:"state"`
	Ping       string         `json:"ping"`
	Since      int64          `json:"since"`
	NextAt     int64          `json:"nextAt"`
	NextReason string         `json:"nextReason"`
	Why        string         `json:"why"`
	Alarm      bool           `json:"alarm"`
	Needs      []explain.Need `json:"needs"`
	Line       []turn         `json:"line"`
	Activation int32          `json:"activation"`
	Pod        string         `json:"pod"`
	Node       string         `json:"node"`
	Version    int64          `json:"version"`
	SessionID  string         `json:"sessionId"`
	Active     int64          `json:"active"`
	Idle       int64          `json:"idle"`
}

// rowOf is a session at a moment.
func rowOf(now time.Time, session *v1alpha1.AgentSession, line []turn) row {
	s, words := &session.Status, explain.RowOf(now, session)
	r := row{
		Key: keyOf(session), Namespace: session.Namespace, Name: session.Name, Runtime: runtimeOf(session),
		State: string(s.State), Ping: lifecycle.Printable(s.PingStatus), Since: ms(words.SinceAt),
		NextAt: ms(words.NextAt), NextReason: words.NextWhat, Why: explain.Sentence(session, now.Location()),
		Needs: needsOf(explain.Needs(now, session)), Line: line, Activation: s.Activation, SessionID: dashless(words.SessionID),
	}
	r.Alarm = words.Alarming || len(r.Needs) > 0
	if s.Pod != nil {
		r.Pod, r.Node = lifecycle.Printable(s.Pod.Name), lifecycle.Printable(s.Pod.Node)
	}
	if s.Runtime != nil {
		r.Version = s.Runtime.AgentRuntimeVersion
	}
	switch {
	case s.Usage != nil:
		r.Active, r.Idle = s.Usage.ActiveSeconds, s.Usage.IdleSeconds
	case len(s.History) > 0:
		r.Active, r.Idle = s.History[0].ActiveSeconds, s.History[0].IdleSeconds
	}
	return r
}

func keyOf(session *v1alpha1.AgentSession) string { return session.Namespace + "/" + session.Name }

func runtimeOf(session *v1alpha1.AgentSession) string {
	if ref := session.Spec.RuntimeRef; ref != nil {
		return lifecycle.Printable(ref.Name)
	}
	return ""
}

// needsOf has a list that is empty rather than null.
func needsOf(needs []explain.Need) []explain.Need {
	if needs == nil {
		return []explain.Need{}
	}
	return needs
}

// dashless is a cell of a table without the dash of an empty one.
func dashless(cell string) string {
	if cell == "-" {
		return ""
	}
	return cell
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
