// Package byhand writes what somebody asks of a session: to stop, or to wake. What is written,
// and when nothing is, are rules of internal/lifecycle.
package byhand

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// maxConflicts is how often a session that changed meanwhile is looked at anew.
const maxConflicts = 5

// ErrBusy is the error of a session that changed each time before it was written.
var ErrBusy = errors.New("it changes all the time; try again")

// Write writes what a rule says onto the version of a session that was looked at. One that
// changed meanwhile is looked at anew. not says why nothing was written.
func Write(ctx context.Context, c client.Client, session *v1alpha1.AgentSession, rule func(*v1alpha1.AgentSession) lifecycle.Hand) (not string, err error) {
	uid := session.UID
	for range maxConflicts {
		hand := rule(session)
		if hand.Not != "" {
			return hand.Not, nil
		}
		changed := session.DeepCopy()
		changed.Spec.DesiredState, changed.Spec.Activation = hand.DesiredState, hand.Activation
		err := c.Patch(ctx, changed, client.MergeFromWithOptions(session.DeepCopy(), client.MergeFromWithOptimisticLock{}))
		switch {
		case err == nil:
			return "", nil
		case apierrors.IsNotFound(err):
			return gone, nil
		case !apierrors.IsConflict(err):
			return "", err //nolint:wrapcheck // the caller's words
		}
		now := &v1alpha1.AgentSession{}
		if err := c.Get(ctx, client.ObjectKeyFromObject(session), now); client.IgnoreNotFound(err) != nil {
			return "", err //nolint:wrapcheck // the caller's words
		}
		if now.UID != uid { // or none
			return gone, nil
		}
		session = now
	}
	return "", ErrBusy
}

const gone = "it is gone"
