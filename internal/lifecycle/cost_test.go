package lifecycle_test

import (
	"math"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func requesting(cpu, memory string) corev1.Container {
	requests := corev1.ResourceList{}
	for name, quantity := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
		if quantity != "" {
			requests[name] = resource.MustParse(quantity)
		}
	}
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: requests}}
}

func TestReserve(t *testing.T) {
	sidecar := requesting("100m", "64Mi")
	sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	pod := func(containers ...corev1.Container) corev1.PodSpec { return corev1.PodSpec{Containers: containers} }
	for name, row := range map[string]struct {
		spec        corev1.PodSpec
		cpu, memory int64
	}{
		"what its agent requests":      {pod(requesting("500m", "1Gi")), 500, 1024},
		"nothing":                      {pod(requesting("", "")), 0, 0},
		"all of its containers":        {pod(requesting("500m", "1Gi"), requesting("1", "512Mi")), 1500, 1536},
		"parts of a MiB are a MiB":     {pod(requesting("1m", "1")), 1, 1},
		"a large init container":       {corev1.PodSpec{InitContainers: []corev1.Container{requesting("2", "256Mi")}, Containers: []corev1.Container{requesting("500m", "1Gi")}}, 2000, 1024},
		"a sidecar":                    {corev1.PodSpec{InitContainers: []corev1.Container{sidecar}, Containers: []corev1.Container{requesting("500m", "1Gi")}}, 600, 1088},
		"a RuntimeClass":               {corev1.PodSpec{Overhead: requesting("250m", "128Mi").Resources.Requests, Containers: []corev1.Container{requesting("500m", "1Gi")}}, 750, 1152},
		"what the whole pod says":      {corev1.PodSpec{Resources: &corev1.ResourceRequirements{Requests: requesting("3", "4Gi").Resources.Requests}, Containers: []corev1.Container{requesting("500m", "1Gi")}}, 3000, 4096},
		"less than nothing, if it may": {pod(requesting("-1", "-1Gi")), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			was := v1alpha1.Reserved{MilliCPU: 7, MemoryMiB: 7, Idle: v1alpha1.ResourceTime{MilliCPUSeconds: 3}}
			want := v1alpha1.Reserved{MilliCPU: row.cpu, MemoryMiB: row.memory, Idle: was.Idle}
			NewWithT(t).Expect(lifecycle.Reserve(was, &corev1.Pod{Spec: row.spec})).To(Equal(want))
		})
	}
	NewWithT(t).Expect(lifecycle.Reserve(v1alpha1.Reserved{MilliCPU: 7, MemoryMiB: 7}, nil)).To(Equal(v1alpha1.Reserved{}))
	// What no node has is spent by nobody, and must not be more than the API takes.
	for _, odd := range []string{"1e15", "9e18", "1e99"} {
		got := lifecycle.Reserve(v1alpha1.Reserved{}, &corev1.Pod{Spec: pod(requesting(odd, odd), requesting(odd, odd))})
		for _, n := range []int64{got.MilliCPU, got.MemoryMiB} {
			NewWithT(t).Expect(n).To(And(BeNumerically(">=", 0), BeNumerically("<", 1<<53)), odd)
		}
	}
}

func TestSpend(t *testing.T) {
	const most = 1<<53 - 1
	half := v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024}
	used := func(cpu, memory int64) v1alpha1.ResourceTime {
		return v1alpha1.ResourceTime{MilliCPUSeconds: cpu, MemoryMiBSeconds: memory}
	}
	for name, row := range map[string]struct {
		from                v1alpha1.Reserved
		state               v1alpha1.SessionState
		spent               time.Duration
		active, idle, other v1alpha1.ResourceTime
	}{
		"active":                           {from: half, state: v1alpha1.StateActive, spent: 10 * time.Second, active: used(5000, 10240)},
		"idle":                             {from: half, state: v1alpha1.StateIdle, spent: 10 * time.Second, idle: used(5000, 10240)},
		"starting":                         {from: half, state: v1alpha1.StateStarting, spent: 10 * time.Second, other: used(5000, 10240)},
		"stopping":                         {from: half, state: v1alpha1.StateStopping, spent: 10 * time.Second, other: used(5000, 10240)},
		"stopped costs nothing":            {from: half, state: v1alpha1.StateStopped, spent: 10 * time.Second},
		"whole seconds":                    {from: half, state: v1alpha1.StateIdle, spent: 1999 * time.Millisecond, idle: used(500, 1024)},
		"a clock that was set back":        {from: half, state: v1alpha1.StateIdle, spent: -time.Hour},
		"it adds up":                       {from: v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1, Active: used(7, 8)}, state: v1alpha1.StateActive, spent: time.Second, active: used(507, 9)},
		"a product that overflows":         {from: v1alpha1.Reserved{MilliCPU: most, MemoryMiB: most}, state: v1alpha1.StateActive, spent: 8 * time.Hour, active: used(most, most)},
		"a sum that the API does not take": {from: v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1, Idle: used(most-1, most)}, state: v1alpha1.StateIdle, spent: time.Second, idle: used(most, most)},
		"what a stranger wrote":            {from: v1alpha1.Reserved{MilliCPU: -5, MemoryMiB: math.MinInt64, Idle: used(-3, math.MaxInt64)}, state: v1alpha1.StateIdle, spent: time.Second, idle: used(0, most)},
	} {
		t.Run(name, func(t *testing.T) {
			got := lifecycle.Spend(row.from, row.state, row.spent)
			NewWithT(t).Expect(got).To(Equal(v1alpha1.Reserved{
				MilliCPU: row.from.MilliCPU, MemoryMiB: row.from.MemoryMiB, Active: row.active, Idle: row.idle, Other: row.other,
			}))
		})
	}
}

