package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// sized is a pod that has a node, and requests something.
func sized(uid types.UID, cpu string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: uid},
		Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "agent", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("1Gi")},
		}}}},
	}
}

func TestReservedOf(t *testing.T) {
	now := time.Unix(1795423194, 0)
	status := func(state v1alpha1.SessionState, uid types.UID, reserved *v1alpha1.Reserved) *v1alpha1.AgentSessionStatus {
		s := &v1alpha1.AgentSessionStatus{State: state, Reserved: reserved}
		if uid != "" {
			s.Pod = &v1alpha1.PodStatus{UID: uid}
		}
		return s
	}
	spent := func(cpu, memory int64) v1alpha1.ResourceTime {
		return v1alpha1.ResourceTime{MilliCPUSeconds: cpu, MemoryMiBSeconds: memory}
	}
	half := func() *v1alpha1.Reserved { return &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024} }
	for name, row := range map[string]struct {
		old, next *v1alpha1.AgentSessionStatus
		counted   time.Duration // ago; 0: it is not known
		pod       *corev1.Pod
		want      *v1alpha1.Reserved
	}{
		"a pod that was just made": {
			old: status("", "", nil), next: status(v1alpha1.StateStarting, "a", nil), pod: sized("a", "500m"), want: half(),
		},
		"one that requests nothing is worth no word": {
			old: status("", "", nil), next: status(v1alpha1.StateStarting, "a", nil), pod: &corev1.Pod{}, want: nil,
		},
		"one that could not be made before": {
			old: status(v1alpha1.StateStarting, "", nil), next: status(v1alpha1.StateStarting, "a", nil), pod: sized("a", "500m"), want: half(),
		},
		"a start that is over": {
			old: status(v1alpha1.StateStarting, "a", half()), next: status(v1alpha1.StateIdle, "a", nil), counted: 6 * time.Second, pod: sized("a", "500m"),
			want: &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024, Other: spent(3000, 6144)},
		},
		"a start that never had a node": {
			old: status(v1alpha1.StateStarting, "a", half()), next: status(v1alpha1.StateStopping, "a", nil), pod: sized("a", "500m"), want: half(),
		},
		"nothing new": {
			old: status(v1alpha1.StateIdle, "a", half()), next: status(v1alpha1.StateIdle, "a", nil), counted: time.Hour, pod: sized("a", "2"), want: half(),
		},
		"a pod that was resized counts anew from a change on": {
			old: status(v1alpha1.StateIdle, "a", half()), next: status(v1alpha1.StateActive, "a", nil), counted: 10 * time.Second, pod: sized("a", "2"),
			want: &v1alpha1.Reserved{MilliCPU: 2000, MemoryMiB: 1024, Idle: spent(5000, 10240)},
		},
		"the end of a pod": {
			old: status(v1alpha1.StateStopping, "a", half()), next: status(v1alpha1.StateStopped, "", nil), counted: 2 * time.Second,
			want: &v1alpha1.Reserved{Other: spent(1000, 2048)},
		},
		"a pod that somebody else took away": {
			old: status(v1alpha1.StateActive, "a", half()), next: status(v1alpha1.StateStopped, "", nil), counted: 2 * time.Second,
			want: &v1alpha1.Reserved{Active: spent(1000, 2048)},
		},
		"the next activation goes on": {
			old:  status(v1alpha1.StateStopped, "", &v1alpha1.Reserved{Active: spent(1, 2), Idle: spent(3, 4), Other: spent(5, 6)}),
			next: status(v1alpha1.StateStarting, "b", nil), pod: sized("b", "500m"),
			want: &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024, Active: spent(1, 2), Idle: spent(3, 4), Other: spent(5, 6)},
		},
		"and so does one beside a pod that is ending": {
			old: status(v1alpha1.StateStopping, "a", half()), next: status(v1alpha1.StateStarting, "b", nil), counted: 2 * time.Second, pod: sized("b", "1"),
			want: &v1alpha1.Reserved{MilliCPU: 1000, MemoryMiB: 1024, Other: spent(1000, 2048)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := outcome{now: now.Add(300 * time.Millisecond), pod: row.pod}
			if row.counted > 0 {
				o.counted = now.Add(-row.counted)
			}
			NewWithT(t).Expect(reservedOf(row.old, row.next, o)).To(Equal(row.want))
		})
	}
}

