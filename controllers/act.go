package controllers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// refused is a compute that cannot be had or asked: a reason and a message of
// the condition Ready.
type refused struct {
	reason, message string
}

func (r *refused) Error() string { return r.message }

// refusalOf is the refusal in an error, or nil.
func refusalOf(err error) *refused {
	refusal, _ := errors.AsType[*refused](err)
	return refusal
}

// start creates the pod of an activation. A pod by its name that is the
// session's own was created by an operator that died before it could say so;
// any other is left alone.
func (r *AgentSessionReconciler) start(ctx context.Context, session *v1alpha1.AgentSession, activation int32) (*corev1.Pod, error) {
	pod := buildPod(session, activation, rand.Text())
	err := r.Client.Create(ctx, pod)
	switch {
	case err == nil:
		ctrl.LoggerFrom(ctx).Info("Created the compute", "pod", klog.KObj(pod), "activation", activation)
		return pod, nil
	case apierrors.IsAlreadyExists(err):
		return r.adopt(ctx, session, pod.Name)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return nil, fmt.Errorf("create pod %s: %w", pod.Name, &refused{
			v1alpha1.ReasonPodRefused, "The API server refused the pod: " + lifecycle.Printable(err.Error()),
		})
	}
	return nil, fmt.Errorf("create pod %s: %w", pod.Name, err)
}

func (r *AgentSessionReconciler) adopt(ctx context.Context, session *v1alpha1.AgentSession, name string) (*corev1.Pod, error) {
	var pod corev1.Pod
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: name}, &pod); err != nil {
		return nil, fmt.Errorf("get pod %s: %w", name, err)
	}
	if activationOf(&pod, session) == 0 {
		return nil, fmt.Errorf("create pod %s: %w", name, &refused{
			v1alpha1.ReasonPodNameTaken, fmt.Sprintf("A pod named %s is there and is not this session's; delete it, or this session", name),
		})
	}
	return &pod, nil
}

// askTasks has the agent asked for its tasks if that is the verdict. The answer
// comes as a request to look again.
func (r *AgentSessionReconciler) askTasks(ctx context.Context, key client.ObjectKey, pod *corev1.Pod, verdict lifecycle.Verdict) {
	if verdict.Ask && r.Prober != nil {
		r.Prober.AskTasks(ctx, key, pod.UID, tokenOf(pod))
	}
}

// remove deletes the pod or the session if that is the verdict. A pod is
// deleted by its UID, a session by its version: never a successor.
func (r *AgentSessionReconciler) remove(ctx context.Context, session *v1alpha1.AgentSession, pod *corev1.Pod, verdict lifecycle.Verdict) error {
	switch verdict.Action {
	case lifecycle.ActStop:
		r.forget(client.ObjectKeyFromObject(session))
		if r.Node != "" {
			return nil
		}
		late := observeLateness(r.Clock.Now(), verdict.Stop)
		err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete pod %s: %w", pod.Name, err)
		}
		ctrl.LoggerFrom(ctx).Info("Deleted the compute", "pod", klog.KObj(pod), "activation", verdict.Activation,
			"reason", verdict.Stop.Reason, "lateness", late)
	case lifecycle.ActExpire:
		err := r.Client.Delete(ctx, session, client.Preconditions{UID: &session.UID, ResourceVersion: &session.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete the expired session: %w", err)
		}
		ctrl.LoggerFrom(ctx).Info("Deleted the session", "stoppedFor", "spec.ttlSecondsAfterStopped")
	case lifecycle.ActNone, lifecycle.ActStart:
	}
	return nil
}
