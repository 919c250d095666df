package explain

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Sentence says in one line what a session is, why, and what comes next. It stays the
// same while nothing happens.
func Sentence(session *v1alpha1.AgentSession, zone *time.Location) string {
	s := &session.Status
	switch s.State {
	case v1alpha1.StateStarting:
		line := "Starting"
		if s.Activation > 1 {
			line = fmt.Sprintf("Starting again (activation %d): its memory is new", s.Activation)
		}
		if c := troubled(s); c != nil {
			line += ". " + c.Reason + ": " + bare(c.Message)
		}
		return line
	case v1alpha1.StateActive:
		return "Active: " + working(s)
	case v1alpha1.StateIdle:
		return "Idle" + nextStopText(session, zone)
	case v1alpha1.StateStopping:
		return "Stopping" + lastWhy(s)
	case v1alpha1.StateStopped:
		line := "Stopped" + lastWhy(s)
		if session.Spec.RuntimeRef != nil { // others are not called by a gateway
			line += ". Its next call starts it again"
		}
		return line
	}
	return ""
}

// working says what keeps a session Active.
func working(s *v1alpha1.AgentSessionStatus) string {
	switch {
	case stuck(s):
		return "its agent says HealthyBusy for longer than it should"
	case s.PingStatus == string(contract.HealthyBusy):
		return "its agent says HealthyBusy"
	}
	return "it was called"
}

// nextStopText says which stop comes next. That of a session with work would change with each
// call.
func nextStopText(session *v1alpha1.AgentSession, zone *time.Location) string {
	stop := session.Status.NextStop
	if stop == nil {
		return ""
	}
	at := fmt.Sprintf(": %s at %s", stop.Reason, stop.At.In(zone).Format(time.TimeOnly))
	if stop.Reason == v1alpha1.StopIdleTimeout && session.Spec.RuntimeRef != nil {
		at += ", unless it is called"
	}
	return at
}

func lastWhy(s *v1alpha1.AgentSessionStatus) string {
	if s.LastTermination == nil {
		return ""
	}
	return fmt.Sprintf(": %s, %s", s.LastTermination.Reason, bare(s.LastTermination.Message))
}

// troubled is the condition Ready of a session with a reason that is not its state; nil if
// nothing troubles it.
func troubled(s *v1alpha1.AgentSessionStatus) *metav1.Condition {
	c := find(s.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Reason == string(s.State) {
		return nil
	}
	switch v1alpha1.SessionState(c.Reason) {
	case v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle, v1alpha1.StateStopping, v1alpha1.StateStopped:
		return nil
	}
	return c
}

// Breach is what is wrong with an agent's answers to pings, in a word and in a sentence; empty
// if nothing is.
func Breach(session *v1alpha1.AgentSession) (reason, sentence string) {
	c := find(session.Status.Conditions, v1alpha1.ConditionPingContract)
	if c == nil || c.Status != metav1.ConditionFalse {
		return "", ""
	}
	return c.Reason, asSentence(c.Message)
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

func stuck(s *v1alpha1.AgentSessionStatus) bool {
	c := find(s.Conditions, v1alpha1.ConditionStuck)
	return c != nil && c.Status == metav1.ConditionTrue
}
