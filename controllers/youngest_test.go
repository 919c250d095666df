package controllers

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Sessions start in one second, and caches list in any order.
func TestTheYoungestStart(t *testing.T) {
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
				if starts := youngestStart(row.sessions); row.says == "" {
					g.Expect(starts).To(BeNil())
				} else {
					g.Expect(starts).To(HaveField("Message", row.says))
				}
				slices.Reverse(row.sessions)
			}
		})
	}
}
