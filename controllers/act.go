package controllers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
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

// start creates the pod of the activation that the verdict names, of a runtime's version
// if the session has a runtime. own is the session's spec as it was written. What is
// reported then is the outcome.
func (r *AgentSessionReconciler) start(ctx context.Context, session *v1alpha1.AgentSession, own v1alpha1.AgentSessionSpec, found *pods, o *outcome) error {
	last := o.facts.LastStop.Reason
	found.replace(nil)
	bounded, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	began := time.Now()
	pod, started, err := r.make(bounded, session, own, o.verdict.Activation, lifecycle.NodesToAvoid(o.now, last, found.earlier), found)
	found.compute = pod
	o.pod, o.started, o.claim, o.refusal = pod, started, found.claim, refusalOf(err)
	o.facts = r.observe(session, *found, o.now)
	if err == nil {
		o.verdict = lifecycle.Decide(o.now, o.facts)
		return nil
	}
	if o.refusal == nil {
		o.facts.Unmade, o.facts.UnmadeAfter = lifecycle.Cut(lifecycle.Printable(err.Error()), maxMessage), time.Since(began)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			o.facts.Unmade = fmt.Sprintf("%s within %s, as where an admission webhook does not answer", lifecycle.NotAnswered, o.patience)
		}
		o.verdict = lifecycle.Decide(o.now, o.facts)
		ctrl.LoggerFrom(ctx).Error(err, "The compute could not be made, and is tried again")
		return err
	}
	// A quota may count the last pod until it has gone.
	if ending := found.ending(o.now); len(ending) > 0 && o.refusal.reason == v1alpha1.ReasonPodRefused {
		o.refusal, o.verdict.Wait.Message = nil, fmt.Sprintf("%s has not gone yet. %s", podAndNode(ending[0]), o.refusal.message)
	}
	return err
}

// make makes the pod of an activation that is to run on other nodes than some, if it
// can, and before it the claim of its storage, which is found from then on.
func (r *AgentSessionReconciler) make(ctx context.Context, session *v1alpha1.AgentSession, own v1alpha1.AgentSessionSpec, activation int32, not []string, found *pods,
) (pod *corev1.Pod, started *v1alpha1.ActivationRuntime, err error) {
	switch {
	case session.Unreadable != "":
		return nil, nil, unreadable("AgentSession", session.Name, session.Unreadable)
	case own.RuntimeRef != nil:
		if started, err = r.applyVersion(ctx, session, own); err != nil {
			return nil, nil, err
		}
	case apiserver.Lacks(&session.Spec.Template):
		var whole v1alpha1.AgentSession
		if err := readWhole(ctx, r.Live, session, &whole); err != nil {
			return nil, nil, err
		}
		session.Spec.Template = whole.Spec.Template
	}
	if found.claim, err = r.claim(ctx, session, started); err != nil {
		return nil, started, err
	}
	pod, err = r.create(ctx, session, activation, started, not)
	return pod, started, err
}

// unreadable refuses to make anything of an object that could not be read as a whole.
func unreadable(kind, name, why string) error {
	return &refused{v1alpha1.ReasonUnreadable, fmt.Sprintf("The %s %q cannot be read: %s", kind, name, lifecycle.Cut(lifecycle.Printable(why), maxMessage))}
}

// readWhole reads an object of which the cache left something out, past the cache. It
// must be the object that the cache shows.
func readWhole(ctx context.Context, live client.Reader, slim, whole client.Object) error {
	if err := live.Get(ctx, client.ObjectKeyFromObject(slim), whole); err != nil {
		return fmt.Errorf("read the whole of %s, which is large: %w", slim.GetName(), err)
	}
	if whole.GetUID() != slim.GetUID() || whole.GetGeneration() != slim.GetGeneration() {
		return fmt.Errorf("read the whole of %s, which is large: it is another than the cache shows", slim.GetName())
	}
	return nil
}

// create makes a pod. One by its name that is the session's own was created by
// an operator that died before it could say so; any other is left alone.
func (r *AgentSessionReconciler) create(ctx context.Context, session *v1alpha1.AgentSession, activation int32, started *v1alpha1.ActivationRuntime, not []string) (*corev1.Pod, error) {
	pod := buildPod(session, activation, started, rand.Text())
	avoid(pod, not)
	return r.createAs(ctx, session, pod, pod.Name, spareName(session, activation))
}

// createAs makes a pod under a name, or under others where that is an earlier session's
// whose pod is ending.
func (r *AgentSessionReconciler) createAs(ctx context.Context, session *v1alpha1.AgentSession, pod *corev1.Pod, name string, spare ...string) (*corev1.Pod, error) {
	pod.Name, pod.ResourceVersion = name, ""
	err := r.Client.Create(ctx, pod)
	switch {
	case err == nil:
		ctrl.LoggerFrom(ctx).Info("Created the compute", "pod", klog.KObj(pod), "activation", pod.Labels[v1alpha1.LabelActivation])
		return pod, nil
	case apierrors.IsAlreadyExists(err):
		made, err := r.adopt(ctx, session, pod)
		if errors.Is(err, errEnding) && len(spare) > 0 && ownVolume(pod) == "" {
			return r.createAs(ctx, session, pod, spare[0], spare[1:]...)
		}
		return made, err
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return nil, fmt.Errorf("create pod %s: %w", pod.Name, &refused{v1alpha1.ReasonPodRefused, refusalWords(session, pod, err)})
	}
	return nil, fmt.Errorf("create pod %s: %w", pod.Name, err)
}

