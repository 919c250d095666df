package main

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const mergePatch = types.MergePatchType

// operator is the name of its deployment and of its lease.
var operator = client.ObjectKey{Namespace: "agentsession-system", Name: "agentsession-operator"}

// awaitOperator waits until the operator that was applied last is the leader.
func (c *cluster) awaitOperator(ctx context.Context) error {
	return eventually(ctx, func() (string, error) {
		var deployment appsv1.Deployment
		if err := c.api.Get(ctx, operator, &deployment); err != nil {
			return "", err
		}
		var pods corev1.PodList
		if err := c.api.List(ctx, &pods, client.InNamespace(operator.Namespace),
			client.MatchingLabels(deployment.Spec.Selector.MatchLabels)); err != nil {
			return "", err
		}
		if waitingFor := rollout(&deployment, pods.Items); waitingFor != "" {
			return waitingFor, nil
		}
		var lease coordinationv1.Lease
		if err := c.api.Get(ctx, operator, &lease); err != nil {
			return "", err
		}
		return leadership(&lease, pods.Items), nil
	})
}

// rollout says what a deployment waits for; empty if it is done.
func rollout(deployment *appsv1.Deployment, pods []corev1.Pod) string {
	status := &deployment.Status
	wanted := *deployment.Spec.Replicas
	if status.ObservedGeneration == deployment.Generation && status.UpdatedReplicas == wanted &&
		status.AvailableReplicas == wanted && status.Replicas == wanted && len(pods) == int(wanted) {
		return ""
	}
	for i := range pods {
		if waitingFor := podWaits(&pods[i]); waitingFor != "" {
			return waitingFor
		}
	}
	for _, c := range status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return "the deployment has no pod: " + c.Message
		}
	}
	return fmt.Sprintf("%d of %d operators are available, %d pods are there", status.AvailableReplicas, wanted, len(pods))
}

// podWaits says what keeps a pod from running; empty if nothing does.
func podWaits(pod *corev1.Pod) string {
	for i := range pod.Status.ContainerStatuses {
		if w := pod.Status.ContainerStatuses[i].State.Waiting; w != nil {
			return fmt.Sprintf("the pod %s waits: %s %s", pod.Name, w.Reason, w.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return fmt.Sprintf("the pod %s is not scheduled: %s", pod.Name, c.Message)
		}
	}
	return ""
}

// leadership says who is missing; empty if one of the pods leads.
func leadership(lease *coordinationv1.Lease, pods []corev1.Pod) string {
	holder := ""
	if lease.Spec.HolderIdentity != nil {
		holder = *lease.Spec.HolderIdentity
	}
	for i := range pods {
		if strings.HasPrefix(holder, pods[i].Name+"_") {
			return ""
		}
	}
	return "no operator leads; the lease is held by " + orDash(holder)
}
