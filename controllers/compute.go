package controllers

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// lostReasons are the reasons of a failed pod that say that the cluster, not
// the agent, ended it.
var lostReasons = map[string]bool{
	"Evicted": true, "NodeLost": true, "Preempting": true, "Shutdown": true, "Terminated": true, "DeadlineExceeded": true,
}

// shutReasons say it of a pod whose agent ran. With the same a kubelet refuses one
// that it never ran.
var shutReasons = map[string]bool{"NodeShutdown": true, "NodeAffinity": true, "UnexpectedAdmissionError": true}

// computeOf reads a pod.
func computeOf(pod *corev1.Pod) lifecycle.Compute {
	if pod == nil {
		return lifecycle.Compute{}
	}
	compute := lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: pod.CreationTimestamp.Time, StartedAt: startedAt(pod)}
	disruption := condition(pod, corev1.DisruptionTarget)
	failure, exit := failureOf(pod), exitOf(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		compute.Phase = lifecycle.ComputeLeaving
		compute.Detail = "Somebody else deletes the pod"
	case pod.Status.Phase == corev1.PodFailed && (disruption != nil || lostReasons[pod.Status.Reason] || failure == "" && shutReasons[pod.Status.Reason]):
		compute.Phase = lifecycle.ComputeLost
		compute.Detail = "The pod was ended by the cluster: " + words(pod.Status.Reason, pod.Status.Message)
	case failure != "":
		compute.Phase = lifecycle.ComputeFailed
		compute.Detail = failure
	case exit != "":
		compute.Phase = lifecycle.ComputeExited
		compute.Detail = exit
	default:
		compute.Wait = waitOf(pod)
		return compute
	}
	if disruption != nil {
		compute.Detail += " (" + words(disruption.Reason, disruption.Message) + ")"
	}
	return compute
}

// startedAt is when the agent's container started; zero unless it runs.
func startedAt(pod *corev1.Pod) time.Time {
	if status := agentStatus(pod); status != nil && status.State.Running != nil {
		return status.State.Running.StartedAt.Time
	}
	return time.Time{}
}

func agentStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	name := lifecycle.AgentContainer(pod).Name
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == name {
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
