package controllers

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// notStarted are the reasons of a container that ended before its program began.
var notStarted = map[string]bool{"StartError": true, "ContainerCannotRun": true}

// toldToEnd are the codes of a program that was told to end, as the kubelet does: with its
// own good end, by SIGKILL and by SIGTERM.
var toldToEnd = map[int32]bool{0: true, 128 + 9: true, 128 + 15: true}

// exitOf says how the agent ended; empty while it has not. Other containers may
// end when they like.
func exitOf(pod *corev1.Pod) string {
	if status := agentStatus(pod); status != nil && status.State.Terminated != nil {
		t := status.State.Terminated
		return fmt.Sprintf("The agent (container %q) exited with code %d: %s", status.Name, t.ExitCode, joinReason(t.Reason, "")) +
			hint(pod, t) + lastWords(t)
	}
	if phase := pod.Status.Phase; phase == corev1.PodFailed || phase == corev1.PodSucceeded {
		return fmt.Sprintf("The pod is %s: %s", pod.Status.Phase, joinReason(pod.Status.Reason, pod.Status.Message))
	}
	return ""
}

// failureOf says why the agent never ran and never will; empty if it ran or may.
func failureOf(pod *corev1.Pod) string {
	agent := agentStatus(pod)
	if agent != nil && agent.State.Terminated != nil {
		if t := agent.State.Terminated; notStarted[t.Reason] {
			return fmt.Sprintf("The agent (container %q) could not be started: %s", agent.Name, joinReason(t.Reason, lifecycle.LastWords(t.Message))) + architecture(t)
		}
		return ""
	}
	if pod.Status.Phase != corev1.PodFailed || agent != nil && agent.State.Running != nil {
		return ""
	}
	for i := range pod.Status.InitContainerStatuses {
		init := &pod.Status.InitContainerStatuses[i]
		if t := init.State.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("The %s exited with code %d, so the agent never ran: %s", name(pod, init.Name), t.ExitCode, joinReason(t.Reason, "")) +
				architecture(t) + lastWords(t)
		}
	}
	if pod.Status.Reason == "" && pod.Status.Message == "" {
		return "The pod failed before the agent ran, and does not say why; its Events may"
	}
	return "The node's kubelet refused the pod, so the agent never ran: " + joinReason(pod.Status.Reason, pod.Status.Message)
}

// hint says what an end of the agent means, where its code does not.
func hint(pod *corev1.Pod, t *corev1.ContainerStateTerminated) string {
	agent := lifecycle.AgentContainer(pod)
	switch {
	case t.Reason == "OOMKilled":
		return ". It used more memory than it may: raise resources.limits.memory"
	case architecture(t) != "":
		return architecture(t)
	case (agent.LivenessProbe != nil || agent.StartupProbe != nil) && toldToEnd[t.ExitCode]:
		// The kubelet says in an Event alone that a probe failed.
		return fmt.Sprintf(". Its template has a livenessProbe or a startupProbe, and the kubelet ends a container whose probe fails: "+
			"kubectl events --for pod/%s tells. The operator's pings do that work, so the template needs neither", pod.Name)
	case t.ExitCode == 0:
		return ". An agent serves until it is stopped, and this one came to its end"
	}
	return ""
}

// architecture tells of a program that is another processor's: that of the container, of
// which its runtime says so in small letters, or one that it runs.
func architecture(t *corev1.ContainerStateTerminated) string {
	const remedy = "is for another CPU architecture than its node's: build the image for that one too, or choose nodes by the label kubernetes.io/arch"
	switch {
	case strings.Contains(t.Message, "exec format error"):
		return ". Its program " + remedy
	case strings.Contains(t.Message, "Exec format error"): // the C library's words
		return ". A program that it runs " + remedy + ". Or it is a script without a first line that begins with #!"
	}
	return ""
}

// lastWords is the end of what a container wrote, or of what its runtime said.
func lastWords(t *corev1.ContainerStateTerminated) string {
	if words := lifecycle.LastWords(t.Message); words != "" {
		return ". Its last words: " + words
	}
	return ""
}
