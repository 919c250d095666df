package explain

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Why is what a session's state rests on, in a word or two: the reason of its stop, what
// its start waits for, its work.
func Why(status *v1alpha1.AgentSessionStatus) string {
	why := ""
	switch {
	case status.LastTermination != nil && !lifecycle.Living(status.State):
		why = string(status.LastTermination.Reason)
	case status.State == v1alpha1.StateActive && status.PingStatus == string(contract.HealthyBusy):
		why = "background work"
	case status.State == v1alpha1.StateActive:
		why = "in use"
	}
	for _, one := range findings(status) {
		if why != "" {
			why += ", "
		}
		why += one.Reason
	}
	return why
}

// Since is when a session came into its state; nil if that is not known.
func Since(status *v1alpha1.AgentSessionStatus) *metav1.Time {
	last := status.LastTermination
	switch {
	case status.State == v1alpha1.StateStopped && last != nil:
		return last.At
	case status.State == v1alpha1.StateStopping:
		return nil
	case status.State == v1alpha1.StateStarting && status.Pod != nil:
		return &status.Pod.CreatedAt
	case status.Usage != nil:
		return &status.Usage.CountedAt
	}
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return &ready.LastTransitionTime
	}
	return nil
}

// Next is the stop that comes if nothing changes; empty if none is foreseen.
func Next(status *v1alpha1.AgentSessionStatus, now time.Time) string {
	if status.NextStop == nil {
		return ""
	}
	return fmt.Sprintf("%s in %s", status.NextStop.Reason, duration.HumanDuration(max(0, status.NextStop.At.Sub(now))))
}

// Line says in a sentence what a session is, why, and what comes next. Times are in the zone
// of now.
func Line(status *v1alpha1.AgentSessionStatus, now time.Time) string {
	t := &text{now: now}
	switch status.State {
	case v1alpha1.StateStarting:
		if status.Activation > 1 {
			return fmt.Sprintf("Starting again (activation %d): its memory is new", status.Activation)
		}
		return "Starting"
	case v1alpha1.StateActive:
		if status.PingStatus == string(contract.HealthyBusy) {
			return "Active: its agent says HealthyBusy"
		}
		return "Active: it was called"
	case v1alpha1.StateIdle:
		if status.NextStop == nil {
			return "Idle"
		}
		line := fmt.Sprintf("Idle: %s at %s", status.NextStop.Reason, t.clock(status.NextStop.At.Time))
		if status.NextStop.Reason == v1alpha1.StopIdleTimeout {
			line += ", unless it is called"
		}
		return line
	case v1alpha1.StateStopping:
		return "Stopping" + ended(status)
	case v1alpha1.StateStopped:
		return "Stopped" + ended(status) + ". Its next call starts it again"
	}
	return cmp.Or(string(status.State), "not begun")
}

func ended(status *v1alpha1.AgentSessionStatus) string {
	if status.LastTermination == nil {
		return ""
	}
	return fmt.Sprintf(": %s, %s", status.LastTermination.Reason, quote(status.LastTermination.Message))
}
