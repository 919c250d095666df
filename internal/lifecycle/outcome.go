package lifecycle

import (
	"cmp"
	"fmt"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// StartOutcome is what became of a start of a session. The zero StartOutcome tells of none.
type StartOutcome struct {
	// At is when the start was.
	At time.Time
	// Reason is why it failed; empty if it did not.
	Reason string
	// Message says it for people.
	Message string
}

// StartOutcomeOf is what became of the last start of a session; zero if it is not over, or
// was ended by somebody.
func StartOutcomeOf(session *v1alpha1.AgentSession) StartOutcome {
	status := &session.Status
	const good = "The youngest compute of a session was healthy."
	if status.Pod != nil && status.HealthyAt != nil {
		return StartOutcome{At: status.Pod.CreatedAt.Time, Message: good}
	}
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionReady && Hinders(c.Reason) {
			return StartOutcome{c.LastTransitionTime.Time, c.Reason, fmt.Sprintf("The AgentSession %q cannot start: %s", session.Name, c.Message)}
		}
	}
	if status.State != v1alpha1.StateStopped || len(status.History) == 0 {
		return StartOutcome{}
	}
	at, past := startOf(status.History[0]), &status.History[0]
	switch {
	case past.Reason == v1alpha1.StopStartFailed || past.Reason == v1alpha1.StopStartTimeout:
		return StartOutcome{at, string(past.Reason), fmt.Sprintf("The AgentSession %q did not start: %s", session.Name, past.Message)}
	case status.LastTermination == nil || status.LastTermination.PingStatus == "":
		return StartOutcome{}
	}
	return StartOutcome{At: at, Message: good}
}

// startOf is when an activation of the past started; one that never had a pod did at its end.
func startOf(past v1alpha1.PastActivation) time.Time {
	if past.From != nil {
		return past.From.Time
	}
	return past.Until.Time
}

// LatestStart is the outcome of the youngest start of some sessions; zero if none tells. Of
// several in one second, which is what the API keeps, one that failed counts, and the order
// of the sessions does not.
func LatestStart(sessions []v1alpha1.AgentSession) (latest StartOutcome) {
	for i := range sessions {
		o := StartOutcomeOf(&sessions[i])
		switch {
		case o.At.IsZero() || o.At.Before(latest.At):
		case o.At.After(latest.At) || o.before(latest):
			latest = o
		}
	}
	return latest
}

// before orders what became of two starts in one second: failures first, by what they say.
func (o StartOutcome) before(other StartOutcome) bool {
	if failed := o.Reason != ""; failed != (other.Reason != "") {
		return failed
	}
	return cmp.Less(o.Message, other.Message)
}
