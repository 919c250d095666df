package controllers

import (
	"cmp"
	"fmt"
	"net/netip"
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
	compute := lifecycle.Compute{
		Phase: lifecycle.ComputePresent, CreatedAt: pod.CreationTimestamp.Time, StartedAt: startedAt(pod), SilentSince: silentSince(pod),
	}
	compute.UnacknowledgedSince, compute.Where = unacknowledged(pod)
	if addr, err := netip.ParseAddr(pod.Status.PodIP); err == nil {
		compute.Loopback = addr.Unmap().IsLoopback()
	}
	disruption := condition(pod, corev1.DisruptionTarget)
	failure, exit := failureOf(pod), exitOf(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		compute.Phase = lifecycle.ComputeLeaving
		compute.Detail = "Somebody else deletes the pod"
		compute.GoneBy, compute.Where, compute.Volume = pod.DeletionTimestamp.Time, podAndNode(pod), exclusiveVolume(pod)
	case pod.Status.Phase == corev1.PodFailed && (disruption != nil || lostReasons[pod.Status.Reason] || failure == "" && shutReasons[pod.Status.Reason]):
		compute.Phase = lifecycle.ComputeLost
		compute.Detail = "The pod was ended by the cluster: " + joinReason(pod.Status.Reason, pod.Status.Message)
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
		compute.Detail += " (" + joinReason(disruption.Reason, disruption.Message) + ")"
	}
	return compute
}

// podAndNode names a pod and its node for people.
func podAndNode(pod *corev1.Pod) string {
	return fmt.Sprintf("The pod %s (node %s)", pod.Name, cmp.Or(pod.Spec.NodeName, "none yet"))
}

// exclusiveVolume says which volume of a pod keeps another from running beside it; empty if
// none does.
func exclusiveVolume(pod *corev1.Pod) string {
	volume := ownVolume(pod)
	if volume == "" {
		return ""
	}
	return fmt.Sprintf("%s has not gone yet, and no other may use its volume %q beside it", podAndNode(pod), volume)
}

// ownVolume names a volume that two pods made of one template would share, and might
// not be able to; empty if there is none.
func ownVolume(pod *corev1.Pod) string {
	for i := range pod.Spec.Volumes {
		source := pod.Spec.Volumes[i].VolumeSource
		source.EmptyDir, source.Ephemeral, source.CSI, source.Image, source.GitRepo = nil, nil, nil, nil, nil // each pod has its own
		source.ConfigMap, source.Secret, source.DownwardAPI, source.Projected = nil, nil, nil, nil            // nobody writes
		if source != (corev1.VolumeSource{}) {
			return pod.Spec.Volumes[i].Name
		}
	}
	return ""
}

// silentSince is since when the API server has heard nothing of a pod's node; zero if
// it hears of it. Kubernetes' node controller says so in the condition Ready alone,
// which the kubelet changes with ContainersReady, but for readiness gates.
func silentSince(pod *corev1.Pod) time.Time {
	ready, containers := condition(pod, corev1.PodReady), condition(pod, corev1.ContainersReady)
	if ready == nil || ready.Status != corev1.ConditionFalse || ready.Reason == "ReadinessGatesNotReady" ||
		containers == nil || containers.Status != corev1.ConditionTrue {
		return time.Time{}
	}
	return ready.LastTransitionTime.Time
}

// unacknowledged is since when a pod has had a node whose kubelet has said nothing of it, and
// where; zero if it has none, or the kubelet has: its first report has startTime.
func unacknowledged(pod *corev1.Pod) (since time.Time, where string) {
	assigned := condition(pod, corev1.PodScheduled)
	if assigned == nil || assigned.Status != corev1.ConditionTrue || pod.Status.StartTime != nil || len(pod.Status.ContainerStatuses) > 0 ||
		pod.Status.Phase != corev1.PodPending && pod.Status.Phase != "" {
		return time.Time{}, ""
	}
	return assigned.LastTransitionTime.Time, podAndNode(pod)
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

// joinReason joins a reason and a message that others wrote.
func joinReason(reason, message string) string {
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
