package lifecycle_test

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// trialOf is a session that tries a version of the runtime echo, in a state.
func trialOf(version string, change ...func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{
			Name: lifecycle.SessionName("echo", "uid", "", version), Labels: map[string]string{v1alpha1.LabelTrial: version},
			OwnerReferences: []metav1.OwnerReference{{Name: "echo", UID: "uid", Controller: new(true)}},
		},
		Spec: v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "echo"}},
	}
	for _, f := range change {
		f(session)
	}
	return session
}

func holding(status v1alpha1.AgentSessionStatus) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) { s.Status = status }
}

func TestTriedBy(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lifecycle.TriedBy(trialOf("7"))).To(BeEquivalentTo(7))
	g.Expect(lifecycle.TrialName("echo", "uid", 7)).To(Equal(trialOf("7").Name))
	for what, change := range map[string]func(*v1alpha1.AgentSession){
		"no label":          func(s *v1alpha1.AgentSession) { s.Labels = nil },
		"no number":         func(s *v1alpha1.AgentSession) { s.Labels[v1alpha1.LabelTrial] = "x" },
		"another number":    func(s *v1alpha1.AgentSession) { s.Labels[v1alpha1.LabelTrial] = "8" },
		"another name":      func(s *v1alpha1.AgentSession) { s.Name = "echo" },
		"nobody's":          func(s *v1alpha1.AgentSession) { s.OwnerReferences = nil },
		"another's":         func(s *v1alpha1.AgentSession) { s.OwnerReferences[0].UID = "other" },
		"of another":        func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Name = "other" },
		"without a runtime": func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef = nil },
	} {
		g.Expect(lifecycle.TriedBy(trialOf("7", change))).To(BeZero(), what)
	}
}

func TestTrialOutcomeOf(t *testing.T) {
	now := metav1.Now()
	ready := func(reason string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: "its words"}}
	}
	last := func(reason v1alpha1.StopReason, answered string) *v1alpha1.Termination {
		return &v1alpha1.Termination{Reason: reason, Message: "its words", PingStatus: answered}
	}
	good, pending := lifecycle.TrialOutcome{Over: true}, lifecycle.TrialOutcome{}
	for what, row := range map[string]struct {
		status v1alpha1.AgentSessionStatus
		want   lifecycle.TrialOutcome
	}{
		"new":                          {want: pending},
		"starts":                       {v1alpha1.AgentSessionStatus{State: "Starting", Pod: &v1alpha1.PodStatus{}, Conditions: ready("Starting")}, pending},
		"its image is not there":       {v1alpha1.AgentSessionStatus{State: "Starting", Pod: &v1alpha1.PodStatus{}, Conditions: ready("ImagePullFailed")}, pending},
		"its pod is not made":          {v1alpha1.AgentSessionStatus{State: "Starting", Conditions: ready("PodNotMade")}, pending},
		"the version is not seen yet":  {v1alpha1.AgentSessionStatus{State: "Starting", Conditions: ready("RuntimeNotFound")}, pending},
		"its pod is refused":           {v1alpha1.AgentSessionStatus{State: "Starting", Conditions: ready("PodRefused")}, lifecycle.TrialOutcome{Over: true, Reason: "PodRefused", Message: "its words"}},
		"healthy":                      {v1alpha1.AgentSessionStatus{State: "Idle", Pod: &v1alpha1.PodStatus{}, HealthyAt: &now}, good},
		"healthy, and idle for long":   {v1alpha1.AgentSessionStatus{State: "Stopped", LastTermination: last("IdleTimeout", "Healthy")}, good},
		"healthy, and stopping":        {v1alpha1.AgentSessionStatus{State: "Stopping", Pod: &v1alpha1.PodStatus{}, LastTermination: last("AgentExited", "HealthyBusy")}, good},
		"never healthy":                {v1alpha1.AgentSessionStatus{State: "Stopping", Pod: &v1alpha1.PodStatus{}, LastTermination: last("StartTimeout", "")}, lifecycle.TrialOutcome{Over: true, Reason: "StartTimeout", Message: "its words"}},
		"exited":                       {v1alpha1.AgentSessionStatus{State: "Stopped", LastTermination: last("AgentExited", "")}, lifecycle.TrialOutcome{Over: true, Reason: "AgentExited", Message: "its words"}},
		"its pod was taken":            {v1alpha1.AgentSessionStatus{State: "Stopped", LastTermination: last("ComputeLost", "")}, lifecycle.TrialOutcome{Over: true, Reason: "ComputeLost", Message: "its words"}},
		"stopped before it had a pod":  {v1alpha1.AgentSessionStatus{State: "Stopped"}, lifecycle.TrialOutcome{Over: true, Reason: "StopRequested", Message: "The session was told to stop before it had a compute."}},
		"woken after it was not there": {v1alpha1.AgentSessionStatus{State: "Starting", Pod: &v1alpha1.PodStatus{}, LastTermination: last("ComputeLost", "")}, pending},
	} {
		NewWithT(t).Expect(lifecycle.TrialOutcomeOf(trialOf("1", holding(row.status)))).To(Equal(row.want), what)
	}
}

