package controllers

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// How much the metrics of what sessions reserve tell apart. Tenants make runtimes up, and each
// is six series: more than maxRuntimes of one namespace are counted together, as the runtime
// otherRuntimes. Of more than maxNamespaces the one that was not counted for the longest time
// is forgotten for one more; what is counted of it next is the first sample of new series, of
// which a scraper sees no increase.
const (
	maxNamespaces = 1000
	maxRuntimes   = 20
	otherRuntimes = "other"
)

// reservations are the metrics of what sessions have reserved.
type reservations struct {
	cpu, memory          *prometheus.CounterVec
	namespaces, runtimes int // at most

	mu     sync.Mutex
	series *lru.Cache // of namespaces, to a set of the runtimes that have series of their own
}

func newReservations(namespaces, runtimes int) *reservations {
	labels := []string{"namespace", "runtime", "state"}
	r := &reservations{
		namespaces: namespaces, runtimes: runtimes,
		cpu: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentsession_reserved_cpu_seconds_total",
			Help: "CPU that computes have reserved, by seconds, counted when the state of a session changes. State is Active, Idle, or Other while they start and stop.",
		}, labels),
		memory: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentsession_reserved_memory_byte_seconds_total",
			Help: "Memory that computes have reserved, in bytes by seconds, counted when the state of a session changes. State is Active, Idle, or Other while they start and stop.",
		}, labels),
	}
	r.series = lru.NewWithEvictionFunc(namespaces, func(key lru.Key, _ any) {
		of := prometheus.Labels{"namespace": key.(string)} //nolint:forcetypeassert // nothing else is put there
		r.cpu.DeletePartialMatch(of)
		r.memory.DeletePartialMatch(of)
	})
	return r
}

var reserved = newReservations(maxNamespaces, maxRuntimes)

func init() {
	metrics.Registry.MustRegister(reserved.cpu, reserved.memory)
}

// runtimeLabel is the runtime as which a session's is counted: none for sessions without one.
// A namespace's first runtimes have a place of their own.
func (r *reservations) runtimeLabel(session *v1alpha1.AgentSession) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var own map[string]bool
	if known, ok := r.series.Get(session.Namespace); ok {
		own = known.(map[string]bool) //nolint:forcetypeassert // nothing else is put there
	} else {
		own = map[string]bool{}
		r.series.Add(session.Namespace, own)
	}
	ref := session.Spec.RuntimeRef
	switch {
	case ref == nil:
		return ""
	case !own[ref.Name] && len(own) == r.runtimes:
		return otherRuntimes
	}
	own[ref.Name] = true
	return ref.Name
}

// ensureSeries has the series of a session that lives be there, at 0, before something is counted: a
// process that has just begun to lead would else begin with all that a state has taken, which a
// scraper takes for no increase. It takes no place from namespaces that were counted.
func (r *reservations) ensureSeries(session *v1alpha1.AgentSession) {
	if session.Status.Reserved == nil || !lifecycle.Living(session.Status.State) {
		return
	}
	if _, known := r.series.Get(session.Namespace); known || r.series.Len() < r.namespaces {
		r.count(session, nil, &v1alpha1.Reserved{})
	}
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
	runtime := r.runtimeLabel(session)
	for _, of := range []struct {
		state         string
		before, after v1alpha1.ResourceTime
	}{
		{string(v1alpha1.StateActive), before.Active, after.Active},
		{string(v1alpha1.StateIdle), before.Idle, after.Idle},
		{"Other", before.Other, after.Other},
	} {
		r.cpu.WithLabelValues(session.Namespace, runtime, of.state).Add(float64(max(of.after.MilliCPUSeconds-of.before.MilliCPUSeconds, 0)) / 1000)
		r.memory.WithLabelValues(session.Namespace, runtime, of.state).Add(float64(max(of.after.MemoryMiBSeconds-of.before.MemoryMiBSeconds, 0)) * (1 << 20))
	}
}

// deletions has a session that the cache does not show any more looked at, with how it was.
func (r *AgentSessionReconciler) deletions() handler.Funcs {
	return handler.Funcs{DeleteFunc: func(_ context.Context, e crevent.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		if session, ok := e.Object.(*v1alpha1.AgentSession); ok {
			r.moves.depart(session)
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(session)})
		}
	}}
}

// finishDeleted counts what a session that was deleted has reserved since its last report, and
// makes the span of its compute: no report comes after it.
func (r *AgentSessionReconciler) finishDeleted(ctx context.Context, session *v1alpha1.AgentSession) {
	if session.Status.Pod == nil {
		return
	}
	key, pod := client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}, &corev1.Pod{}
	if err := r.Client.Get(ctx, key, pod, client.DisableReadYourWritesConsistency); err != nil || pod.UID != session.Status.Pod.UID { // it went first
		pod = nil
	}
	last, now := &session.Status, r.Clock.Now()
	until := r.Clock.Past(lifecycle.CountedUntil(last, pod))
	reserved.count(session, last.Reserved, lifecycle.FinalReserved(last, until, now))

	ended := session.DeepCopy()
	ended.Status.LastTermination = &v1alpha1.Termination{Activation: last.Activation, Reason: v1alpha1.StopRequested}
	ended.Status.Usage = counted(last, until, now)
	r.traceLife(ended, last, outcome{pod: pod, now: now}) //nolint:contextcheck // it begins a trace of its own
}
