package local

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// narrator writes a line for each thing that happens to a session.
type narrator struct {
	out  io.Writer
	last map[types.UID]string
}

func newNarrator(out io.Writer) *narrator {
	return &narrator{out: out, last: map[types.UID]string{}}
}

func (n *narrator) run(ctx context.Context, c client.WithWatch) error {
	for ctx.Err() == nil {
		events, err := c.Watch(ctx, &v1alpha1.AgentSessionList{})
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it is to end
			}
			return fmt.Errorf("watch the sessions: %w", err)
		}
		for event := range events.ResultChan() {
			session, ok := event.Object.(*v1alpha1.AgentSession)
			switch {
			case !ok:
			case event.Type == watch.Deleted:
				delete(n.last, session.UID)
				n.say(session, "deleted")
			default:
				n.changed(session)
			}
		}
	}
	return nil
}

// changed says what is new: another state, or the same one with another end.
func (n *narrator) changed(session *v1alpha1.AgentSession) {
	line := n.sentence(&session.Status)
	if line == "" || n.last[session.UID] == line {
		return
	}
	n.last[session.UID] = line
	n.say(session, line)
}

func (n *narrator) say(session *v1alpha1.AgentSession, line string) {
	name := cmp.Or(session.Spec.RuntimeSessionID, session.Name)
	_, _ = fmt.Fprintf(n.out, "%s  %s  %s\n", time.Now().Format(time.TimeOnly), name, line) // who closed the terminal reads nothing
}

// sentence says what a session is, why, and what comes next.
func (n *narrator) sentence(s *v1alpha1.AgentSessionStatus) string {
	switch s.State {
	case v1alpha1.StateStarting:
		if s.Activation > 1 {
			return fmt.Sprintf("Starting again (activation %d): its memory is new", s.Activation)
		}
		return "Starting"
	case v1alpha1.StateActive:
		return "Active: " + n.busy(s)
	case v1alpha1.StateIdle:
		return "Idle" + n.next(s)
	case v1alpha1.StateStopping:
		return "Stopping" + why(s)
	case v1alpha1.StateStopped:
		return "Stopped" + why(s) + ". Its next call starts it again"
	}
	return ""
}

func (n *narrator) busy(s *v1alpha1.AgentSessionStatus) string {
	if s.PingStatus == string(contract.HealthyBusy) {
		return "its agent says HealthyBusy"
	}
	return "it was called"
}

// next says which stop comes next. A moment would change with each call.
func (n *narrator) next(s *v1alpha1.AgentSessionStatus) string {
	if s.NextStop == nil {
		return ""
	}
	at := fmt.Sprintf(": %s at %s", s.NextStop.Reason, s.NextStop.At.Local().Format(time.TimeOnly))
	if s.NextStop.Reason == v1alpha1.StopIdleTimeout {
		at += ", unless it is called"
	}
	return at
}

func why(s *v1alpha1.AgentSessionStatus) string {
	if s.LastTermination == nil {
		return ""
	}
	return fmt.Sprintf(": %s, %s", s.LastTermination.Reason, s.LastTermination.Message)
}