// TestDecideValidation: each version has one verdict, and DEFAULT follows good ones only.
func TestDecideValidation(t *testing.T) {
	known := func(version, valid int64) *v1alpha1.ValidationStatus {
		return &v1alpha1.ValidationStatus{Version: version, ValidVersion: valid}
	}
	afterFailures := func(version, first, last int64) *v1alpha1.ValidationStatus {
		status := known(version, 0)
		for ; first <= last; first++ {
			status.Failed = append(status.Failed, v1alpha1.FailedVersion{Version: first, Message: "why"})
		}
		return status
	}
	now := metav1.Now()
	starts := trialOf("3", holding(v1alpha1.AgentSessionStatus{State: "Starting"}))
	healthy := trialOf("3", holding(v1alpha1.AgentSessionStatus{State: "Idle", Pod: &v1alpha1.PodStatus{}, HealthyAt: &now}))
	failed := trialOf("3", holding(v1alpha1.AgentSessionStatus{State: "Stopped", LastTermination: &v1alpha1.Termination{Reason: "StartFailed", Message: "why"}}))
	ended := trialOf("3", holding(v1alpha1.AgentSessionStatus{State: "Stopped", LastTermination: &v1alpha1.Termination{Reason: "AgentExited", Message: "why", PingStatus: "Healthy"}}))
	good, bad := lifecycle.TrialOutcome{Over: true}, lifecycle.TrialOutcome{Over: true, Reason: "StartFailed", Message: "why"}
	for what, row := range map[string]struct {
		facts lifecycle.ValidationFacts
		want  lifecycle.ValidationVerdict
	}{
		"the first version":             {lifecycle.ValidationFacts{Version: 3}, lifecycle.ValidationVerdict{Status: *known(3, 0), Changed: true, Try: true}},
		"the first that is to be tried": {lifecycle.ValidationFacts{Version: 3, Before: 2}, lifecycle.ValidationVerdict{Status: *known(3, 2), Changed: true, Try: true}},
		"another version":               {lifecycle.ValidationFacts{Known: known(2, 2), Verdict: "True", Version: 3, Before: 2}, lifecycle.ValidationVerdict{Status: *known(3, 2), Changed: true, Try: true}},
		"another after one that failed": {
			lifecycle.ValidationFacts{Known: known(2, 1), Verdict: "False", Message: "why", Version: 3, Before: 2},
			lifecycle.ValidationVerdict{
				Status:  v1alpha1.ValidationStatus{Version: 3, ValidVersion: 1, Failed: []v1alpha1.FailedVersion{{Version: 2, Message: "why"}}},
				Changed: true, Try: true,
			},
		},
		"yet another that failed": {
			lifecycle.ValidationFacts{Known: afterFailures(11, 1, 10), Verdict: "False", Message: "why", Version: 12, Before: 11},
			lifecycle.ValidationVerdict{Status: *afterFailures(12, 2, 11), Changed: true, Try: true},
		},
		"another before a verdict":    {lifecycle.ValidationFacts{Known: known(2, 1), Verdict: "Unknown", Version: 3, Before: 2}, lifecycle.ValidationVerdict{Status: *known(3, 1), Changed: true, Try: true}},
		"the session is not there":    {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3}, lifecycle.ValidationVerdict{Status: *known(3, 1), Try: true}},
		"it starts":                   {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: starts}, lifecycle.ValidationVerdict{Status: *known(3, 1)}},
		"it is healthy":               {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: healthy}, lifecycle.ValidationVerdict{Status: *known(3, 3), Changed: true, Outcome: good}},
		"it failed":                   {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: failed}, lifecycle.ValidationVerdict{Status: *known(3, 1), Changed: true, Outcome: bad}},
		"it is to be warmed up":       {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: healthy, Warmup: &lifecycle.Warmup{}}, lifecycle.ValidationVerdict{Status: *known(3, 1), Warm: true}},
		"it is warm":                  {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: healthy, Warmup: &lifecycle.Warmup{Over: true}}, lifecycle.ValidationVerdict{Status: *known(3, 3), Changed: true, Outcome: good}},
		"it was not warmed up":        {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: healthy, Warmup: &lifecycle.Warmup{Over: true, Failure: "500"}}, lifecycle.ValidationVerdict{Status: *known(3, 1), Changed: true, Outcome: lifecycle.TrialOutcome{Over: true, Reason: "WarmupFailed", Message: "The warm-up hook: 500"}}},
		"it ended before it was warm": {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: ended, Warmup: &lifecycle.Warmup{}}, lifecycle.ValidationVerdict{Status: *known(3, 1), Changed: true, Outcome: lifecycle.TrialOutcome{Over: true, Reason: "WarmupFailed", Message: "The agent ended before the warm-up hook was answered: why"}}},
		"it failed before that":       {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "Unknown", Version: 3, Before: 3, Trial: failed, Warmup: &lifecycle.Warmup{}}, lifecycle.ValidationVerdict{Status: *known(3, 1), Changed: true, Outcome: bad}},
		"it is valid already":         {lifecycle.ValidationFacts{Known: known(3, 3), Verdict: "True", Version: 3, Before: 3}, lifecycle.ValidationVerdict{Status: *known(3, 3)}},
		"it has failed already":       {lifecycle.ValidationFacts{Known: known(3, 1), Verdict: "False", Version: 3, Before: 3, Trial: healthy}, lifecycle.ValidationVerdict{Status: *known(3, 1)}},
		"the condition was lost":      {lifecycle.ValidationFacts{Known: known(3, 1), Version: 3, Before: 3}, lifecycle.ValidationVerdict{Status: *known(3, 1), Changed: true, Try: true}},
	} {
		NewWithT(t).Expect(lifecycle.DecideValidation(row.facts)).To(Equal(row.want), what)
	}
}

