package lifecycle

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// HandoverTimeout is how long an operator waits for another that leads to let go of a
// session that no longer matches that one's selector. One that began to lead after the
// session's labels had changed does not know of it.
const HandoverTimeout = 10 * time.Second

// Leader is what is known of the operator that status.operator names.
type Leader struct {
	// Leads: one with that selector leads now.
	Leads bool
	// SeenAt is when one last did, if none does; zero if nobody knows.
	SeenAt time.Time
}

// Selects tells whether the operator that a session's status names is meant to look after
// the session, by the labels that it has now. An operator without a selector is for all.
func Selects(session *v1alpha1.AgentSession) bool {
	if session.Status.Operator == nil {
		return true
	}
	selector, err := labels.Parse(session.Status.Operator.Selector)
	return err == nil && selector.Matches(labels.Set(session.Labels))
}

// HeldByOther tells whether another operator than the one with a selector looks after a
// session's compute, and has not let go of it. Without a compute there is nothing to wait
// for: pods have the same names whoever makes them.
func HeldByOther(selector string, status *v1alpha1.AgentSessionStatus) bool {
	if !Living(status.State) || selectorOf(status) == selector {
		return false
	}
	return status.Operator == nil || status.Operator.SeenAt == nil
}

// TakesOver tells whether an operator that is meant to look after a session takes it from
// another that has not let go of it, for which it has waited for a while: if that one does
// not lead, or should have let go long ago. Of two that are meant to, the first stays.
func TakesOver(session *v1alpha1.AgentSession, other Leader, waited time.Duration) bool {
	return !other.Leads || !Selects(session) && waited >= HandoverTimeout
}

// SeenUntil is until when the operator with a selector knows that the agent of a session was
// seen; zero if it does not know. own is when another of its selector last led.
func SeenUntil(selector string, session *v1alpha1.AgentSession, own time.Time, other Leader) time.Time {
	status := &session.Status
	switch {
	case status.Operator != nil && status.Operator.SeenAt != nil:
		return status.Operator.SeenAt.Time
	case selectorOf(status) == selector:
		return own
	case !other.Leads && Selects(session): // it looked after the session until its end
		return other.SeenAt
	}
	return time.Time{}
}

// Release is what status says of an operator that lets go of a session whose agent last
// answered at a moment, zero if that is unknown: it was seen when its pod was made.
func Release(status *v1alpha1.AgentSessionStatus, answeredAt, now time.Time) *v1alpha1.Operator {
	switch {
	case !answeredAt.IsZero():
	case status.Pod != nil:
		answeredAt = status.Pod.CreatedAt.Time
	default:
		answeredAt = now
	}
	return &v1alpha1.Operator{Selector: selectorOf(status), SeenAt: new(metav1.NewTime(answeredAt.Truncate(time.Second)))}
}

func selectorOf(status *v1alpha1.AgentSessionStatus) string {
	if status.Operator == nil {
		return ""
	}
	return status.Operator.Selector
}