// refusalWords say why the API server refused a pod, and what of it nobody wrote.
func refusalWords(session *v1alpha1.AgentSession, pod *corev1.Pod, err error) string {
	message := "The API server refused the pod: " + lifecycle.Printable(err.Error())
	const grace = "terminationGracePeriodSeconds"
	if session.Spec.Template.Spec.TerminationGracePeriodSeconds == nil && strings.Contains(err.Error(), grace) {
		message += fmt.Sprintf(". The template has no %s, and %d seconds are the default: set it", grace, *pod.Spec.TerminationGracePeriodSeconds)
	}
	return message
}

var errEnding = errors.New("one of a session by this name that was deleted has not gone yet")

func (r *AgentSessionReconciler) adopt(ctx context.Context, session *v1alpha1.AgentSession, wanted *corev1.Pod) (*corev1.Pod, error) {
	var pod corev1.Pod
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(wanted), &pod); err != nil {
		return nil, fmt.Errorf("get pod %s: %w", wanted.Name, err)
	}
	if activationOf(&pod, session) == 0 && pod.DeletionTimestamp != nil {
		return nil, fmt.Errorf("create pod %s: %w", wanted.Name, errEnding)
	}
	if activationOf(&pod, session) == 0 {
		return nil, fmt.Errorf("create pod %s: %w", wanted.Name, &refused{
			v1alpha1.ReasonPodNameTaken, fmt.Sprintf("A pod named %s is there and is not this session's; delete it, or this session", wanted.Name),
		})
	}
	if pod.Labels[v1alpha1.LabelVersion] != wanted.Labels[v1alpha1.LabelVersion] {
		return nil, fmt.Errorf("pod %s was made of another version: it is taken over when the cache shows it", wanted.Name)
	}
	return &pod, nil
}

// askTasks has the agent asked for its tasks if that is the verdict. The answer
// comes as a request to look again.
func (r *AgentSessionReconciler) askTasks(ctx context.Context, key client.ObjectKey, pod *corev1.Pod, verdict lifecycle.Verdict) {
	if verdict.Ask && r.mode() != delegating {
		r.Prober.AskTasks(ctx, key, pod.UID, lifecycle.AgentToken(pod))
	}
}

// remove deletes the pod or the session if that is the verdict, and earlier pods that
// nobody has told to go. A pod is deleted by its UID, a session by its version: never a
// successor.
func (r *AgentSessionReconciler) remove(ctx context.Context, session *v1alpha1.AgentSession, found pods, verdict lifecycle.Verdict) error {
	if verdict.Action == lifecycle.ActStop {
		r.forget(client.ObjectKeyFromObject(session))
	}
	if r.mode() == onNode {
		return nil
	}
	err := r.removeNow(ctx, session, found, verdict)
	for _, pod := range found.earlier {
		err = errors.Join(err, r.removeLeft(ctx, pod, "the session has another activation"))
	}
	return err
}

func (r *AgentSessionReconciler) removeNow(ctx context.Context, session *v1alpha1.AgentSession, found pods, verdict lifecycle.Verdict) error {
	switch pod := found.compute; verdict.Action {
	case lifecycle.ActStop:
		late := observeLateness(r.Clock.Now(), verdict.Stop)
		options := []client.DeleteOption{client.Preconditions{UID: &pod.UID}}
		if found.unwatched { // no cache shows that it goes
			options = append(options, client.DisableReadYourWritesConsistency)
		}
		err := r.Client.Delete(ctx, pod, options...)
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
	case lifecycle.ActNone, lifecycle.ActStart, lifecycle.ActDropStorage:
	}
	return nil
}

// removeLeft deletes a pod that is no compute, unless it goes already.
func (r *AgentSessionReconciler) removeLeft(ctx context.Context, pod *corev1.Pod, why string) error {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	// Nothing waits for the cache to show that it goes.
	err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID}, client.DisableReadYourWritesConsistency)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Deleted a pod that was left", "pod", klog.KObj(pod), "since", why)
	return nil
}

// removeOrphans deletes the pods of a session that was deleted, at once: the garbage
// collector, which would do it too, may take a minute with many.
func (r *AgentSessionReconciler) removeOrphans(ctx context.Context, key client.ObjectKey) error {
	if r.mode() == onNode {
		return nil
	}
	var list corev1.PodList
	if err := r.Client.List(ctx, &list, client.InNamespace(key.Namespace),
		client.MatchingFields{ownerIndex: "AgentSession/" + key.Name}, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("list the pods of session %s: %w", key, err)
	}
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.DeletionTimestamp != nil {
			continue
		}
		// The cache may not show yet a session that is new.
		var session v1alpha1.AgentSession
		err := r.Live.Get(ctx, key, &session)
		switch owner := metav1.GetControllerOf(pod); {
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("get session %s: %w", key, err)
		case owner.APIVersion != v1alpha1.GroupVersion.String() || err == nil && owner.UID == session.UID:
			continue
		}
		if err := r.removeLeft(ctx, pod, "the session was deleted"); err != nil {
			return err
		}
	}
	return nil
}
