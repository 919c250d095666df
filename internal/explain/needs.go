package explain

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// NeedKind is why somebody should look at a session, or at a runtime, before the others.
type NeedKind string

// The kinds of Need.
const (
	NeedStuck        NeedKind = "stuck"
	NeedPingContract NeedKind = "pingContract"
	NeedStartRefused NeedKind = "startRefused"
	NeedCrashLoop    NeedKind = "crashLoop"
	NeedLateStop     NeedKind = "lateStop"
	NeedUnhealthy    NeedKind = "unhealthy"
)

// Need is such a reason, in words.
type Need struct {
	Kind NeedKind `json:"kind"`
	Text string   `json:"text"`
}

// Needs are the reasons to look at a session first. Their texts stay the same while nothing
// happens.
func Needs(now time.Time, session *v1alpha1.AgentSession) []Need {
	s := &session.Status
	all := []Need{
		{NeedStuck, stuckOf(s)},
		{NeedPingContract, breachOf(session)},
		troubleOf(s),
		{NeedCrashLoop, crashLoop(now, s)},
		{NeedLateStop, lateStop(now, s)},
		{NeedUnhealthy, unhealthyOf(s)},
	}
	return slices.DeleteFunc(all, func(n Need) bool { return n.Text == "" })
}

func stuckOf(s *v1alpha1.AgentSessionStatus) string {
	if !lifecycle.Living(s.State) || !stuck(s) {
		return ""
	}
	return becauseOf(find(s.Conditions, v1alpha1.ConditionStuck))
}

func breachOf(session *v1alpha1.AgentSession) string {
	reason, sentence := Breach(session)
	if !lifecycle.Living(session.Status.State) || reason == "" {
		return ""
	}
	return reason + ": " + sentence
}

// troubleOf is what keeps a session from starting, or troubles one that lives.
func troubleOf(s *v1alpha1.AgentSessionStatus) Need {
	c := troubled(s)
	switch {
	case c == nil || s.State == v1alpha1.StateStopping:
		return Need{}
	case c.Reason == v1alpha1.ReasonFlapping:
		return Need{NeedPingContract, becauseOf(c)}
	case s.State == v1alpha1.StateActive || s.State == v1alpha1.StateIdle:
		return Need{NeedUnhealthy, becauseOf(c)}
	}
	return Need{NeedStartRefused, becauseOf(c)}
}

func unhealthyOf(s *v1alpha1.AgentSessionStatus) string {
	if last := s.LastTermination; !lifecycle.Living(s.State) && last != nil && last.Reason == v1alpha1.StopUnhealthy {
		return asSentence(last.Message)
	}
	return ""
}

func becauseOf(c *metav1.Condition) string { return c.Reason + ": " + asSentence(c.Message) }

// crashLoop says that the agent fails each time; empty if it does not.
func crashLoop(now time.Time, s *v1alpha1.AgentSessionStatus) string {
	if !lifecycle.CrashLoops(now, s) {
		return ""
	}
	return fmt.Sprintf("Its last activations all failed, the last one by %s: %s", s.History[0].Reason, asSentence(s.History[0].Message))
}

// lateStop says that a stop was due and has not come; empty if none was.
func lateStop(now time.Time, s *v1alpha1.AgentSessionStatus) string {
	if !lifecycle.Living(s.State) || s.NextStop == nil || !lifecycle.Overdue(now, s.NextStop.At.Time) {
		return ""
	}
	return fmt.Sprintf("%s was due at %s and has not come. Look whether an operator runs.", s.NextStop.Reason, clock(now, s.NextStop.At.Time))
}

// RuntimeNeeds are the reasons to look at a runtime first.
func RuntimeNeeds(runtime *v1alpha1.AgentRuntime) (needs []Need) {
	for i := range runtime.Status.Conditions {
		if c := &runtime.Status.Conditions[i]; c.Status == metav1.ConditionFalse {
			needs = append(needs, Need{NeedStartRefused, becauseOf(c)})
		}
	}
	return needs
}
