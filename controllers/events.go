package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// event is what an event says. Reasons are the states, the reasons of a stop
// and the reasons of conditions; actions say what was done.
type event struct {
	kind, reason, action, note string
}

// maxNote is how many bytes the API server takes as the note of an Event.
const maxNote = 1024

// eventsOf are the events of a change of status: one for a change of state,
// and one for a condition that turned to something that users should know.
func eventsOf(old, next *v1alpha1.AgentSessionStatus) []event {
	var list []event
	if old.State != next.State || old.Activation != next.Activation {
		list = append(list, stateEvent(next))
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionPingContract, v1alpha1.ConditionStuck} {
		c := meta.FindStatusCondition(next.Conditions, kind)
		if worth := eventTypeOf(c); worth != "" && reasonOf(old, kind) != c.Reason {
			list = append(list, event{worth, c.Reason, "Observe", c.Message})
		}
	}
	for i := range list {
		list[i].note = lifecycle.Cut(list[i].note, maxNote)
	}
	return list
}

// eventTypeOf is the type of the event that a condition is worth; empty: none. Not being
// Ready is worth none: the event of the state says it, unless no pod can be had.
// That an agent sends no time_of_last_update is worth a word and no warning.
func eventTypeOf(c *metav1.Condition) string {
	warns := c.Status == metav1.ConditionTrue
	switch c.Type {
	case v1alpha1.ConditionReady:
		warns = lifecycle.Hinders(c.Reason)
	case v1alpha1.ConditionPingContract:
		if c.Reason == v1alpha1.ReasonTimestampMissing {
			return corev1.EventTypeNormal
		}
		warns = c.Status == metav1.ConditionFalse
	}
	if warns {
		return corev1.EventTypeWarning
	}
	return ""
}

func reasonOf(status *v1alpha1.AgentSessionStatus, kind string) string {
	if c := meta.FindStatusCondition(status.Conditions, kind); c != nil {
		return c.Reason
	}
	return ""
}

func stateEvent(next *v1alpha1.AgentSessionStatus) event {
	e := event{kind: corev1.EventTypeNormal, reason: string(next.State), action: "Observe"}
	switch next.State {
	case v1alpha1.StateStarting:
		e.action = "Start"
		e.note = fmt.Sprintf("Activation %d starts", next.Activation)
	case v1alpha1.StateActive:
		e.note = "The session has work"
		if next.PingStatus != "" {
			e.note += ": the agent answers " + next.PingStatus
		}
	case v1alpha1.StateIdle:
		e.note = "The session has no work: the agent answers " + next.PingStatus
	case v1alpha1.StateStopping:
		e.action, e.reason = "Stop", string(next.LastTermination.Reason)
		e.kind = severity(next.LastTermination.Reason)
		e.note = fmt.Sprintf("Activation %d is stopped: %s", next.Activation, next.LastTermination.Message)
	case v1alpha1.StateStopped:
		e.note = "The session has no compute. " + howToWake(next)
		if last := next.LastTermination; last != nil {
			e.note = fmt.Sprintf("Activation %d is gone (%s: %s). %s", next.Activation, last.Reason, last.Message, howToWake(next))
		}
	}
	return e
}

// severity: what the agent or the cluster did wrong is a warning.
func severity(reason v1alpha1.StopReason) string {
	switch reason {
	case v1alpha1.StopIdleTimeout, v1alpha1.StopMaxLifetime, v1alpha1.StopRequested:
		return corev1.EventTypeNormal
	case v1alpha1.StopUnhealthy, v1alpha1.StopStartFailed, v1alpha1.StopStartTimeout, v1alpha1.StopStuckBusy, v1alpha1.StopAgentExited, v1alpha1.StopComputeLost:
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeWarning
}
