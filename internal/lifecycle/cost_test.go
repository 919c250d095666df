package lifecycle_test

import (
	"math"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
