package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	crevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// unwatchedPeriod is how often a pod is looked at that lost our label or its owner, so
// that no event tells of it.
const unwatchedPeriod = 2 * time.Second

// AgentSessionReconciler keeps each AgentSession's compute and status by the
// rules of package lifecycle.
type AgentSessionReconciler struct {
	// Client reads from the cache and writes; its reads see its own writes.
	Client client.Client
	// Live reads past the cache: for a pod that the cache does not show.
	Live client.Reader
	// Prober asks the agents. Nil: this operator asks nobody, and reports nothing
	// of what agents say; reconcilers with a Node do. It does all the rest.
	Prober *prober.Prober
	// Node, if set, makes this the reconciler of the pods of one node. It asks
	// their agents and reports what they say, and of the three steps of a stop
	// it takes the first (state Stopping) where the stop rests on what an agent
	// said. It creates and deletes nothing: the operator that asks nobody does.
	// The manager must have NodeManagerOptions.
	Node string
	// Recorder sends the events.
	Recorder events.EventRecorder
	// Clock tells the time, to the rules and to the prober. Default: one that begins with
	// the machine's time and hears nothing.
	Clock *apiserver.Clock
	// TimeScale divides every duration of the rules. Default: 1.
	TimeScale int
	// AllowLoopback lets agents on loopback addresses be asked, for tests on
	// an API server without nodes.
	AllowLoopback bool
	// GatewayURL is where callers reach the gateway: agents that speak A2A are told
	// their own URL there. Empty: they are not told.
	GatewayURL string
	// Selector, if set, chooses the sessions that this operator looks after; others look
	// after the rest. The manager must have SelectedManagerOptions. Default: all.
	Selector labels.Selector
	// Leader tells of the operators with another selector, by its text: an operator takes no
	// session from one that leads. Default: no other leads.
	Leader func(ctx context.Context, selector string) lifecycle.Leader
	// Traces makes a span of each life of a compute. Default: none are made.
	Traces trace.TracerProvider
	// LastLeader tells when the previous operator was last known alive; the
	// zero time if nobody knows. Default: nobody knows.
	LastLeader func() time.Time
	// Concurrency is how many sessions are reconciled at once. Default: 16.
	Concurrency int

	reports   reportBudgets // of sessions that start
	retries   retries
	creations creations
	moves     moves
	yields    sync.Once // says that it does
	overlaps  sync.Once // says that selectors do
}

// +kubebuilder:rbac:groups=runtime.agentsession.dev,resources=agentsessions,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=runtime.agentsession.dev,resources=agentsessions/status,verbs=patch
// +kubebuilder:rbac:groups=runtime.agentsession.dev,resources=agentsessions/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;create;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// Reconcile observes a session, decides, does one thing, and reports it:
//
//  1. read the session, the pod that is its compute, and what is left of earlier ones;
//  2. gather the facts and decide;
//  3. create the pod and the claim of its storage, or delete that claim, if that is the
//     verdict;
//  4. write status and send an event, if something changed;
//  5. delete the pod or the session, if that is the verdict, and earlier pods: only
//     after the status that says so was accepted on the version decided on.
func (r *AgentSessionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var session v1alpha1.AgentSession
	if err := r.get(ctx, req.NamespacedName, &session); err != nil {
		if apierrors.IsNotFound(err) {
			r.retries.forget(req)
			err = r.handleDeparture(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	seen, ours := r.takeOver(ctx, &session)
	if !ours {
		r.retries.forget(req)
		return ctrl.Result{RequeueAfter: handoverPeriod}, nil
	}
	found, err := r.podsOf(ctx, &session)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !r.owns(&session, found.compute) {
		r.retries.forget(req)
		return r.stopAsking(&session, found.compute), nil
	}
	own := session.Spec
	started, err := r.govern(ctx, &session, &found) // from here on the spec as it is in force
	if err != nil {
		return ctrl.Result{}, err
	}

	o := r.decide(&session, found, started, seen)
	if r.othersStop(o.verdict) {
		r.retries.forget(req)
		return ctrl.Result{}, nil
	}

	end, free := r.creations.begin(&o)
	if !free {
		return ctrl.Result{RequeueAfter: r.retries.places.When(req)}, nil
	}
	startErr, err := r.prepare(ctx, &session, own, &found, &o)
	end()
	if err != nil {
		return ctrl.Result{}, err
	}
	r.askTasks(ctx, req.NamespacedName, o.pod, o.verdict)
	o.reportedAt = r.reports.lastReport(req.NamespacedName)
	lookAgain, err := r.report(ctx, &session, o)
	if err == nil {
		err = r.remove(ctx, &session, found, o.verdict)
	}
	if found.unwatched {
		lookAgain = earliest(lookAgain, o.now.Add(unwatchedPeriod))
	}
	return r.retries.result(req, r.requeueAt(lookAgain), err, startErr)
}

// decide is what is known of a session, and the verdict on it.
func (r *AgentSessionReconciler) decide(session *v1alpha1.AgentSession, found pods, started *v1alpha1.ActivationRuntime, seen time.Time) outcome {
	o := outcome{pod: found.compute, started: started, claim: found.claim, now: r.Clock.Now(), delegating: r.mode() == delegating, askedBy: r.asker(session), operator: r.operator(session)}
	o.refusal = r.track(session, o.pod, started, seen)
	o.facts = r.observe(session, found, o.now)
	o.noteRefusal()
	o.verdict = lifecycle.Decide(o.now, o.facts)
	return o
}

// relevantEvents are the events of sessions that are looked at. What agents do is nothing to an
// operator that asks nobody, and was written by those who ask them.
func (r *AgentSessionReconciler) relevantEvents() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e crevent.UpdateEvent) bool {
		old, was := e.ObjectOld.(*v1alpha1.AgentSession)
		next, is := e.ObjectNew.(*v1alpha1.AgentSession)
		if r.mode() != delegating || !was || !is || old.ResourceVersion == next.ResourceVersion {
			return true
		}
		status := next.Status
		status.Traffic = old.Status.Traffic
		return old.UID != next.UID || old.Generation != next.Generation || !old.DeletionTimestamp.Equal(next.DeletionTimestamp) ||
			!agentOnly(&old.Status, &status)
	}}
}

