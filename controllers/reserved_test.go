package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

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