// A pod reserves something from when it has a node.
func TestCountedUntil(t *testing.T) {
	made, bound, changed := time.Unix(1795423194, 0), time.Unix(1795423200, 0), time.Unix(1795423300, 0)
	scheduled := sized("a", "1")
	scheduled.CreationTimestamp = metav1.NewTime(made)
	scheduled.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(bound)}}
	placed := sized("a", "1")
	placed.CreationTimestamp = metav1.NewTime(made)
	waiting := scheduled.DeepCopy()
	waiting.Spec.NodeName, waiting.Status.Conditions[0].Status = "", corev1.ConditionFalse
	starting := &v1alpha1.AgentSessionStatus{State: v1alpha1.StateStarting, Pod: &v1alpha1.PodStatus{UID: "a"}}
	for name, row := range map[string]struct {
		status *v1alpha1.AgentSessionStatus
		pod    *corev1.Pod
		want   time.Time
	}{
		"since its scheduling":           {starting, scheduled, bound},
		"made with a node":               {starting, placed, made},
		"without a node":                 {starting, waiting, time.Time{}},
		"another pod":                    {starting, sized("b", "1"), time.Time{}},
		"a pod that is gone":             {starting, nil, time.Time{}},
		"a pod that nobody reported yet": {&v1alpha1.AgentSessionStatus{}, scheduled, time.Time{}},
		"since the last change":          {&v1alpha1.AgentSessionStatus{Usage: &v1alpha1.Usage{CountedAt: metav1.NewTime(changed)}}, scheduled, changed},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(countedUntil(row.status, row.pod)).To(BeTemporally("==", row.want))
		})
	}
}

func TestReservationsAreCounted(t *testing.T) {
	g := NewWithT(t)
	r := newReservations(2)
	of := func(namespace, runtime string) *v1alpha1.AgentSession {
		s := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
		if runtime != "" {
			s.Spec.RuntimeRef = &v1alpha1.RuntimeRef{Name: runtime}
		}
		return s
	}
	cpu := func(namespace, runtime, state string) float64 {
		return testutil.ToFloat64(r.cpu.WithLabelValues(namespace, runtime, state))
	}
	first := &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 2}
	r.count(of("a", "echo"), nil, nil)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(BeZero(), "a session that reserves nothing")
	r.count(of("a", "echo"), nil, first)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(3), "series of a session that starts, at 0")

	idled := lifecycle.Spend(*first, v1alpha1.StateIdle, 3*time.Second)
	r.count(of("a", "echo"), first, &idled)
	worked := lifecycle.Spend(lifecycle.Spend(idled, v1alpha1.StateActive, time.Second), v1alpha1.StateStopping, 5*time.Second)
	r.count(of("a", "echo"), &idled, &worked)
	g.Expect(cpu("a", "echo", "Idle")).To(Equal(1.5))
	g.Expect(cpu("a", "echo", "Active")).To(Equal(0.5))
	g.Expect(cpu("a", "echo", "Other")).To(Equal(2.5))
	g.Expect(testutil.ToFloat64(r.memory.WithLabelValues("a", "echo", "Idle"))).To(BeEquivalentTo(3 * 2 << 20))
	r.count(of("a", "echo"), &worked, first)
	g.Expect(cpu("a", "echo", "Idle")).To(Equal(1.5), "a status that somebody set back")

	lives := of("a", "")
	lives.Status.State, lives.Status.Reserved = v1alpha1.StateActive, first
	r.know(lives)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(6), "one that lived before this process did")
	g.Expect(cpu("a", "", "Active")).To(BeZero())
	other := of("c", "")
	other.Status = lives.Status
	r.know(other)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(6), "there is no place left for it yet")

	r.count(of("a", ""), nil, first)
	r.count(of("a", "echo"), first, first.DeepCopy())
	r.count(of("b", "echo"), nil, first)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(6), "no more than two consumers")
	g.Expect(testutil.CollectAndCount(r.memory)).To(Equal(6))
	g.Expect(cpu("a", "echo", "Idle")).To(Equal(1.5), "the one that was not counted for the longest time is forgotten")
}
