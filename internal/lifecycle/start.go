package lifecycle

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// AgentContainer is the container of a session's pod that is the agent: the one
// with the token that the operator gave it. Whoever injects a sidecar may put it
// first, and may change the name of none; the template may have changed meanwhile.
// A pod that nobody gave a token has the agent first.
func AgentContainer(pod *corev1.Pod) *corev1.Container {
	for i := range pod.Spec.Containers {
		for _, v := range pod.Spec.Containers[i].Env {
			if v.Name == contract.EnvToken {
				return &pod.Spec.Containers[i]
			}
		}
	}
	return &pod.Spec.Containers[0]
}

// AgentToken is the token that a pod was made with: whoever may read the pod may
// read it, and with it the names of the agent's tasks.
func AgentToken(pod *corev1.Pod) string {
	for _, v := range AgentContainer(pod).Env {
		if v.Name == contract.EnvToken {
			return v.Value
		}
	}
	return ""
}

// startedAt is when the agent's container started; zero before. Its node's clock
// counts only between the creation of the pod and now. One that is ahead gives no more
// than the time of the provisioning: it started within that.
func (f Facts) startedAt(now time.Time) time.Time {
	started := f.Compute.StartedAt
	switch {
	case started.IsZero():
		return started
	case started.After(now):
		if started = f.Compute.CreatedAt.Add(f.Policy.Provisioning); started.After(now) {
			started = now
		}
	}
	if f.Compute.CreatedAt.After(now) { // by a clock that was set back since
		return started
	}
	return latest(started, f.Compute.CreatedAt)
}

// startTimeout is two limits: until the agent's container has started that of its
// provisioning, and from then on AgentCore's. The second waits for one failed ping
// if the agent can be asked: it may have become healthy while the operator was down.
func startTimeout(now time.Time, f Facts) due {
	if !f.starting() {
		return due{}
	}
	started := f.startedAt(now)
	if started.IsZero() {
		return due{Stop: Stop{At: f.Compute.CreatedAt.Add(f.Policy.Provisioning), Reason: v1alpha1.StopStartFailed}, message: notStarted}
	}
	return due{
		Stop: Stop{At: started.Add(f.Policy.StartTimeout), Reason: v1alpha1.StopStartTimeout}, message: notHealthy,
		unproven: f.Asked && f.Pulse.Failures == 0,
	}
}

func notStarted(_ time.Time, f Facts) string {
	return fmt.Sprintf("The agent's container did not start within %s of the creation of its pod (spec.provisioningTimeoutSeconds): %s",
		f.Policy.Provisioning, f.provisioning())
}

func notHealthy(_ time.Time, f Facts) string {
	return fmt.Sprintf("The agent was not healthy within %s of the start of its container: %s", f.Policy.StartTimeout, f.unanswered())
}

// wait is what keeps a session that has not been stopped from being ready; zero if
// nothing does. That an agent does not answer is what every start goes through for a
// while.
func (f Facts) wait(now time.Time) Wait {
	started := f.startedAt(now)
	switch {
	case !f.starting() && f.spared(now):
		return Wait{Reason: v1alpha1.ReasonMassFailure, Message: fmt.Sprintf("The agent has not answered for %d pings or more, "+
			"and is not stopped for that: most agents were silent at the same time, so the fault may be the network's", f.Policy.FailureThreshold)}
	case !f.starting():
		return Wait{}
	case started.IsZero() && f.Compute.Wait.Reason == "" && now.Before(f.Compute.CreatedAt.Add(f.Policy.Tell)):
		return Wait{Message: "The pod was made; the agent's container has not started yet"} // who has to act has had no time to
	case started.IsZero():
		wait := f.Compute.Wait
		wait.Message = "The agent's container has not started yet: " + f.provisioning()
		return wait
	}
	wait := Wait{Message: "The agent's container has started, and the agent is not healthy yet: " + f.unanswered()}
	if !now.Before(started.Add(f.slowAfter())) {
		wait.Reason = v1alpha1.ReasonNoGoodAnswer
	}
	return wait
}

// slowAfter is how long after the start of its container an agent that is not
// healthy is worth a word.
func (f Facts) slowAfter() time.Duration { return f.Policy.StartTimeout / 4 }

// slowAt is when a start is to be looked at again; zero if it is over, or an event will tell.
func (f Facts) slowAt(now time.Time) time.Time {
	started := f.startedAt(now)
	switch {
	case !f.starting():
	case !started.IsZero():
		return started.Add(f.slowAfter())
	case f.Compute.Unbound: // no event of the pod tells that its volume does not come
		return f.Compute.CreatedAt.Add(f.Policy.Tell)
	}
	return time.Time{}
}

// provisioning says what a pod waits for whose agent has not started.
func (f Facts) provisioning() string {
	if f.Compute.Wait.Message == "" {
		return "the pod does not say why"
	}
	return f.Compute.Wait.Message
}

// unanswered says what came of the pings of an agent that was never healthy.
func (f Facts) unanswered() string {
	last := f.Pulse.LastFailure
	switch {
	case f.Pulse.Failures == 0 && f.Compute.Detail != "":
		return "it was not asked: " + f.Compute.Detail
	case f.Pulse.Failures == 0:
		return "it has not been heard of"
	case last.Failure == FailureConnect && f.Compute.Loopback:
		return last.Detail + " (it must listen at the port that PORT in its environment names, which is another for each session; in a container at the contract's port, on all addresses of it)"
	case last.Failure == FailureConnect:
		return last.Detail + " (it must listen on the port that is asked, on all addresses and not on 127.0.0.1 only)"
	}
	return last.Detail
}
