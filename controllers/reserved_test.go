package controllers

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestReservationsAreCounted(t *testing.T) {
	g := NewWithT(t)
	r := newReservations(2, 20)
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
	r.ensureSeries(lives)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(6), "one that lived before this process did")
	g.Expect(cpu("a", "", "Active")).To(BeZero())
	r.count(of("b", ""), nil, first)
	other := of("c", "")
	other.Status = lives.Status
	r.ensureSeries(other)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(9), "there is no place left for it yet")

	r.count(of("a", "echo"), first, first.DeepCopy())
	r.count(of("c", "echo"), nil, first)
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(9), "no more than two namespaces")
	g.Expect(testutil.CollectAndCount(r.memory)).To(Equal(9))
	g.Expect(cpu("a", "echo", "Idle")).To(Equal(1.5), "the one that was not counted for the longest time is forgotten")
}

// A tenant who makes a thousand runtimes takes nothing from others: what is beyond his share
// is counted together.
func TestRuntimesOfOneTenant(t *testing.T) {
	g := NewWithT(t)
	r := newReservations(3, 20)
	none := &v1alpha1.Reserved{MilliCPU: 1000}
	second := lifecycle.Spend(*none, v1alpha1.StateIdle, time.Second)
	count := func(namespace, runtime string) {
		s := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
		if runtime != "" {
			s.Spec.RuntimeRef = &v1alpha1.RuntimeRef{Name: runtime}
		}
		r.count(s, none, &second)
	}
	cpu := func(namespace, runtime string) float64 {
		return testutil.ToFloat64(r.cpu.WithLabelValues(namespace, runtime, "Idle"))
	}
	count("quiet", "echo")
	for i := range 1000 {
		count("loud", fmt.Sprintf("made-up-%d", i))
	}
	count("loud", "made-up-0")
	count("loud", "made-up-999")
	count("loud", "")
	count("quiet", "echo")
	g.Expect(cpu("quiet", "echo")).To(BeEquivalentTo(2))
	g.Expect(cpu("loud", "made-up-0")).To(BeEquivalentTo(2))
	g.Expect(cpu("loud", "made-up-19")).To(BeEquivalentTo(1))
	g.Expect(cpu("loud", "other")).To(BeEquivalentTo(981))
	g.Expect(cpu("loud", "")).To(BeEquivalentTo(1), "sessions without a runtime keep their place")
	g.Expect(testutil.CollectAndCount(r.cpu)).To(Equal(3 + 3*22))
}

// A session that is deleted and not stopped is counted up to then, by its last status alone.
func TestDeletionsAreCounted(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	r := &AgentSessionReconciler{
		Client: fake.NewClientBuilder().Build(), Clock: apiserver.NewClock(clocktesting.NewFakePassiveClock(now), logr.Discard()),
	}
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "deletions", Name: "a"},
		Status: v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateIdle, Pod: &v1alpha1.PodStatus{Name: "a-1", UID: "one"},
			Reserved: &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1, Idle: v1alpha1.ResourceTime{MilliCPUSeconds: 7000}},
			Usage:    &v1alpha1.Usage{CountedAt: metav1.NewTime(now.Add(-time.Hour))},
		},
	}
	cpu := func(state string) float64 {
		return testutil.ToFloat64(reserved.cpu.WithLabelValues("deletions", "", state))
	}
	r.finishDeleted(t.Context(), session)
	g.Expect(cpu("Idle")).To(BeEquivalentTo(1800))

	// One that starts is counted from when its pod had a node, as the pod tells.
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "deletions", Name: "a-1", UID: "one", CreationTimestamp: metav1.NewTime(now.Add(-time.Minute))}, Spec: corev1.PodSpec{NodeName: "n"}}
	session.Status.State, session.Status.Usage = v1alpha1.StateStarting, nil
	r.finishDeleted(t.Context(), session)
	g.Expect(cpu("Other")).To(BeZero(), "nobody knows")
	r.Client = fake.NewClientBuilder().WithObjects(pod).Build()
	r.finishDeleted(t.Context(), session)
	g.Expect(cpu("Other")).To(BeEquivalentTo(30))

	session.Status.State, session.Status.Pod = v1alpha1.StateStopped, nil
	r.finishDeleted(t.Context(), session)
	g.Expect(cpu("Other")).To(BeEquivalentTo(30), "it was counted when it stopped")
}

// A session that other operators look after from now on is not counted as one that was
// deleted: what it has reserved is in their next report.
func TestHandedOverSessionsAreNotDeletions(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	selector, err := labels.Parse("shard=a")
	g.Expect(err).NotTo(HaveOccurred())
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "moves", Name: "a", UID: "first", Labels: map[string]string{"shard": "b"}},
		Status: v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateIdle, Pod: &v1alpha1.PodStatus{Name: "a-1", UID: "one", CreatedAt: metav1.NewTime(now.Add(-time.Hour))},
			Operator: &v1alpha1.Operator{Selector: "shard=a"},
			Reserved: &v1alpha1.Reserved{MilliCPU: 500}, Usage: &v1alpha1.Usage{CountedAt: metav1.NewTime(now.Add(-time.Hour))},
		},
	}
	key := client.ObjectKeyFromObject(session)
	of := func(there ...client.Object) *AgentSessionReconciler {
		c := fake.NewClientBuilder().WithScheme(scheme()).WithObjects(there...).WithStatusSubresource(there...).
			WithIndex(&corev1.Pod{}, ownerIndex, ownerOf).Build()
		return &AgentSessionReconciler{Client: c, Live: c, Selector: selector, Clock: apiserver.NewClock(clocktesting.NewFakePassiveClock(now), logr.Discard())}
	}
	cpu := func() float64 { return testutil.ToFloat64(reserved.cpu.WithLabelValues("moves", "", "Idle")) }

	r := of(session.DeepCopy())
	r.moves.depart(session)
	g.Expect(r.handleDeparture(t.Context(), key)).To(Succeed())
	g.Expect(cpu()).To(BeZero())
	var moved v1alpha1.AgentSession
	g.Expect(r.Client.Get(t.Context(), key, &moved)).To(Succeed())
	g.Expect(moved.Status.Operator.SeenAt).NotTo(BeNil())

	r = of()
	r.moves.depart(session)
	g.Expect(r.handleDeparture(t.Context(), key)).To(Succeed())
	g.Expect(cpu()).To(BeEquivalentTo(1800), "it was deleted")
	g.Expect(r.moves.departed(key)).To(BeNil())

	successor := session.DeepCopy()
	successor.UID = "second"
	r = of(successor)
	r.moves.depart(session)
	g.Expect(r.handleDeparture(t.Context(), key)).To(Succeed())
	g.Expect(cpu()).To(BeEquivalentTo(3600), "another has its name")
}
