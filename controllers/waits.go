package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// waitReasons are the kubelet's reasons of a container that waits for what may never
// come, as reasons of the condition Ready: the kubelet goes to and fro between some
// of them. Those that are not here are what every start goes through.
var waitReasons = map[string]string{
	"ErrImagePull": v1alpha1.ReasonImagePullFailed, "ImagePullBackOff": v1alpha1.ReasonImagePullFailed,
	"ErrImageNeverPull": v1alpha1.ReasonImagePullFailed, "InvalidImageName": v1alpha1.ReasonImagePullFailed,
	"ImageInspectError": v1alpha1.ReasonImagePullFailed, "RegistryUnavailable": v1alpha1.ReasonImagePullFailed,
	"SignatureValidationFailed":  v1alpha1.ReasonImagePullFailed,
	"CreateContainerConfigError": v1alpha1.ReasonContainerConfigError,
	"CreateContainerError":       v1alpha1.ReasonContainerCreateError, "RunContainerError": v1alpha1.ReasonContainerCreateError,
	"PreCreateHookError": v1alpha1.ReasonContainerCreateError, "PreStartHookError": v1alpha1.ReasonContainerCreateError,
	"PostStartHookError": v1alpha1.ReasonContainerCreateError,
	"CrashLoopBackOff":   v1alpha1.ReasonContainerCrashing,
}

// waitOf says what a pod waits for whose agent has not started: the first of its
// init containers and sidecars that has not done its part, then the agent, then
// whatever else is in trouble.
func waitOf(pod *corev1.Pod) lifecycle.Wait {
	agent := agentStatus(pod)
	if agent != nil && agent.State.Running != nil {
		return lifecycle.Wait{}
	}
	if wait := unscheduled(pod); wait.Message != "" {
		return wait
	}
	for i := range pod.Status.InitContainerStatuses {
		if init := &pod.Status.InitContainerStatuses[i]; !done(pod, init) {
			return waitFor(pod, init)
		}
	}
	if agent != nil && waitFor(pod, agent).Reason != "" {
		return waitFor(pod, agent)
	}
	for i := range pod.Status.ContainerStatuses {
		if wait := waitFor(pod, &pod.Status.ContainerStatuses[i]); wait.Reason != "" {
			return wait
		}
	}
	if agent != nil {
		return waitFor(pod, agent)
	}
	return lifecycle.Wait{Message: "its node has not said anything of the pod"}
}

// unscheduled says why a pod has no node; zero if it has one.
func unscheduled(pod *corev1.Pod) lifecycle.Wait {
	switch c := condition(pod, corev1.PodScheduled); {
	case c == nil && pod.Spec.NodeName == "":
		return lifecycle.Wait{Message: "no scheduler has looked at the pod"}
	case c != nil && c.Status == corev1.ConditionFalse:
		return lifecycle.Wait{Reason: v1alpha1.ReasonUnschedulable, Message: "no node takes the pod: " + joinReason(c.Reason, c.Message)}
	}
	return lifecycle.Wait{}
}

// done tells whether an init container, or a sidecar among them, lets the next begin.
func done(pod *corev1.Pod, status *corev1.ContainerStatus) bool {
	if sidecar(pod, status.Name) {
		return status.Started != nil && *status.Started
	}
	return status.State.Terminated != nil && status.State.Terminated.ExitCode == 0
}

// waitFor says what a container waits for that has not done its part.
func waitFor(pod *corev1.Pod, status *corev1.ContainerStatus) lifecycle.Wait {
	who := name(pod, status.Name)
	wait := lifecycle.Wait{Container: status.Name}
	if last := status.LastTerminationState.Terminated; last != nil { // and not by turns: waiting, running, ended
		wait.Reason = v1alpha1.ReasonContainerCrashing
		wait.Message = fmt.Sprintf("%s ends again and again, at last with code %d: %s", who, last.ExitCode, joinReason(last.Reason, "")) + architecture(last) + lastWords(last)
		return wait
	}
	waiting := status.State.Waiting
	if waiting == nil {
		wait.Message = fmt.Sprintf("%s runs, and has not ended or, if it is a sidecar, not passed its startupProbe", who)
		return wait
	}
	said := joinReason(waiting.Reason, waiting.Message)
	switch wait.Reason = waitReasons[waiting.Reason]; wait.Reason {
	case v1alpha1.ReasonImagePullFailed:
		wait.Message = fmt.Sprintf("the image %q of %s cannot be had: %s. Look at its name, and at the pull secrets", lifecycle.Printable(status.Image), who, said)
	case v1alpha1.ReasonContainerConfigError:
		wait.Message = fmt.Sprintf("%s cannot be made as the template wants it: %s. Make what is missing, or take it out of the template", who, said)
	case "":
		wait.Message = fmt.Sprintf("%s waits for images, volumes and the network of the pod (%s): kubectl events --for pod/%s tells what is slow or missing", who, said, pod.Name)
	default:
		wait.Message = fmt.Sprintf("its node cannot start %s: %s", who, said)
	}
	return wait
}

// sidecar tells whether an init container is a sidecar, which runs on.
func sidecar(pod *corev1.Pod, container string) bool {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == container {
			return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		}
	}
	return false
}

// name says for people which container is meant.
func name(pod *corev1.Pod, container string) string {
	for i := range pod.Spec.InitContainers {
		switch {
		case pod.Spec.InitContainers[i].Name != container:
		case sidecar(pod, container):
			return fmt.Sprintf("sidecar %q", container)
		default:
			return fmt.Sprintf("init container %q", container)
		}
	}
	if container == lifecycle.AgentContainer(pod).Name {
		return fmt.Sprintf("the agent (container %q)", container)
	}
	return fmt.Sprintf("container %q", container)
}
