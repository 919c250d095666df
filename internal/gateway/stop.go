package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// AnnotationStopToken is on a session that StopRuntimeSession stopped, with the
// clientToken of the call: the same token is given the same answer again.
const AnnotationStopToken = "runtime.agentsession.dev/stop-client-token"

const sessionGone = "Session not found or already terminated"

// maxToken is how long a clientToken may be.
const maxToken = 256

// clientTokenOf reads the body of StopRuntimeSession, which may be empty.
func clientTokenOf(p *Payload) (string, error) {
	if p.Size == 0 {
		return "", nil
	}
	var body struct {
		ClientToken string `json:"clientToken"`
	}
	if err := json.NewDecoder(io.LimitReader(p.open(), 4<<10)).Decode(&body); err != nil {
		return "", unparsable("The request's body must be a JSON object: " + err.Error())
	}
	if n := len(body.ClientToken); n != 0 && n < minSessionID || n > maxToken {
		return "", invalid("clientToken", fmt.Sprintf("Value at 'clientToken' failed to satisfy constraint: Member must have length between %d and %d", minSessionID, maxToken))
	}
	return body.ClientToken, nil
}

// stopSession asks the operator to take the session's compute away.
func (g *Gateway) stopSession(ctx context.Context, c *call, token string) error {
	return g.askToStop(ctx, c.key(), token, func(session *v1alpha1.AgentSession) (bool, error) {
		if token != "" && c.matches(session) && session.Annotations[AnnotationStopToken] == token {
			return true, nil
		}
		return false, stoppable(c, session)
	})
}

// askToStop asks the operator to stop a session, unless done says that nothing is
// to be asked.
func (g *Gateway) askToStop(ctx context.Context, key client.ObjectKey, token string, done func(*v1alpha1.AgentSession) (bool, error)) error {
	for live := false; ; live = true {
		session, err := g.read(ctx, key, live)
		if err != nil {
			return err
		}
		is, err := done(session)
		if refuses(err) && !live {
			continue // what the cache shows is not enough to refuse a call
		}
		if is || err != nil {
			return err
		}
		base := session.DeepCopy()
		session.Spec.DesiredState = v1alpha1.DesiredStopped
		if session.Annotations == nil {
			session.Annotations = map[string]string{}
		}
		session.Annotations[AnnotationStopToken] = token
		err = g.patchSpec(ctx, session, base)
		switch {
		case apierrors.IsConflict(err):
			continue // the operator or another gateway wrote meanwhile
		case err != nil:
			return fmt.Errorf("stop session %s: %w", key, err)
		}
		return nil
	}
}

// stoppable is an error if there is no compute to be stopped, or not yet.
func stoppable(c *call, session *v1alpha1.AgentSession) error {
	if !c.matches(session) { // as one that is not there
		return notFound(sessionGone)
	}
	switch lifecycle.PhaseOf(session) {
	case lifecycle.PhaseStopped:
		return notFound(sessionGone)
	case lifecycle.PhaseStarting:
		if refusalOf(session) == nil { // or it would be starting for ever
			return conflict()
		}
	case lifecycle.PhaseStopping:
		return conflict()
	case lifecycle.PhaseReady:
	}
	return nil
}