func TestReservedBy(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	status := v1alpha1.AgentSessionStatus{State: v1alpha1.StateIdle}
	g.Expect(lifecycle.ReservedBy(now, &status)).To(BeZero())

	status.Reserved = &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024, Active: v1alpha1.ResourceTime{MilliCPUSeconds: 1000, MemoryMiBSeconds: 2048}}
	g.Expect(lifecycle.ReservedBy(now, &status)).To(Equal(*status.Reserved), "it is not known since when it has been in its state")
	status.Usage = &v1alpha1.Usage{CountedAt: metav1.NewTime(now.Add(-4 * time.Second))}
	got := lifecycle.ReservedBy(now, &status)
	g.Expect(got.Active).To(Equal(status.Reserved.Active))
	g.Expect(got.Idle).To(Equal(v1alpha1.ResourceTime{MilliCPUSeconds: 2000, MemoryMiBSeconds: 4096}))
	g.Expect(lifecycle.TotalOf(got)).To(Equal(v1alpha1.ResourceTime{MilliCPUSeconds: 3000, MemoryMiBSeconds: 6144}))
	g.Expect(status.Reserved.Idle).To(BeZero(), "what status says is left")
}

func TestSumOf(t *testing.T) {
	g := NewWithT(t)
	one := v1alpha1.Reserved{MilliCPU: 1, MemoryMiB: 2, Active: v1alpha1.ResourceTime{MilliCPUSeconds: 3, MemoryMiBSeconds: 4}, Idle: v1alpha1.ResourceTime{MilliCPUSeconds: 5}, Other: v1alpha1.ResourceTime{MemoryMiBSeconds: 6}}
	g.Expect(lifecycle.SumOf(one, one)).To(Equal(v1alpha1.Reserved{
		MilliCPU: 2, MemoryMiB: 4, Active: v1alpha1.ResourceTime{MilliCPUSeconds: 6, MemoryMiBSeconds: 8}, Idle: v1alpha1.ResourceTime{MilliCPUSeconds: 10}, Other: v1alpha1.ResourceTime{MemoryMiBSeconds: 12},
	}))
	// Nobody spends that, and somebody may have written it.
	odd := v1alpha1.Reserved{MilliCPU: math.MaxInt64, MemoryMiB: -1, Active: v1alpha1.ResourceTime{MilliCPUSeconds: math.MaxInt64, MemoryMiBSeconds: math.MinInt64}}
	g.Expect(lifecycle.SumOf(odd, one)).To(And(
		HaveField("MilliCPU", BeEquivalentTo(1<<53-1)), HaveField("MemoryMiB", BeEquivalentTo(2)), HaveField("Active.MilliCPUSeconds", BeEquivalentTo(1<<53-1)), HaveField("Active.MemoryMiBSeconds", BeEquivalentTo(4))))
}

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
			var counted time.Time
			if row.counted > 0 {
				counted = now.Add(-row.counted)
			}
			got := lifecycle.ReservedOf(row.old, row.next, row.pod, counted, now.Add(300*time.Millisecond))
			NewWithT(t).Expect(got).To(Equal(row.want))
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
			NewWithT(t).Expect(lifecycle.CountedUntil(row.status, row.pod)).To(BeTemporally("==", row.want))
		})
	}
}

// A session that is deleted while it has a compute has reserved it until then.
func TestFinalReserved(t *testing.T) {
	now := time.Unix(1795423194, 0)
	half := v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024}
	spent := v1alpha1.ResourceTime{MilliCPUSeconds: 5000, MemoryMiBSeconds: 10240}
	for name, row := range map[string]struct {
		state    v1alpha1.SessionState
		reserved *v1alpha1.Reserved
		gone     bool
		counted  time.Time
		want     *v1alpha1.Reserved
	}{
		"active":                     {v1alpha1.StateActive, &half, false, now.Add(-10 * time.Second), &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024, Active: spent}},
		"idle":                       {v1alpha1.StateIdle, &half, false, now.Add(-10 * time.Second), &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024, Idle: spent}},
		"starting":                   {v1alpha1.StateStarting, &half, false, now.Add(-10 * time.Second), &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024, Other: spent}},
		"stopping":                   {v1alpha1.StateStopping, &half, false, now.Add(-10 * time.Second), &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024, Other: spent}},
		"stopped":                    {v1alpha1.StateStopped, &half, true, now.Add(-10 * time.Second), &half},
		"it is not known since when": {v1alpha1.StateStarting, &half, false, time.Time{}, &half},
		"counted in the future":      {v1alpha1.StateIdle, &half, false, now.Add(time.Second), &half},
		"requests nothing":           {v1alpha1.StateIdle, nil, false, now.Add(-10 * time.Second), nil},
	} {
		t.Run(name, func(t *testing.T) {
			status := &v1alpha1.AgentSessionStatus{State: row.state, Reserved: row.reserved}
			if !row.gone {
				status.Pod = &v1alpha1.PodStatus{UID: "a"}
			}
			NewWithT(t).Expect(lifecycle.FinalReserved(status, row.counted, now)).To(Equal(row.want))
		})
	}
}
