package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// maxConsumers is of how many pairs of namespace and runtime the metrics tell what they
// have reserved. Tenants make them up, so the one that was not counted for the longest
// time is forgotten for one more. What is counted of it next is the first sample of new series, of
// which a scraper sees no increase.
const maxConsumers = 1000

// consumer is who has reserved something. runtime is empty for sessions without one.
type consumer struct {
	namespace, runtime string
}

// reservations are the metrics of what sessions have reserved.
type reservations struct {
	cpu, memory *prometheus.CounterVec
	most        int        // consumers
	known       *lru.Cache // of them
}

func newReservations(consumers int) *reservations {
	labels := []string{"namespace", "runtime", "state"}
	r := &reservations{
		most: consumers,
		cpu: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentsession_reserved_cpu_seconds_total",
			Help: "CPU that computes have reserved, by seconds, counted when the state of a session changes. State is Active, Idle, or Other while they start and stop.",
		}, labels),
		memory: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentsession_reserved_memory_byte_seconds_total",
			Help: "Memory that computes have reserved, in bytes by seconds, counted when the state of a session changes. State is Active, Idle, or Other while they start and stop.",
		}, labels),
	}
	r.known = lru.NewWithEvictionFunc(consumers, func(key lru.Key, _ any) {
		c := key.(consumer) //nolint:forcetypeassert // nothing else is put there
		of := prometheus.Labels{"namespace": c.namespace, "runtime": c.runtime}
		r.cpu.DeletePartialMatch(of)
		r.memory.DeletePartialMatch(of)
	})
	return r
}

var reserved = newReservations(maxConsumers)

func init() {
	metrics.Registry.MustRegister(reserved.cpu, reserved.memory)
}

// consumerOf is for whom a session reserves.
func consumerOf(session *v1alpha1.AgentSession) consumer {
	c := consumer{namespace: session.Namespace}
	if ref := session.Spec.RuntimeRef; ref != nil {
		c.runtime = ref.Name
	}
	return c
}

// know has the series of a session that lives be there, at 0, before something is counted: a
// process that has just begun to lead would else begin with all that a state has taken, which a
// scraper takes for no increase. It takes no place from those that were counted.
func (r *reservations) know(session *v1alpha1.AgentSession) {
	c := consumerOf(session)
	if _, known := r.known.Get(c); known || session.Status.Reserved == nil || !lifecycle.Living(session.Status.State) || r.known.Len() >= r.most {
		return
	}
	r.count(session, nil, &v1alpha1.Reserved{})
}

// count counts what a session has reserved between two reports. The series are there, at
// 0, from the first report of a start on: what a scraper sees first is no increase.
func (r *reservations) count(session *v1alpha1.AgentSession, before, after *v1alpha1.Reserved) {
	if after == nil || before == after {
		return
	}
	if before == nil {
		before = &v1alpha1.Reserved{}
	}
	c := consumerOf(session)
	r.known.Add(c, nil)
	for _, of := range []struct {
		state         string
		before, after v1alpha1.ResourceTime
	}{
		{string(v1alpha1.StateActive), before.Active, after.Active},
		{string(v1alpha1.StateIdle), before.Idle, after.Idle},
		{"Other", before.Other, after.Other},
	} {
		r.cpu.WithLabelValues(c.namespace, c.runtime, of.state).Add(float64(max(of.after.MilliCPUSeconds-of.before.MilliCPUSeconds, 0)) / 1000)
		r.memory.WithLabelValues(c.namespace, c.runtime, of.state).Add(float64(max(of.after.MemoryMiBSeconds-of.before.MemoryMiBSeconds, 0)) * (1 << 20))
	}
}
