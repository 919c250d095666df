package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// runtimeIndex finds sessions by the name of their runtime.
const runtimeIndex = "spec.runtimeRef.name"

func runtimeNameOf(object client.Object) []string {
	session, ok := object.(*v1alpha1.AgentSession)
	if !ok || session.Spec.RuntimeRef == nil {
		return nil
	}
	return []string{session.Spec.RuntimeRef.Name}
}

// version is one of a runtime.
type version struct {
	number int64
	spec   v1alpha1.AgentRuntimeSpec
	arn    string // of the runtime; empty if it has none yet
}

// revisionName is the name of the ControllerRevision that keeps a version.
func revisionName(runtime string, number int64) string {
	return runtime + "-" + strconv.FormatInt(number, 10)
}

// govern has a session's spec be the one that is in force, and finds the claim of its storage.
func (r *AgentSessionReconciler) govern(ctx context.Context, session *v1alpha1.AgentSession, found *pods) (*v1alpha1.ActivationRuntime, error) {
	started, err := r.startedWith(ctx, session, found.compute)
	if err != nil {
		return nil, err
	}
	session.Spec = lifecycle.Govern(session.Spec, started)
	return started, r.findClaim(ctx, session, found)
}

// startedWith is what the session's compute started with, as its status says.
// Before status says so, the pod says which version it was made of.
func (r *AgentSessionReconciler) startedWith(ctx context.Context, session *v1alpha1.AgentSession, pod *corev1.Pod) (*v1alpha1.ActivationRuntime, error) {
	if session.Spec.RuntimeRef == nil || session.Status.Pod != nil || pod == nil {
		return session.Status.Runtime, nil
	}
	number, _ := strconv.ParseInt(pod.Labels[v1alpha1.LabelVersion], 10, 64) // 0 is no version
	v, err := r.version(ctx, session, number)
	switch {
	case refusalOf(err) != nil:
		v = version{number: number} // it is gone; the defaults are known
	case err != nil:
		return nil, err
	}
	return lifecycle.Capture(&v.spec, v.number), nil
}

// applyVersion gives a session that is to start the version of its runtime that its
// endpoint names. own is the session's spec as it was written.
func (r *AgentSessionReconciler) applyVersion(ctx context.Context, session *v1alpha1.AgentSession, own v1alpha1.AgentSessionSpec) (*v1alpha1.ActivationRuntime, error) {
	v, err := r.version(ctx, session, 0)
	if err != nil {
		return nil, err
	}
	started := lifecycle.Capture(&v.spec, v.number)
	session.Spec = lifecycle.Govern(own, started)
	v.spec.Template.DeepCopyInto(&session.Spec.Template)
	if r.GatewayURL == "" || started.ProtocolConfiguration.ServerProtocol != v1alpha1.ProtocolA2A {
		return started, nil
	}
	if v.arn == "" {
		return nil, fmt.Errorf("tell the agent its URL: the AgentRuntime %s has no ARN yet", own.RuntimeRef.Name)
	}
	agent := &session.Spec.Template.Spec.Containers[0]
	agent.Env = withRuntimeURL(agent.Env, lifecycle.EndpointURL(r.GatewayURL, v.arn, own.RuntimeRef.Qualifier))
	return started, nil
}

// envRuntimeURL is what AWS's SDK has an A2A agent's card name as the agent's URL;
// http://localhost:9000/ without it.
const envRuntimeURL = "AGENTCORE_RUNTIME_URL"

// withRuntimeURL tells an agent its URL, unless its template does.
func withRuntimeURL(given []corev1.EnvVar, url string) []corev1.EnvVar {
	if slices.ContainsFunc(given, func(v corev1.EnvVar) bool { return v.Name == envRuntimeURL }) {
		return given
	}
	return append(given, corev1.EnvVar{Name: envRuntimeURL, Value: url})
}

// version reads one of the session's runtime; number 0 is the one that the
// session starts with now.
func (r *AgentSessionReconciler) version(ctx context.Context, session *v1alpha1.AgentSession, number int64) (version, error) {
	ref := session.Spec.RuntimeRef
	var runtime v1alpha1.AgentRuntime
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: ref.Name}, &runtime)
	switch {
	case apierrors.IsNotFound(err) || err == nil && runtime.DeletionTimestamp != nil:
		return version{}, notThere("There is no AgentRuntime %q in the namespace %q", ref.Name, session.Namespace)
	case err != nil:
		return version{}, fmt.Errorf("get AgentRuntime %s: %w", ref.Name, err)
	}
	if runtime.Unreadable != "" {
		return version{}, unreadable("AgentRuntime", runtime.Name, runtime.Unreadable)
	}
	if number == 0 {
		if number = lifecycle.StartVersion(session, &runtime); number == 0 {
			return version{}, notThere("%s", lifecycle.NoStartVersion(session, &runtime))
		}
	}
	if number == runtime.Generation && apiserver.Lacks(&runtime.Spec.Template) {
		var whole v1alpha1.AgentRuntime
		if err := readWhole(ctx, r.Live, &runtime, &whole); err != nil {
			return version{}, err
		}
		runtime = whole
	}
	if number == runtime.Generation {
		return version{number, runtime.Spec, runtime.Status.AgentRuntimeArn}, nil
	}
	return r.recorded(ctx, &runtime, number)
}

// recorded reads a version that is not the newest.
func (r *AgentSessionReconciler) recorded(ctx context.Context, runtime *v1alpha1.AgentRuntime, number int64) (version, error) {
	var revision appsv1.ControllerRevision
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: runtime.Namespace, Name: revisionName(runtime.Name, number)}, &revision)
	switch {
	case apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(&revision, runtime):
		return version{}, notThere("The AgentRuntime %q: %s", runtime.Name, lifecycle.NoVersion(number, runtime.Generation, nil))
	case err != nil:
		return version{}, fmt.Errorf("get version %d of AgentRuntime %s: %w", number, runtime.Name, err)
	}
	if revision.Data.Raw == nil {
		var whole appsv1.ControllerRevision
		if err := readWhole(ctx, r.Live, &revision, &whole); err != nil {
			return version{}, err
		}
		revision = whole
	}
	v := version{number: number, arn: runtime.Status.AgentRuntimeArn}
	if err := json.Unmarshal(revision.Data.Raw, &v.spec); err != nil {
		return version{}, fmt.Errorf("read version %d of AgentRuntime %s: %w", number, runtime.Name, err)
	}
	return v, nil
}

func notThere(format string, args ...any) error {
	return &refused{v1alpha1.ReasonRuntimeNotFound, fmt.Sprintf(format, args...)}
}

// sessionsWaitingFor are those that could not start for want of a runtime.
func (r *AgentSessionReconciler) sessionsWaitingFor(ctx context.Context, runtime client.Object) []reconcile.Request {
	var sessions v1alpha1.AgentSessionList
	if err := r.Client.List(ctx, &sessions, client.InNamespace(runtime.GetNamespace()), client.MatchingFields{runtimeIndex: runtime.GetName()},
		client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache is ending; each session is tried again for itself too
	}
	var requests []reconcile.Request
	for i := range sessions.Items {
		ready := meta.FindStatusCondition(sessions.Items[i].Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && (ready.Reason == v1alpha1.ReasonRuntimeNotFound || ready.Reason == v1alpha1.ReasonUnreadable) {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{
				Namespace: sessions.Items[i].Namespace, Name: sessions.Items[i].Name,
			}})
		}
	}
	return requests
}
