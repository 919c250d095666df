package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// TrialName is the name of the session that tries a version of a runtime. No session of a
// call has it: those are of an endpoint.
func TrialName(runtime, uid string, version int64) string {
	return SessionName(runtime, uid, "", strconv.FormatInt(version, 10))
}

// TriedBy is the version that a session tries; 0 if it is no trial: what its label says
// counts for one that its runtime owns, under the name that belongs to it.
func TriedBy(session *v1alpha1.AgentSession) int64 {
	label, has := session.Labels[v1alpha1.LabelTrial]
	owner := metav1.GetControllerOf(session)
	if !has || owner == nil || session.Spec.RuntimeRef == nil || session.Spec.RuntimeRef.Name != owner.Name {
		return 0
	}
	version, err := strconv.ParseInt(label, 10, 64)
	if err != nil || session.Name != TrialName(owner.Name, string(owner.UID), version) {
		return 0
	}
	return version
}

// DefaultVersion is the version that the endpoint DEFAULT of a runtime leads to; 0 if there
// is none. A version that has to be tried is not served before.
func DefaultVersion(runtime *v1alpha1.AgentRuntime) int64 {
	status := &runtime.Status
	switch {
	case runtime.Spec.Validation != v1alpha1.ValidationStart:
		return runtime.Generation
	case status.Validation != nil:
		return status.Validation.ValidVersion
	case status.Artifact != nil: // from before versions were tried
		return status.Artifact.Version
	}
	return 0
}

// StartVersion is the version of its runtime that a session starts with: the one that it
// tries, else that of its endpoint. 0 if there is none.
func StartVersion(session *v1alpha1.AgentSession, runtime *v1alpha1.AgentRuntime) int64 {
	tried := TriedBy(session)
	switch trying := runtime.Status.Validation; {
	case tried == 0:
		return VersionAt(runtime.Spec.Endpoints, session.Spec.RuntimeRef.Qualifier, DefaultVersion(runtime))
	case trying != nil && trying.Version == tried:
		return tried
	}
	return 0
}

// NoStartVersion says why StartVersion is 0.
func NoStartVersion(session *v1alpha1.AgentSession, runtime *v1alpha1.AgentRuntime) string {
	qualifier := cmp.Or(session.Spec.RuntimeRef.Qualifier, v1alpha1.DefaultQualifier)
	switch verdict, message := Validated(runtime); {
	case TriedBy(session) != 0:
		return fmt.Sprintf("The AgentRuntime %q does not have this version tried", runtime.Name)
	case qualifier != v1alpha1.DefaultQualifier:
		return fmt.Sprintf("The AgentRuntime %q has no endpoint %q", runtime.Name, qualifier)
	case verdict == metav1.ConditionFalse:
		return fmt.Sprintf("The AgentRuntime %q has no version that was tried with success (spec.validation): %s", runtime.Name, message)
	}
	return fmt.Sprintf("The AgentRuntime %q has no version that was tried with success yet (spec.validation)", runtime.Name)
}

// Validated is what became of the newest version of a runtime, apart from its endpoints: true
// if it may be served, false if it may not, and unknown while it is to be tried.
func Validated(runtime *v1alpha1.AgentRuntime) (verdict metav1.ConditionStatus, message string) {
	status := &runtime.Status
	if runtime.Spec.Validation != v1alpha1.ValidationStart {
		return metav1.ConditionTrue, ""
	}
	if status.Validation == nil || status.Artifact == nil || status.Validation.Version != status.Artifact.Version {
		return metav1.ConditionUnknown, ""
	}
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionValidated {
			return c.Status, c.Message
		}
	}
	return metav1.ConditionUnknown, ""
}

// TrialOutcome is what became of a session that tries a version.
type TrialOutcome struct {
	// Over tells that it is known.
	Over bool
	// Reason is why the version is not valid; empty if it is.
	Reason string
	// Message says it for people, in the words of the session.
	Message string
}

