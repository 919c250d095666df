package explain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Event is one of an object's events.
type Event struct {
	At           time.Time
	Reason, Note string
}

// maxEvents is how many are shown, the newest.
const maxEvents = 10

// Session explains a session at a moment, in whose zone all times are.
func Session(s *v1alpha1.AgentSession, events []Event, now time.Time) string {
	t := &text{now: now}
	_, _ = fmt.Fprintf(t, "AgentSession %s/%s: %s\n", s.Namespace, s.Name, cmp.Or(string(s.Status.State), "not begun"))
	t.part("What it is")
	t.is(s)
	if findings := findings(&s.Status); len(findings) > 0 {
		t.part("What is wrong")
		for _, one := range findings {
			t.say("%s: %s", one.Reason, sentence(one.Message))
		}
	}
	t.part("What comes next")
	t.next(s)
	t.before(s.Status.History, events)
	if said := agentCore(&s.Status); said != "" {
		t.part("What AgentCore would do")
		t.say("%s", said)
	}
	t.part("What you can do")
	t.can(s)
	return t.String()
}

// Gone explains a session of which there are only events.
func Gone(namespace, name string, events []Event, now time.Time) string {
	t := &text{now: now}
	_, _ = fmt.Fprintf(t, "AgentSession %s/%s: it is not there\n", namespace, name)
	t.part("What it is")
	if len(events) == 0 {
		t.say("There is no such object, and there are no events of one: Kubernetes keeps them for an hour.")
		return t.String()
	}
	t.say("It was deleted: by somebody, with its runtime, or spec.ttlSecondsAfterStopped after its stop.")
	t.before(nil, events)
	return t.String()
}

// is says what the session is, since when, and by which rule.
func (t *text) is(s *v1alpha1.AgentSession) {
	status := &s.Status
	switch status.State {
	case "":
		t.say("No operator has looked at it yet.")
	case v1alpha1.StateStarting:
		t.say("Activation %d starts.", status.Activation)
		if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Reason == string(v1alpha1.StateStarting) {
			t.say("%s", sentence(ready.Message))
		}
	case v1alpha1.StateActive:
		t.say("%s.", t.work(status))
	case v1alpha1.StateIdle:
		t.say("The agent answers %s, and no call is in flight.", cmp.Or(status.PingStatus, "nothing"))
		if status.IdleSince != nil {
			t.say("It has been idle since %s.", t.moment(*status.IdleSince))
		}
	case v1alpha1.StateStopping:
		t.say("Activation %d is told to go, and its agent has its grace to end.", status.Activation)
	case v1alpha1.StateStopped:
		t.say("It has no compute. The session itself stays, and can be woken.")
	}
	t.compute(s)
}

// compute says which pod it has, or why it has none.
func (t *text) compute(s *v1alpha1.AgentSession) {
	status := &s.Status
	if status.Pod != nil {
		t.say("Its compute is the pod %s, made at %s.", podOf(status.Pod), t.moment(status.Pod.CreatedAt))
	}
	if last := status.LastTermination; last != nil && !lifecycle.Living(status.State) {
		t.say("Reason: %s. %s", last.Reason, rules[last.Reason].means)
		if last.Message != "" {
			t.say("The operator says: %s", sentence(last.Message))
		}
		if last.At != nil {
			t.say("Its compute was gone at %s.", t.moment(*last.At))
		}
	}
	if asked := askedOf(s); asked != "" {
		t.say("%s", asked)
	}
	if status.TimeScale > 1 {
		t.say("The operator runs with --time-scale=%d: every duration of the rules is divided by that.", status.TimeScale)
	}
}

// askedOf is what was asked of it and not done yet.
func askedOf(s *v1alpha1.AgentSession) string {
	living := lifecycle.Living(s.Status.State)
	switch {
	case s.DeletionTimestamp != nil:
		return "It is being deleted."
	case living && s.Spec.DesiredState == v1alpha1.DesiredStopped:
		return "A stop was asked for (spec.desiredState), and the operator has not begun it yet."
	case living && s.Spec.Activation > s.Status.Activation:
		return fmt.Sprintf("Activation %d was asked for (spec.activation), and the operator has not begun it yet.", s.Spec.Activation)
	}
	return ""
}

func podOf(pod *v1alpha1.PodStatus) string {
	if pod.Node == "" {
		return pod.Name
	}
	return pod.Name + " on the node " + pod.Node
}

// work is what keeps an Active session.
func (t *text) work(status *v1alpha1.AgentSessionStatus) string {
	call := ""
	if status.Traffic != nil && status.Traffic.InUseUntil != nil && status.Traffic.InUseUntil.After(t.now) {
		call = "a call is in flight (its gateway renews that before " + t.clock(status.Traffic.InUseUntil.Time) + ")"
	}
	switch busy := status.PingStatus == string(contract.HealthyBusy); {
	case busy && status.PingStatusSince != nil:
		said := fmt.Sprintf("The agent has work in the background: it answers HealthyBusy since %s", t.moment(*status.PingStatusSince))
		if call != "" {
			said += "; and " + call
		}
		return said
	case call != "":
		return "It is in use: " + call
	}
	return "It is in use"
}

