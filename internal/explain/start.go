package explain

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func (l *life) starting() []string {
	first := fmt.Sprintf("It is Starting since %s: activation %d. It is that until its agent answers its first ping.", past(l.now, since(l.Session)), l.status.Activation)
	c := find(l.status.Conditions, v1alpha1.ConditionReady)
	started := l.agentStarted()
	switch {
	case c == nil:
		return []string{first}
	case lifecycle.Hinders(c.Reason):
		return []string{first, fmt.Sprintf("It cannot start (%s): %s", c.Reason, asSentence(c.Message))}
	case troubled(l.status) != nil:
		return []string{first, fmt.Sprintf("Something keeps it (%s): %s", c.Reason, asSentence(c.Message))}
	case !started.IsZero(): // which status does not say before it is worth a word
		return []string{first, fmt.Sprintf("Its agent's container runs since %s.", past(l.now, started))}
	case l.unscheduled():
		return []string{first, "No scheduler has looked at its pod. See whether one runs, and whether the template's schedulerName is its."}
	}
	return []string{first, asSentence(c.Message)}
}

func (l *life) nextOfStart() []string {
	c, asked := troubled(l.status), l.asked()
	switch {
	case asked != "":
		return []string{asked}
	case c != nil && lifecycle.Refuses(c.Reason) && l.status.Pod == nil:
		return []string{"It is tried again, ever more slowly, for as long as it takes: a start that is refused has no limit."}
	case l.status.NextStop == nil && l.status.Pod != nil:
		return []string{fmt.Sprintf("Its agent's container has until %s to start: %s after the creation of its pod (provisioningTimeoutSeconds). Then the agent has %s to answer its first ping.",
			clock(l.now, l.status.Pod.CreatedAt.Add(l.policy.Provisioning)), span(l.policy.Provisioning), span(l.policy.StartTimeout))}
	case l.status.NextStop == nil:
		return []string{"The operator makes its pod."}
	}
	lines := []string{"It is Idle, or Active, as soon as its agent answers a ping."}
	if startsNormally(l.now, l.Session) {
		return append(lines, l.limit())
	}
	return append(lines, "If it does not: "+l.foreseen())
}

// startsNormally tells whether a session starts as all do: nothing is known that keeps it, and its
// time is not over.
func startsNormally(now time.Time, session *v1alpha1.AgentSession) bool {
	s := &session.Status
	return s.State == v1alpha1.StateStarting && lifecycle.PhaseOf(session) == lifecycle.PhaseStarting && troubled(s) == nil &&
		s.NextStop != nil && now.Before(s.NextStop.At.Time)
}

// readyBy is when a session that goes well must be ready at the latest, by its status.
func readyBy(session *v1alpha1.AgentSession) time.Time {
	stop := session.Status.NextStop
	if stop.Reason == v1alpha1.StopStartFailed {
		return stop.At.Add(policyOf(session).StartTimeout)
	}
	return stop.At.Time
}

// limit says until when a start that goes well must be over.
func (l *life) limit() string {
	by, stop := readyBy(l.Session), l.status.NextStop
	why := fmt.Sprintf("its agent has %s to answer its first ping, from the start of its container on", span(l.policy.StartTimeout))
	if started := l.agentStarted(); !started.IsZero() {
		by = started.Add(l.policy.StartTimeout)
	} else if stop.Reason == v1alpha1.StopStartFailed {
		why = fmt.Sprintf("its agent's container must start by %s, and its agent has %s from then on to answer its first ping", clock(l.now, stop.At.Time), span(l.policy.StartTimeout))
	}
	return fmt.Sprintf("It has been starting for %s, and must be ready by %s: %s.", span(max(l.now.Sub(since(l.Session)), 0)), clock(l.now, by), why)
}

// agentStarted is when the agent's container started, by its pod; zero before.
func (l *life) agentStarted() time.Time {
	if !l.hasPod() {
		return time.Time{}
	}
	agent := lifecycle.AgentContainer(l.Pod).Name
	for i := range l.Pod.Status.ContainerStatuses {
		c := &l.Pod.Status.ContainerStatuses[i]
		if c.Name != agent || c.State.Running == nil {
			continue
		}
		started := c.State.Running.StartedAt.Time // by its node's clock
		if made := l.Pod.CreationTimestamp.Time; started.Before(made) {
			started = made
		}
		if started.After(l.now) {
			started = l.now
		}
		return started
	}
	return time.Time{}
}

// unscheduled tells whether the pod has waited in vain for a scheduler to look at it.
func (l *life) unscheduled() bool {
	if l.Tools.Laptop || !l.hasPod() || l.Pod.Spec.NodeName != "" || l.now.Before(l.Pod.CreationTimestamp.Add(l.policy.Tell)) {
		return false
	}
	for i := range l.Pod.Status.Conditions {
		if l.Pod.Status.Conditions[i].Type == corev1.PodScheduled {
			return false
		}
	}
	return true
}

// hasPod tells whether the pod of the compute is known.
func (l *life) hasPod() bool {
	return l.Pod != nil && l.status.Pod != nil && l.Pod.UID == l.status.Pod.UID && len(l.Pod.Spec.Containers) > 0
}