// TestStartVersion: which version sessions start with while versions are tried.
func TestStartVersion(t *testing.T) {
	runtime := func(validation v1alpha1.Validation, artifact, trying, valid int64) *v1alpha1.AgentRuntime {
		r := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "echo", UID: "uid", Generation: 9}}
		r.Spec.Validation, r.Spec.Endpoints = validation, []v1alpha1.RuntimeEndpoint{{Name: "prod", Version: 2}}
		if artifact > 0 {
			r.Status.Artifact = &v1alpha1.RuntimeArtifact{Version: artifact}
		}
		if trying > 0 {
			r.Status.Validation = &v1alpha1.ValidationStatus{Version: trying, ValidVersion: valid}
		}
		return r
	}
	session := func(qualifier string) *v1alpha1.AgentSession {
		return &v1alpha1.AgentSession{Spec: v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "echo", Qualifier: qualifier}}}
	}
	for what, row := range map[string]struct {
		session *v1alpha1.AgentSession
		runtime *v1alpha1.AgentRuntime
		want    int64
		why     string
	}{
		"the newest":                  {session(""), runtime("", 9, 0, 0), 9, ""},
		"the newest, None":            {session("DEFAULT"), runtime("None", 9, 8, 7), 9, ""},
		"the last that is valid":      {session("DEFAULT"), runtime("Start", 9, 9, 7), 7, ""},
		"from before they were tried": {session("DEFAULT"), runtime("Start", 8, 0, 0), 8, ""},
		"none yet":                    {session("DEFAULT"), runtime("Start", 9, 9, 0), 0, "has no version that was tried with success"},
		"not seen by an operator":     {session("DEFAULT"), runtime("Start", 0, 0, 0), 0, "has no version that was tried with success yet"},
		"a pinned one":                {session("prod"), runtime("Start", 9, 9, 0), 2, ""},
		"an endpoint that is not":     {session("none"), runtime("Start", 9, 9, 7), 0, `has no endpoint "none"`},
		"the one that it tries":       {trialOf("9"), runtime("Start", 9, 9, 7), 9, ""},
		"one that is not to be tried": {trialOf("8"), runtime("Start", 9, 9, 7), 0, "does not have this version tried"},
		"where no version is tried":   {trialOf("9"), runtime("None", 9, 0, 0), 0, "does not have this version tried"},
		"a label and nothing else":    {trialOf("9", func(s *v1alpha1.AgentSession) { s.Name = "mine" }), runtime("Start", 9, 9, 7), 7, ""},
	} {
		g := NewWithT(t)
		g.Expect(lifecycle.StartVersion(row.session, row.runtime)).To(Equal(row.want), what)
		if row.want == 0 {
			g.Expect(lifecycle.NoStartVersion(row.session, row.runtime)).To(ContainSubstring(row.why), what)
		}
	}
}
