package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	crevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// NetworkPolicyName is the NetworkPolicy in each namespace that has or had sessions.
const NetworkPolicyName = "agentsession-agents"

// NetworkPolicyReconciler has the agents of a namespace take connections from the
// operator, the processes of node mode and the gateway only. Whoever is to reach them
// besides gets a NetworkPolicy of his own: policies add up.
type NetworkPolicyReconciler struct {
	Client client.Client
	// Live reads past the cache.
	Live client.Reader
	// Recorder sends events.
	Recorder events.EventRecorder
	// Namespace is that of the operator, of the processes of node mode and of the gateway.
	Namespace string
}

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=create
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,resourceNames=agentsession-agents,verbs=get;list;watch;update

// Reconcile makes the policy of a namespace, or what it was again.
func (r *NetworkPolicyReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var sessions v1alpha1.AgentSessionList
	if err := r.Client.List(ctx, &sessions, client.InNamespace(request.Namespace), client.Limit(1), client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("look for sessions in %s: %w", request.Namespace, err)
	}
	if len(sessions.Items) == 0 {
		return reconcile.Result{}, nil
	}
	policy, wanted := &networkingv1.NetworkPolicy{}, r.spec()
	err := r.Client.Get(ctx, request.NamespacedName, policy)
	switch {
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, r.recordFailure(ctx, request.NamespacedName, r.create(ctx, request.NamespacedName, wanted))
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("get the network policy of %s: %w", request.Namespace, err)
	case equality.Semantic.DeepEqual(policy.Spec, wanted):
		return reconcile.Result{}, nil
	}
	policy.Spec = wanted
	if err := r.Client.Update(ctx, policy); err != nil {
		return reconcile.Result{}, r.recordFailure(ctx, request.NamespacedName, fmt.Errorf("restore the network policy of %s: %w", request.Namespace, err))
	}
	ctrl.LoggerFrom(ctx).Info("Restored the network policy that somebody has changed")
	return reconcile.Result{}, nil
}

// create makes a policy that goes with the operator's own namespace.
func (r *NetworkPolicyReconciler) create(ctx context.Context, key types.NamespacedName, spec networkingv1.NetworkPolicySpec) error {
	var own corev1.Namespace
	if err := r.Live.Get(ctx, types.NamespacedName{Name: r.Namespace}, &own); err != nil {
		return fmt.Errorf("get the operator's own namespace: %w", err)
	}
	err := r.Client.Create(ctx, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name,
			Labels:          map[string]string{"app.kubernetes.io/managed-by": "agentsession"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: own.Name, UID: own.UID}},
		},
		Spec: spec,
	})
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case err != nil:
		return fmt.Errorf("create the network policy of %s: %w", key.Namespace, err)
	}
	ctrl.LoggerFrom(ctx).Info("Agents take connections from the operator and the gateway only")
	return nil
}

func (r *NetworkPolicyReconciler) spec() networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: v1alpha1.LabelSession, Operator: metav1.LabelSelectorOpExists},
		}},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: r.Namespace}},
			PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "agentsession"}},
		}}}},
	}
}

// recordFailure has an Event say that agents stand open, unless what failed says no such thing.
func (r *NetworkPolicyReconciler) recordFailure(ctx context.Context, key types.NamespacedName, err error) error {
	if err == nil || ctx.Err() != nil || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return err
	}
	r.Recorder.Eventf(&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}, nil,
		corev1.EventTypeWarning, "NotIsolated", "Isolate",
		"Whoever reaches a pod of this namespace's sessions may call its agent, until what failed is tried again: %s",
		lifecycle.Cut(lifecycle.Printable(err.Error()), maxMessage))
	return err
}

// SetupWithManager registers the controller.
func (r *NetworkPolicyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	namespaceOf := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: NetworkPolicyName}}}
	})
	created := predicate.Funcs{
		UpdateFunc: func(crevent.UpdateEvent) bool { return false },
		DeleteFunc: func(crevent.DeleteEvent) bool { return false },
	}
	watching, err := watched(mgr, "networkpolicy", r)
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("networkpolicy").
		Watches(&v1alpha1.AgentSession{}, namespaceOf, builder.WithPredicates(created)).
		Watches(&networkingv1.NetworkPolicy{}, namespaceOf).
		WithOptions(controller.Options{RateLimiter: newLimiter(errorRetry, errorMost)}).
		Complete(watching)
}
