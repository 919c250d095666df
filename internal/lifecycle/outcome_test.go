package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Sessions start in one second, and caches list in any order.
func TestLatestStart(t *testing.T) {
	second := metav1.NewTime(time.Unix(1795423194, 0))
	good := func(at metav1.Time) v1alpha1.AgentSession {
		return v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{Pod: &v1alpha1.PodStatus{CreatedAt: at}, HealthyAt: &at}}
	}
	bad := func(name string, at metav1.Time) v1alpha1.AgentSession {
		return v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.AgentSessionStatus{
			State:   v1alpha1.StateStopped,
			History: []v1alpha1.PastActivation{{Reason: v1alpha1.StopStartFailed, Message: "OutOfmemory", From: &at, Until: at}},
		}}
	}
	after := metav1.NewTime(second.Add(time.Second))
	starting := v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{State: v1alpha1.StateStarting}}
	for name, row := range map[string]struct {
		sessions []v1alpha1.AgentSession
		says     string
	}{
		"none":                    {nil, ""},
		"none that is over":       {[]v1alpha1.AgentSession{starting}, ""},
		"a good one":              {[]v1alpha1.AgentSession{starting, good(second)}, "The youngest compute of a session was healthy."},
		"a good one after a bad":  {[]v1alpha1.AgentSession{bad("a", second), good(after)}, "The youngest compute of a session was healthy."},
		"both in one second":      {[]v1alpha1.AgentSession{good(second), bad("a", second)}, `The AgentSession "a" did not start: OutOfmemory`},
		"two bad in one second":   {[]v1alpha1.AgentSession{bad("b", second), bad("a", second)}, `The AgentSession "a" did not start: OutOfmemory`},
		"a bad one after another": {[]v1alpha1.AgentSession{bad("a", second), bad("b", after), starting}, `The AgentSession "b" did not start: OutOfmemory`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for range 2 {
				latest := lifecycle.LatestStart(row.sessions)
				g.Expect(latest.Message).To(Equal(row.says))
				g.Expect(latest.At.IsZero()).To(Equal(row.says == ""))
				g.Expect(strings.Contains(row.says, "did not start")).To(Equal(latest.Reason != ""))
				slices.Reverse(row.sessions)
			}
		})
	}
}

func TestStartOutcomeOf(t *testing.T) {
	from, until := metav1.NewTime(time.Unix(1795423194, 0)), metav1.NewTime(time.Unix(1795423294, 0))
	ended := func(reason v1alpha1.StopReason, ping string, from *metav1.Time) v1alpha1.AgentSessionStatus {
		return v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateStopped, History: []v1alpha1.PastActivation{{Reason: reason, Message: "why", From: from, Until: until}},
			LastTermination: &v1alpha1.Termination{Reason: reason, PingStatus: ping},
		}
	}
	refused := v1alpha1.AgentSessionStatus{State: v1alpha1.StateStarting, Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonPodRefused, Message: "no room", LastTransitionTime: until},
	}}
	waits := v1alpha1.AgentSessionStatus{State: v1alpha1.StateStarting, Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonUnschedulable, Message: "no node", LastTransitionTime: until},
	}}
	const good = "The youngest compute of a session was healthy."
	for name, row := range map[string]struct {
		status v1alpha1.AgentSessionStatus
		want   lifecycle.StartOutcome
	}{
		"new":                          {v1alpha1.AgentSessionStatus{}, lifecycle.StartOutcome{}},
		"waits for what may come":      {waits, lifecycle.StartOutcome{}},
		"refused":                      {refused, lifecycle.StartOutcome{At: until.Time, Reason: "PodRefused", Message: `The AgentSession "a" cannot start: no room`}},
		"lives":                        {v1alpha1.AgentSessionStatus{State: v1alpha1.StateIdle, Pod: &v1alpha1.PodStatus{CreatedAt: from}, HealthyAt: &until}, lifecycle.StartOutcome{At: from.Time, Message: good}},
		"was healthy, and stopped":     {ended(v1alpha1.StopIdleTimeout, "Healthy", &from), lifecycle.StartOutcome{At: from.Time, Message: good}},
		"stopped before it was":        {ended(v1alpha1.StopRequested, "", &from), lifecycle.StartOutcome{}},
		"did not answer in time":       {ended(v1alpha1.StopStartTimeout, "", &from), lifecycle.StartOutcome{At: from.Time, Reason: "StartTimeout", Message: `The AgentSession "a" did not start: why`}},
		"failed without a pod":         {ended(v1alpha1.StopStartFailed, "", nil), lifecycle.StartOutcome{At: until.Time, Reason: "StartFailed", Message: `The AgentSession "a" did not start: why`}},
		"is stopping, and did not run": {v1alpha1.AgentSessionStatus{State: v1alpha1.StateStopping}, lifecycle.StartOutcome{}},
	} {
		t.Run(name, func(t *testing.T) {
			session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Status: row.status}
			NewWithT(t).Expect(lifecycle.StartOutcomeOf(session)).To(Equal(row.want))
		})
	}
}
