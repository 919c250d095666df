package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// lostReasons are the reasons of a failed pod that say that the cluster, not
// the agent, ended it.
var lostReasons = map[string]bool{
	"Evicted": true, "NodeLost": true, "NodeShutdown": true, "NodeAffinity": true, "Preempting": true,
	"Shutdown": true, "Terminated": true, "UnexpectedAdmissionError": true, "DeadlineExceeded": true,
}

// computeOf reads a pod.
func computeOf(pod *corev1.Pod) lifecycle.Compute {
	if pod == nil {
		return lifecycle.Compute{}
	}
	compute := lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: pod.CreationTimestamp.Time}
	disruption := condition(pod, corev1.DisruptionTarget)
	exit := exitOf(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		compute.Phase = lifecycle.ComputeLeaving
		compute.Detail = "Somebody else deletes the pod"
	case pod.Status.Phase == corev1.PodFailed && (lostReasons[pod.Status.Reason] || disruption != nil):
		compute.Phase = lifecycle.ComputeLost
		compute.Detail = "The pod was ended by the cluster: " + words(pod.Status.Reason, pod.Status.Message)
	case exit != "":
		compute.Phase = lifecycle.ComputeExited
		compute.Detail = exit
	default:
		compute.Detail = waitingFor(pod)
		return compute
	}
	if disruption != nil {
		compute.Detail += " (" + words(disruption.Reason, disruption.Message) + ")"
	}
	return compute
}

// exitOf says how the agent ended; empty while it has not. The agent is the
// first container: others may end when they like.
func exitOf(pod *corev1.Pod) string {
	if status := agentStatus(pod); status != nil && status.State.Terminated != nil {
		t := status.State.Terminated
		return fmt.Sprintf("The agent (container %q) exited with code %d: %s", status.Name, t.ExitCode, words(t.Reason, t.Message))
	}
	if phase := pod.Status.Phase; phase == corev1.PodFailed || phase == corev1.PodSucceeded {
		return fmt.Sprintf("The pod is %s: %s", pod.Status.Phase, words(pod.Status.Reason, pod.Status.Message))
	}
	return ""
}

// waitingFor says what keeps a pod from running; empty if nothing does.
func waitingFor(pod *corev1.Pod) string {
	if c := condition(pod, corev1.PodScheduled); c == nil && pod.Spec.NodeName == "" || c != nil && c.Status == corev1.ConditionFalse {
		if c == nil {
			return "the pod is not scheduled"
		}
		return "the pod is not scheduled: " + words(c.Reason, c.Message)
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if w := statuses[i].State.Waiting; w != nil && w.Reason != "PodInitializing" {
				return fmt.Sprintf("container %q waits: %s", statuses[i].Name, words(w.Reason, w.Message))
			}
		}
	}
	return ""
}

func agentStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == pod.Spec.Containers[0].Name {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type == kind && (kind != corev1.DisruptionTarget || c.Status == corev1.ConditionTrue) {
			return c
		}
	}
	return nil
}

// words joins a reason and a message that others wrote.
func words(reason, message string) string {
	switch {
	case reason == "" && message == "":
		return "no reason given"
	case message == "":
		return lifecycle.Printable(reason)
	case reason == "":
		return lifecycle.Printable(message)
	}
	return lifecycle.Printable(reason + ": " + message)
}
