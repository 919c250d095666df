package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Superseded tells whether a pod of a session is none of its computes any more: status
// has gone past it. Activations only grow and each has one pod, so also a status that is
// out of date says it of no pod that is a compute or will be one.
func Superseded(status *v1alpha1.AgentSessionStatus, activation int32, pod *corev1.Pod) bool {
	switch {
	case activation != status.Activation:
		return activation < status.Activation
	case status.Pod != nil:
		return status.Pod.UID != pod.UID
	}
	return status.State == v1alpha1.StateStopped
}

// Terminating tells whether an earlier pod of a session still counts among those that are
// ending: one that is there some time after its grace counts as lost.
func Terminating(now time.Time, pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil || now.Before(pod.DeletionTimestamp.Add(lostAfter))
}

// NodesToAvoid are the nodes of a session's earlier pods that may be dead, which the scheduler
// may not know yet: of each, if the last compute was lost or its agent did not answer, and
// whatever the last stop was, of those that are still there when their grace is over.
func NodesToAvoid(now time.Time, last v1alpha1.StopReason, earlier []*corev1.Pod) (nodes []string) {
	lost := last == v1alpha1.StopUnhealthy || last == v1alpha1.StopComputeLost
	for _, pod := range earlier {
		overdue := pod.DeletionTimestamp != nil && !now.Before(pod.DeletionTimestamp.Time)
		if pod.Spec.NodeName != "" && (lost || overdue) {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	return nodes
}
