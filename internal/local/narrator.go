package local

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// narrator tells each thing that happens to a session.
type narrator struct {
	teller *teller
	last   map[types.UID]string
	breach map[types.UID]string // of the ping contract, as it was last told
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
				delete(n.breach, session.UID)
				n.teller.tell(sessionEvent(session, EventDeleted, "deleted"))
			default:
				n.changed(session)
			}
		}
	}
	return nil
}

// changed says what is new: another state, or the same one with another end; and what is
// wrong with the agent's answers to pings.
func (n *narrator) changed(session *v1alpha1.AgentSession) {
	if line := explain.Sentence(session, time.Local); line != "" && n.last[session.UID] != line {
		n.last[session.UID] = line
		n.teller.tell(sessionEvent(session, EventSession, line))
	}
	if reason, sentence := explain.Breach(session); reason != "" && n.breach[session.UID] != reason {
		n.breach[session.UID] = reason
		e := sessionEvent(session, EventContract, fmt.Sprintf("PingContract %s: %s", reason, sentence))
		e.Reason = reason
		n.teller.tell(e)
	}
}
