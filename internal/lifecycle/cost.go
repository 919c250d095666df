package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	mebibyte = 1 << 20
	// most is the largest number that the API takes. A sum stays there, or its status could
	// not be written any more.
	most = 1<<53 - 1
)

// RequestsOf is what a pod reserves of its node, as the scheduler counts it: the requests
// of its containers, init containers and sidecars, or its own, and the overhead of its
// RuntimeClass. Where a container has only limits, the API server made requests of them.
func RequestsOf(pod *corev1.Pod) corev1.ResourceList {
	return resource.PodRequests(pod, resource.PodResourcesOptions{})
}

// Reserve has a compute reserve what its pod requests from now on; nothing, without a pod.
func Reserve(r v1alpha1.Reserved, pod *corev1.Pod) v1alpha1.Reserved {
	r.MilliCPU, r.MemoryMiB = 0, 0
	if pod == nil {
		return r
	}
	requests := RequestsOf(pod)
	r.MilliCPU = bounded(requests.Cpu().MilliValue())
	r.MemoryMiB = bounded(requests.Memory().Value()/mebibyte + min(requests.Memory().Value()%mebibyte, 1))
	return r
}

// Spend counts what a compute has reserved in a state for a while.
func Spend(r v1alpha1.Reserved, state v1alpha1.SessionState, spent time.Duration) v1alpha1.Reserved {
	seconds := max(int64(spent/time.Second), 0)
	switch state {
	case v1alpha1.StateActive:
		r.Active = add(r.Active, r, seconds)
	case v1alpha1.StateIdle:
		r.Idle = add(r.Idle, r, seconds)
	case v1alpha1.StateStarting, v1alpha1.StateStopping:
		r.Other = add(r.Other, r, seconds)
	case v1alpha1.StateStopped:
	}
	return r
}

// ReservedOf is what a session has reserved after a report, of which counted is until when it
// was counted before; zero if that is not known. It is counted when the state changes, or the
// compute: a report is written then anyway. A pod that is resized counts by its new size from
// the next change on.
func ReservedOf(old, next *v1alpha1.AgentSessionStatus, pod *corev1.Pod, counted, now time.Time) *v1alpha1.Reserved {
	if old.State == next.State && samePod(old.Pod, next.Pod) {
		return old.Reserved
	}
	var total v1alpha1.Reserved
	if old.Reserved != nil {
		total = *old.Reserved
	}
	if !counted.IsZero() {
		total = Spend(total, old.State, now.Truncate(time.Second).Sub(counted))
	}
	if next.Pod == nil {
		pod = nil
	}
	if total = Reserve(total, pod); total == (v1alpha1.Reserved{}) {
		return nil
	}
	return &total
}

func samePod(a, b *v1alpha1.PodStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.UID == b.UID
}

// FinalReserved is what a session had reserved when it was deleted while it had a compute, of
// which no report tells: counted is until when it was counted before, zero if that is not known.
func FinalReserved(status *v1alpha1.AgentSessionStatus, counted, now time.Time) *v1alpha1.Reserved {
	if status.Reserved == nil || status.Pod == nil || counted.IsZero() {
		return status.Reserved
	}
	total := Spend(*status.Reserved, status.State, now.Sub(counted))
	return &total
}

// CountedUntil is until when what a session has used is counted. Of one that starts it is
// when its pod was given a node, from when on it reserves what it requests; zero while it
// has none, or that is not known.
func CountedUntil(status *v1alpha1.AgentSessionStatus, pod *corev1.Pod) time.Time {
	switch {
	case status.Usage != nil:
		return status.Usage.CountedAt.Time
	case status.Pod == nil || pod == nil || pod.UID != status.Pod.UID || pod.Spec.NodeName == "":
		return time.Time{}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return pod.CreationTimestamp.Time
}

// ReservedBy is what a session has reserved until a moment. What the compute of one that
// starts has reserved is not known before it has started.
func ReservedBy(now time.Time, status *v1alpha1.AgentSessionStatus) v1alpha1.Reserved {
	if status.Reserved == nil {
		return v1alpha1.Reserved{}
	}
	if status.Usage == nil {
		return *status.Reserved
	}
	return Spend(*status.Reserved, status.State, now.Sub(status.Usage.CountedAt.Time))
}

// TotalOf is all that a session has reserved, whatever its state was.
func TotalOf(r v1alpha1.Reserved) v1alpha1.ResourceTime {
	return sum(sum(r.Active, r.Idle), r.Other)
}

// SumOf is what two have reserved, and reserve, together.
func SumOf(a, b v1alpha1.Reserved) v1alpha1.Reserved {
	return v1alpha1.Reserved{
		MilliCPU: bounded(bounded(a.MilliCPU) + bounded(b.MilliCPU)), MemoryMiB: bounded(bounded(a.MemoryMiB) + bounded(b.MemoryMiB)),
		Active: sum(a.Active, b.Active), Idle: sum(a.Idle, b.Idle), Other: sum(a.Other, b.Other),
	}
}

func sum(a, b v1alpha1.ResourceTime) v1alpha1.ResourceTime {
	return v1alpha1.ResourceTime{
		MilliCPUSeconds:  bounded(bounded(a.MilliCPUSeconds) + bounded(b.MilliCPUSeconds)),
		MemoryMiBSeconds: bounded(bounded(a.MemoryMiBSeconds) + bounded(b.MemoryMiBSeconds)),
	}
}

func add(t v1alpha1.ResourceTime, r v1alpha1.Reserved, seconds int64) v1alpha1.ResourceTime {
	t.MilliCPUSeconds = bounded(bounded(t.MilliCPUSeconds) + times(r.MilliCPU, seconds))
	t.MemoryMiBSeconds = bounded(bounded(t.MemoryMiBSeconds) + times(r.MemoryMiB, seconds))
	return t
}

// times is a product of two numbers, none of them negative, that does not overflow.
func times(a, b int64) int64 {
	a = bounded(a)
	if b > 0 && a > most/b {
		return most
	}
	return a * b
}

func bounded(n int64) int64 { return min(max(n, 0), most) }