// findings are conditions that somebody has to know.
func findings(status *v1alpha1.AgentSessionStatus) []metav1.Condition {
	var found []metav1.Condition
	for _, c := range status.Conditions {
		switch {
		case c.Type == v1alpha1.ConditionReady && c.Status != metav1.ConditionTrue && c.Reason != string(status.State),
			c.Type == v1alpha1.ConditionReady && c.Reason == v1alpha1.ReasonFlapping,
			c.Type == v1alpha1.ConditionPingContract && c.Status == metav1.ConditionFalse,
			c.Type == v1alpha1.ConditionStuck && c.Status == metav1.ConditionTrue:
			found = append(found, c)
		}
	}
	return found
}

// next says what happens if nothing changes, and what would change it.
func (t *text) next(s *v1alpha1.AgentSession) {
	status := &s.Status
	switch {
	case status.NextStop != nil:
		next := status.NextStop
		t.say("%s stops it at %s.", next.Reason, t.moment(next.At))
		t.say("%s", rules[next.Reason].unless)
		if end, ok := maxLifetime(status); ok && next.Reason != v1alpha1.StopMaxLifetime {
			t.say("Whatever happens, MaxLifetime stops it at %s.", t.moment(metav1.NewTime(end)))
		}
	case lifecycle.Living(status.State) && status.Pod == nil:
		t.say("The operator tries again to make its pod.")
	case lifecycle.Living(status.State):
		t.say("No stop is foreseen.")
	case status.State == v1alpha1.StateStopping:
		t.say("Its pod goes within its grace. Where it has not gone 10 s later, it counts as lost.")
		t.wakes(s)
	case status.State == "":
		t.say("An operator makes its pod.")
	default:
		t.wakes(s)
		if ttl := s.Spec.TTLSecondsAfterStopped; ttl != nil {
			t.say("The object is deleted %s after its stop (spec.ttlSecondsAfterStopped).", seconds(int64(*ttl/max(status.TimeScale, 1))))
		}
	}
}

// wakes says what starts the next activation.
func (t *text) wakes(s *v1alpha1.AgentSession) {
	switch {
	case s.DeletionTimestamp != nil:
	case s.Spec.DesiredState == v1alpha1.DesiredStopped:
		t.say("It starts again when spec.desiredState is Running, or with its next call through the gateway.")
	default:
		t.say("It starts again with its next call through the gateway, or when spec.activation is %d.", lifecycle.Wake(s))
	}
}

// maxLifetime is when the compute is as old as it may become.
func maxLifetime(status *v1alpha1.AgentSessionStatus) (time.Time, bool) {
	if status.Pod == nil || status.LifecycleConfiguration == nil {
		return time.Time{}, false
	}
	limits := lifecycle.LimitsOf(status.LifecycleConfiguration)
	return status.Pod.CreatedAt.Add(limits.Max / time.Duration(max(status.TimeScale, 1))), true
}

// before is what happened: ends of activations, and events.
func (t *text) before(history []v1alpha1.PastActivation, events []Event) {
	if len(history) > 0 {
		t.part("How its activations ended")
		for _, past := range slices.Backward(history) {
			spent := ""
			if past.From != nil {
				spent = fmt.Sprintf(" It lived for %s: %s active, %s idle.", seconds(int64(past.Until.Sub(past.From.Time).Seconds())), seconds(past.ActiveSeconds), seconds(past.IdleSeconds))
			}
			t.say("%s  %d  %s: %s%s", t.clock(past.Until.Time), past.Activation, past.Reason, sentence(past.Message), spent)
		}
	}
	if len(events) > 0 {
		t.part("What happened lately")
		events = slices.SortedStableFunc(slices.Values(events), func(a, b Event) int { return a.At.Compare(b.At) })
		for _, event := range events[max(0, len(events)-maxEvents):] {
			t.say("%s  %s: %s", t.clock(event.At), quote(event.Reason), sentence(event.Note))
		}
	}
}

// agentCore is what the real thing does in this place.
func agentCore(status *v1alpha1.AgentSessionStatus) string {
	switch {
	case status.NextStop != nil:
		return fmt.Sprintf("%s: %s", status.NextStop.Reason, rules[status.NextStop.Reason].agentCore)
	case status.LastTermination != nil && !lifecycle.Living(status.State):
		return fmt.Sprintf("%s: %s", status.LastTermination.Reason, rules[status.LastTermination.Reason].agentCore)
	}
	return ""
}

// can is what to type next.
func (t *text) can(s *v1alpha1.AgentSession) {
	status := &s.Status
	if last := status.LastTermination; last != nil && !lifecycle.Living(status.State) && rules[last.Reason].look != "" {
		t.say("%s", rules[last.Reason].look)
	}
	switch {
	case status.State == "":
		t.say("See whether the operator runs:  kubectl get pods -n agentsession-system")
	case lifecycle.Living(status.State):
		if status.Pod != nil {
			t.say("See what its agent writes:  kubectl logs -n %s %s", s.Namespace, status.Pod.Name)
		}
		t.say("Stop it:                    kubectl patch ags -n %s %s --type=merge -p '{\"spec\":{\"desiredState\":\"Stopped\"}}'", s.Namespace, s.Name)
	case s.DeletionTimestamp == nil:
		t.say("Wake it:  kubectl patch ags -n %s %s --type=merge -p '{\"spec\":{\"desiredState\":\"Running\",\"activation\":%d}}'", s.Namespace, s.Name, lifecycle.Wake(s))
	}
}