// TrialOutcomeOf reads it from the session. A refusal that a call would be answered with is
// the end of a trial too: nobody waits for a quota. That its version is not there only means
// that what says so has not been seen yet.
func TrialOutcomeOf(session *v1alpha1.AgentSession) TrialOutcome {
	status := &session.Status
	last := status.LastTermination
	if status.HealthyAt != nil && status.Pod != nil || last != nil && last.PingStatus != "" {
		return TrialOutcome{Over: true}
	}
	if !Living(status.State) && last != nil {
		return TrialOutcome{true, string(last.Reason), last.Message}
	}
	if status.State == v1alpha1.StateStopped {
		return TrialOutcome{true, string(v1alpha1.StopRequested), "The session was told to stop before it had a compute."}
	}
	i := slices.IndexFunc(status.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionReady && Refuses(c.Reason) && c.Reason != v1alpha1.ReasonRuntimeNotFound
	})
	if i >= 0 {
		return TrialOutcome{true, status.Conditions[i].Reason, status.Conditions[i].Message}
	}
	return TrialOutcome{}
}

// How many failed versions a runtime's status remembers, and how long each message is, in
// bytes: what the schema says.
const (
	maxFailed        = 10
	maxFailedMessage = 800
)

// ValidationFacts are what is known of a runtime whose versions are tried.
type ValidationFacts struct {
	// Known, Verdict and Message are what status says; nil and empty if it says nothing.
	Known   *v1alpha1.ValidationStatus
	Verdict metav1.ConditionStatus
	Message string
	// Version is the newest, apart from endpoints, and Before what that was when status
	// was written; 0: there was none.
	Version, Before int64
	// Trial is the session that tries Version; nil if it is not there.
	Trial *v1alpha1.AgentSession
	// Warmup is what came of the version's warm-up hook; nil if it has none.
	Warmup *Warmup
}

// known is the status so far, with the version before this one among the failed if it is one.
func (f ValidationFacts) known() v1alpha1.ValidationStatus {
	if f.Known == nil {
		return v1alpha1.ValidationStatus{ValidVersion: f.Before}
	}
	status := *f.Known.DeepCopy()
	if status.Version != f.Version && f.Verdict == metav1.ConditionFalse {
		status.Failed = append(status.Failed, v1alpha1.FailedVersion{Version: status.Version, Message: Cut(f.Message, maxFailedMessage)})
		status.Failed = status.Failed[max(len(status.Failed)-maxFailed, 0):]
	}
	return status
}

// WarmupTimeout is how long an agent may take to answer the warm-up hook: AgentCore's.
const WarmupTimeout = 120 * time.Second

// Warmup is what came of a warm-up hook.
type Warmup struct {
	// Over tells that it is known.
	Over bool
	// Failure is what went wrong; empty if the agent answered with 2xx.
	Failure string
}

// outcome is what became of a trial whose agent was healthy, and is to be warm.
func (w Warmup) outcome(trial *v1alpha1.AgentSession) TrialOutcome {
	failed := TrialOutcome{Over: true, Reason: v1alpha1.ReasonWarmupFailed}
	switch last := trial.Status.LastTermination; {
	case w.Over && w.Failure == "":
		return TrialOutcome{Over: true}
	case w.Over:
		failed.Message = "The warm-up hook: " + w.Failure
	case Living(trial.Status.State) || last == nil:
		return TrialOutcome{}
	default:
		failed.Message = "The agent ended before the warm-up hook was answered: " + last.Message
	}
	return failed
}

// ValidationVerdict is what is decided.
type ValidationVerdict struct {
	// Status is that of the runtime from now on.
	Status v1alpha1.ValidationStatus
	// Changed tells that Outcome is news: that Status.Version is tried, or what came of it.
	Changed bool
	Outcome TrialOutcome
	// Try tells that the session is to be made.
	Try bool
	// Warm tells that its agent is to be sent the warm-up hook, or is being sent it.
	Warm bool
}

// DecideValidation says what becomes of the newest version of a runtime. A version has one
// verdict, for good; what was served before versions were tried is valid.
func DecideValidation(f ValidationFacts) ValidationVerdict {
	v := ValidationVerdict{Status: f.known()}
	said := v.Status.Version == f.Version && f.Verdict != "" // of this version
	if said && f.Verdict != metav1.ConditionUnknown {
		return v
	}
	v.Changed, v.Status.Version = !said, f.Version
	if v.Try = f.Trial == nil; v.Try {
		return v
	}
	outcome := TrialOutcomeOf(f.Trial)
	if outcome.Over && outcome.Reason == "" && f.Warmup != nil {
		outcome = f.Warmup.outcome(f.Trial)
		v.Warm = !outcome.Over
	}
	if v.Outcome = outcome; outcome.Over {
		v.Changed = true
		if outcome.Reason == "" {
			v.Status.ValidVersion = f.Version
		}
	}
	return v
}
