package lifecycle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// AgentStarted tells whether a session's agent can be asked: it was healthy once, or its
// container started at a moment. Before that, whoever listens on its port is another.
func AgentStarted(status *v1alpha1.AgentSessionStatus, startedAt time.Time) bool {
	return status.HealthyAt != nil || !startedAt.IsZero()
}

// NodeAsks tells whether the process on a node asks the agent of a session, and reports what
// it says: the agent runs there, nobody is taking it away, and no operator says that it asks
// itself. An older operator does not say who asks.
func NodeAsks(node string, status *v1alpha1.AgentSessionStatus, pod *corev1.Pod, startedAt time.Time) bool {
	return status.AskedBy != v1alpha1.AskedByOperator && pod != nil && pod.DeletionTimestamp == nil && pod.Spec.NodeName == node &&
		nodeTold(status, startedAt)
}

// NodeReports tells, to an operator that asks nobody, whether what the agent of a session
// says is its node's to report: neither what was reported nor what comes next is the
// beginning of a compute or its end. startedAt is of its container, zero without a pod.
func NodeReports(status *v1alpha1.AgentSessionStatus, next v1alpha1.SessionState, startedAt time.Time) bool {
	return nodeTold(status, startedAt) && Living(next)
}

func nodeTold(status *v1alpha1.AgentSessionStatus, startedAt time.Time) bool {
	return status.Pod != nil && Living(status.State) && AgentStarted(status, startedAt)
}

// pinged are the reasons of a stop of which only those know who ask the agent.
var pinged = []v1alpha1.StopReason{v1alpha1.StopStartTimeout, v1alpha1.StopUnhealthy, v1alpha1.StopStuckBusy, v1alpha1.StopIdleTimeout}

// RestsOnPings tells whether a stop for a reason is made by who asks the agent. All others
// are made by the operator, which sees that they are due.
func RestsOnPings(reason v1alpha1.StopReason) bool { return slices.Contains(pinged, reason) }
