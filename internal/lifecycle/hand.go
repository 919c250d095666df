package lifecycle

import (
	"fmt"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Hand is what somebody writes into a session's spec to stop or to wake it.
type Hand struct {
	DesiredState v1alpha1.DesiredState
	Activation   int32
	// Not says why nothing is to be written; empty if something is.
	Not string
}

// StopByHand is what stops a session: desiredState Stopped.
func StopByHand(session *v1alpha1.AgentSession) Hand {
	spec, state := &session.Spec, session.Status.State
	h := Hand{DesiredState: v1alpha1.DesiredStopped, Activation: spec.Activation}
	switch phase := PhaseOf(session); {
	case session.DeletionTimestamp != nil:
		h.Not = "it is being deleted"
	case state == v1alpha1.StateStopped && phase == PhaseStopped:
		h.Not = "it has no compute"
	case spec.DesiredState == v1alpha1.DesiredStopped:
		h.Not = "it was asked to stop already"
	case state == v1alpha1.StateStopping && phase == PhaseStopping:
		h.Not = "it is stopping already"
	}
	return h
}

// WakeByHand is what wakes a session: desiredState Running if Stopped was the only reason
// of its stop, and the next activation else.
func WakeByHand(session *v1alpha1.AgentSession) Hand {
	spec, status := &session.Spec, &session.Status
	h := Hand{DesiredState: v1alpha1.DesiredRunning, Activation: spec.Activation}
	stopped := status.State == "" || StopAsked(status)
	switch phase := PhaseOf(session); {
	case session.DeletionTimestamp != nil:
		h.Not = "it is being deleted"
	case phase == PhaseReady:
		h.Not = fmt.Sprintf("it is %s", status.State)
	case phase == PhaseStarting:
		h.Not = "it is starting already"
	case Living(status.State) && spec.DesiredState != v1alpha1.DesiredStopped:
		h.Not = fmt.Sprintf("it was asked to go on as activation %d already", spec.Activation)
	case Living(status.State): // told to stop, and not stopped yet: that is taken back
	case status.LastTermination == nil && status.State == v1alpha1.StateStopped: // it never ran
	case !stopped:
		h.Activation = max(Wake(session), spec.Activation)
	}
	return h
}