// requeueAt has a session looked at again at a moment; the zero time is never.
func (r *AgentSessionReconciler) requeueAt(at time.Time) ctrl.Result {
	if at.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(at.Sub(r.Clock.Now()), time.Nanosecond)}
}

// othersStop tells of a stop that the operator that asks nobody will make: it
// needs no pings to see that it is due.
func (r *AgentSessionReconciler) othersStop(verdict lifecycle.Verdict) bool {
	return r.mode() == onNode && verdict.Action == lifecycle.ActStop && !lifecycle.RestsOnPings(verdict.Stop.Reason)
}

// earliest returns the earlier of two moments; the zero time is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// SetupWithManager starts the reconciler and the prober with the manager.
func (r *AgentSessionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.setDefaults()
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Pod{}, ownerIndex, ownerOf); err != nil {
		return fmt.Errorf("index pods by owner: %w", err)
	}
	of := ctrl.NewControllerManagedBy(mgr).
		Named("agentsession").
		For(&v1alpha1.AgentSession{}, builder.WithPredicates(r.relevantEvents())).
		Owns(&corev1.Pod{}, builder.WithPredicates(r.ofSelected(mgr.GetCache()))).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Concurrency, RateLimiter: newLimiter(errorRetry, errorMost)})
	if r.mode() != onNode {
		if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.AgentSession{}, runtimeIndex, runtimeNameOf); err != nil {
			return fmt.Errorf("index sessions by runtime: %w", err)
		}
		of = of.Watches(&v1alpha1.AgentRuntime{}, handler.EnqueueRequestsFromMapFunc(r.sessionsWaitingFor)).
			Watches(&v1alpha1.AgentSession{}, r.deletions())
	}
	if r.mode() != delegating {
		news := make(pings, 1)
		of = of.WatchesRawSource(news)
		// The manager waits for it at its end, and starts it once it leads.
		if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return news.from(ctx, r.Prober) })); err != nil {
			return fmt.Errorf("add the prober: %w", err)
		}
		if err := mgr.AddHealthzCheck("prober", askingGoesOn(r.Prober)); err != nil {
			return fmt.Errorf("add the health check of the prober: %w", err)
		}
	}
	watching, err := watched(mgr, "agentsession", r)
	if err != nil {
		return err
	}
	return of.Complete(watching)
}

func (r *AgentSessionReconciler) setDefaults() {
	if r.Clock == nil {
		r.Clock = apiserver.NewClock(clock.RealClock{}, logr.Discard())
	}
	if r.TimeScale == 0 {
		r.TimeScale = 1
	}
	if r.LastLeader == nil {
		r.LastLeader = func() time.Time { return time.Time{} }
	}
	if r.Leader == nil {
		r.Leader = func(context.Context, string) lifecycle.Leader { return lifecycle.Leader{} }
	}
	if r.Concurrency == 0 {
		r.Concurrency = 16
	}
	if r.mode() != delegating {
		r.Prober.GoBy(r.Clock.Now)
	}
	r.retries, r.creations = newRetries(), newCreations(r.Concurrency)
}

// pings is the source of the reconcile requests that a prober makes: it hands the
// queue over. The queue merges equal keys and never blocks, so there is no channel
// of requests in between.
type pings chan workqueue.TypedRateLimitingInterface[reconcile.Request]

// Start implements source.Source.
func (p pings) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	p <- queue
	return nil
}

// from runs the prober until ctx ends.
func (p pings) from(ctx context.Context, asks *prober.Prober) error {
	select {
	case queue := <-p:
		return asks.Start(ctx, func(key types.NamespacedName) {
			queue.Add(reconcile.Request{NamespacedName: key})
		})
	case <-ctx.Done():
		return nil
	}
}
