package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// handoverPeriod is how often a session is looked at for which another operator is waited.
const handoverPeriod = 2 * time.Second

// selectorText is the operator's label selector, as status names it; empty if it has none.
func selectorText(selector labels.Selector) string {
	if selector == nil {
		return ""
	}
	return selector.String()
}

// selected tells whether an object is one that an operator with a selector looks after.
func selected(selector labels.Selector, object client.Object) bool {
	return selector == nil || selector.Matches(labels.Set(object.GetLabels()))
}

// operator is how status names who looks after the session: this operator. A process on a
// node leaves what the operator says.
func (r *AgentSessionReconciler) operator(session *v1alpha1.AgentSession) *v1alpha1.Operator {
	switch {
	case r.mode() == onNode:
		return session.Status.Operator
	case r.Selector == nil:
		return nil
	}
	return &v1alpha1.Operator{Selector: r.Selector.String()}
}

// takeOver tells whether the session is this operator's to look after, or another's that
// has not let go of it, and until when its agent was seen by that one.
func (r *AgentSessionReconciler) takeOver(ctx context.Context, session *v1alpha1.AgentSession) (seen time.Time, ours bool) {
	if r.mode() == onNode {
		return r.LastLeader(), true
	}
	own, key := selectorText(r.Selector), client.ObjectKeyFromObject(session)
	if last := r.moves.departed(key); last != nil && last.UID != session.UID {
		r.finishDeleted(ctx, last)
	}
	r.moves.stay(key)
	var other lifecycle.Leader
	if lifecycle.HeldByOther(own, &session.Status) {
		var theirs string
		if session.Status.Operator != nil {
			theirs = session.Status.Operator.Selector
		}
		other = r.Leader(ctx, theirs)
		if !lifecycle.TakesOver(session, other, r.moves.waited(key, time.Now())) {
			if lifecycle.Selects(session) {
				r.overlaps.Do(func() {
					ctrl.LoggerFrom(ctx).Info("Another operator that leads looks after this session, which matches the label selectors of both: it stays with that one. No session should match two",
						"own", own, "other", theirs)
				})
			}
			r.forget(key)
			return time.Time{}, false
		}
		ctrl.LoggerFrom(ctx).Info("Took the session over", "from", theirs, "otherLeads", other.Leads)
	}
	r.moves.arrive(key)
	return lifecycle.SeenUntil(own, session, r.LastLeader(), other), true
}

// handleDeparture is for what the cache does not show any more: a session that was deleted, or one
// that other operators look after, since it has other labels.
func (r *AgentSessionReconciler) handleDeparture(ctx context.Context, key types.NamespacedName) error {
	last := r.moves.departed(key)
	if r.Selector != nil {
		var now v1alpha1.AgentSession
		err := r.Live.Get(ctx, key, &now)
		switch {
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("get session %s, which the cache does not show: %w", key, err)
		case err != nil, last != nil && last.UID != now.UID: // it was deleted
		case selected(r.Selector, &now):
			return nil // the cache will show it
		default:
			return r.release(ctx, &now)
		}
	}
	r.moves.forget(key)
	r.forget(key)
	if last != nil {
		r.finishDeleted(ctx, last)
	}
	return r.removeOrphans(ctx, key)
}

// release ends what this operator does for a session, and says until when it has seen the
// agent, which the next one goes by.
func (r *AgentSessionReconciler) release(ctx context.Context, session *v1alpha1.AgentSession) error {
	key, status := client.ObjectKeyFromObject(session), &session.Status
	if status.Operator != nil && status.Operator.Selector == r.Selector.String() && status.Operator.SeenAt == nil && lifecycle.Living(status.State) {
		base := session.DeepCopy()
		var answeredAt time.Time
		if r.mode() == central && status.Pod != nil {
			pulse, _ := r.Prober.Pulse(key, status.Pod.UID)
			answeredAt = pulse.AnsweredAt
		}
		status.Operator = lifecycle.Release(status, answeredAt, r.Clock.Now())
		patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Status().Patch(ctx, session, patch, client.DisableReadYourWritesConsistency); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("let go of session %s: %w", key, err)
		}
		ctrl.LoggerFrom(ctx).Info("Let go of the session: its labels do not match any more", "labels", session.Labels)
	}
	r.moves.forget(key)
	r.forget(key)
	return nil
}

// ofSelected are the events of pods whose session the cache shows. With a selector it shows
// the pods of other operators' sessions too, each of whose events would else be a look past
// the cache.
func (r *AgentSessionReconciler) ofSelected(cache client.Reader) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(pod client.Object) bool {
		owner := metav1.GetControllerOf(pod)
		if r.Selector == nil || owner == nil {
			return true
		}
		err := cache.Get(context.Background(), client.ObjectKey{Namespace: pod.GetNamespace(), Name: owner.Name}, &v1alpha1.AgentSession{})
		return !apierrors.IsNotFound(err)
	})
}

// moves remembers the sessions that come to an operator and leave it.
type moves struct {
	mu sync.Mutex
	// since is from when on another operator is waited for.
	since map[types.NamespacedName]time.Time
	// last is how the cache showed those that it shows no more.
	last map[types.NamespacedName]*v1alpha1.AgentSession
}

func (m *moves) waited(key types.NamespacedName, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	since, known := m.since[key]
	if !known {
		if m.since == nil {
			m.since = map[types.NamespacedName]time.Time{}
		}
		m.since[key], since = now, now
	}
	return now.Sub(since)
}

func (m *moves) depart(session *v1alpha1.AgentSession) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last = map[types.NamespacedName]*v1alpha1.AgentSession{}
	}
	m.last[client.ObjectKeyFromObject(session)] = session
}

func (m *moves) departed(key types.NamespacedName) *v1alpha1.AgentSession {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last[key]
}

// arrive ends the waiting for another operator.
func (m *moves) arrive(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.since, key)
}

// stay is for a session that the cache shows again, or another by its name.
func (m *moves) stay(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.last, key)
}

func (m *moves) forget(key types.NamespacedName) {
	m.arrive(key)
	m.stay(key)
}
