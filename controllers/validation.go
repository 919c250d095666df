package controllers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// validate writes into a runtime's status which version is tried and what came of it. before
// is the artifact's version that status had. try tells that the session is to be made, and
// recheck when to look whether its agent has answered the warm-up hook; zero if none was sent.
func (r *AgentRuntimeReconciler) validate(ctx context.Context, agent *v1alpha1.AgentRuntime, before int64, trials []v1alpha1.AgentSession) (try bool, recheck time.Duration) {
	status, key := &agent.Status, client.ObjectKeyFromObject(agent)
	if agent.Spec.Validation != v1alpha1.ValidationStart {
		status.Validation = nil
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionValidated)
		return false, 0
	}
	facts := lifecycle.ValidationFacts{Known: status.Validation, Version: status.Artifact.Version, Before: before}
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionValidated); c != nil {
		facts.Verdict, facts.Message = c.Status, c.Message
	}
	for i := range trials {
		if lifecycle.TriedBy(&trials[i]) == facts.Version {
			facts.Trial = &trials[i]
		}
	}
	if agent.Spec.HooksConfiguration != nil {
		facts.Warmup = &lifecycle.Warmup{}
		if facts.Trial != nil {
			*facts.Warmup = r.warmups.result(key, facts.Trial.UID)
		}
	}
	verdict := lifecycle.DecideValidation(facts)
	status.Validation = &verdict.Status
	if verdict.Changed {
		meta.SetStatusCondition(&status.Conditions, validated(agent, verdict.Outcome))
	}
	if verdict.Warm {
		r.warm(ctx, key, facts.Trial, agent.Spec.HooksConfiguration.Build.Warmup.Action.HTTPPost.Path)
		recheck = warmupPoll
	}
	return verdict.Try, recheck
}

// validated is the condition Validated that an outcome amounts to.
func validated(agent *v1alpha1.AgentRuntime, outcome lifecycle.TrialOutcome) metav1.Condition {
	version := agent.Status.Validation.Version
	c := metav1.Condition{Type: v1alpha1.ConditionValidated, ObservedGeneration: agent.Generation}
	switch {
	case !outcome.Over:
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonTrying
		c.Message = fmt.Sprintf("Version %d is tried by the AgentSession %q.", version, lifecycle.TrialName(agent.Name, string(agent.UID), version))
	case outcome.Reason == "":
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonHealthy, fmt.Sprintf("The agent of version %d was healthy.", version)
	default:
		c.Status, c.Reason = metav1.ConditionFalse, outcome.Reason
		c.Message = fmt.Sprintf("Version %d was tried without success: %s", version, outcome.Message)
	}
	return c
}

// try makes the session that tries a version, if it is to be made, and deletes those that
// are not needed any more: only after a status that says so.
func (r *AgentRuntimeReconciler) try(ctx context.Context, agent *v1alpha1.AgentRuntime, trials []v1alpha1.AgentSession, makes bool) error {
	for i := range trials {
		trial := &trials[i]
		verdict, _ := lifecycle.Validated(agent)
		if needed := verdict == metav1.ConditionUnknown && lifecycle.TriedBy(trial) == agent.Status.Validation.Version; needed || trial.DeletionTimestamp != nil {
			continue
		}
		if err := r.Client.Delete(ctx, trial, client.Preconditions{UID: &trial.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete the session %s that tried a version: %w", trial.Name, err)
		}
		r.warmups.forget(client.ObjectKeyFromObject(agent))
		ctrl.LoggerFrom(ctx).Info("Deleted the session that tried a version", "session", trial.Name, "verdict", verdict)
	}
	if !makes {
		return nil
	}
	refusal, err := r.makeTrial(ctx, agent)
	if err != nil || refusal == "" {
		return err
	}
	old := agent.DeepCopy()
	meta.SetStatusCondition(&agent.Status.Conditions, validated(agent, lifecycle.TrialOutcome{Over: true, Reason: v1alpha1.ReasonTrialRefused, Message: refusal}))
	if err := r.Client.Status().Patch(ctx, agent, client.MergeFrom(old)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("patch status: %w", err))
	}
	return nil
}

// makeTrial makes the session that tries status.validation.version. refusal is why there can
// be none; empty if there is one.
func (r *AgentRuntimeReconciler) makeTrial(ctx context.Context, agent *v1alpha1.AgentRuntime) (refusal string, err error) {
	trial := newTrial(agent)
	switch err := r.Client.Create(ctx, trial); {
	case err == nil:
		ctrl.LoggerFrom(ctx).Info("Made a session to try a version", "session", trial.Name, "version", agent.Status.Validation.Version)
		return "", nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return "The API server refused the session: " + lifecycle.Cut(lifecycle.Printable(err.Error()), maxMessage), nil
	case !apierrors.IsAlreadyExists(err):
		return "", fmt.Errorf("create the session %s: %w", trial.Name, err)
	}
	var there v1alpha1.AgentSession
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(trial), &there); err != nil {
		return "", fmt.Errorf("get the session %s: %w", trial.Name, err)
	}
	if metav1.IsControlledBy(&there, agent) && lifecycle.TriedBy(&there) != 0 {
		return "", nil // an operator made it that died before the cache showed it
	}
	return fmt.Sprintf("an AgentSession named %s is there and is not this AgentRuntime's; delete it, and change the runtime", trial.Name), nil
}

// newTrial is a session of the version that status says is tried. All else is as sessions
// of the runtime have it.
func newTrial(agent *v1alpha1.AgentRuntime) *v1alpha1.AgentSession {
	version := agent.Status.Validation.Version
	spec := v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: agent.Name}}
	if agent.Spec.HooksConfiguration != nil { // nobody calls it while it is warmed up
		spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 2 * int32(lifecycle.WarmupTimeout.Seconds())}
	}
	labels := lifecycle.SessionLabels(agent)
	labels[v1alpha1.LabelTrial] = strconv.FormatInt(version, 10)
	return &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: agent.Namespace, Name: lifecycle.TrialName(agent.Name, string(agent.UID), version),
			Labels: labels,
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(agent, v1alpha1.GroupVersion.WithKind("AgentRuntime")),
			},
		},
		Spec: spec,
	}
}

// trialsOf takes the sessions that try versions of a runtime from among its sessions.
func trialsOf(agent *v1alpha1.AgentRuntime, all []v1alpha1.AgentSession) (trials, others []v1alpha1.AgentSession) {
	others = slices.DeleteFunc(all, func(session v1alpha1.AgentSession) bool {
		if lifecycle.TriedBy(&session) == 0 || !metav1.IsControlledBy(&session, agent) {
			return false
		}
		trials = append(trials, session)
		return true
	})
	return trials, others
}

func isTrial(object client.Object) bool {
	session, is := object.(*v1alpha1.AgentSession)
	return is && lifecycle.TriedBy(session) != 0
}

// artifactVersion is that of the artifact in a runtime's status; 0 if there is none.
func artifactVersion(agent *v1alpha1.AgentRuntime) int64 {
	if agent.Status.Artifact == nil {
		return 0
	}
	return agent.Status.Artifact.Version
}
