package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestLimitsFollowTheTableOfAWS(t *testing.T) {
	for name, row := range map[string]struct {
		given     *v1alpha1.LifecycleConfiguration
		idle, max int
	}{
		"37: no configuration":                 {nil, 900, 28800},
		"37: neither":                          {&v1alpha1.LifecycleConfiguration{}, 900, 28800},
		"37: only max, below the default idle": {&v1alpha1.LifecycleConfiguration{MaxLifetime: 600}, 600, 600},
		"37: only max, at the default idle":    {&v1alpha1.LifecycleConfiguration{MaxLifetime: 900}, 900, 900},
		"37: only max, above the default idle": {&v1alpha1.LifecycleConfiguration{MaxLifetime: 3600}, 900, 3600},
		"37: only idle":                        {&v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}, 60, 28800},
		"both":                                 {&v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 28800}, 60, 28800},
		"both, equal":                          {&v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 28800, MaxLifetime: 28800}, 28800, 28800},
	} {
		t.Run(name, func(t *testing.T) {
			want := lifecycle.Limits{Idle: time.Duration(row.idle) * time.Second, Max: time.Duration(row.max) * time.Second}
			NewWithT(t).Expect(lifecycle.LimitsOf(row.given)).To(Equal(want))
		})
	}
}

func TestPolicyOf(t *testing.T) {
	g := NewWithT(t)
	plain := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	g.Expect(plain).To(Equal(lifecycle.Policy{
		Limits: lifecycle.Limits{Idle: 15 * time.Minute, Max: 8 * time.Hour}, Period: 2 * time.Second, StartTimeout: 2 * time.Minute,
		FailureThreshold: 15, IdleClock: v1alpha1.IdleClockAgentCore, TTL: -1, Merge: 4 * time.Second,
	}))

	ttl := int32(0)
	spec := &v1alpha1.AgentSessionSpec{
		LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 120},
		Ping:                   v1alpha1.PingSpec{FailureThreshold: 4, IdleClock: v1alpha1.IdleClockObserved},
		StuckDetection:         &v1alpha1.StuckDetection{AfterSeconds: 60, Action: v1alpha1.StuckStop},
		TTLSecondsAfterStopped: &ttl,
	}
	g.Expect(lifecycle.PolicyOf(spec, 10)).To(Equal(lifecycle.Policy{
		Limits: lifecycle.Limits{Idle: 6 * time.Second, Max: 12 * time.Second}, Period: 200 * time.Millisecond, StartTimeout: 12 * time.Second,
		FailureThreshold: 4, IdleClock: v1alpha1.IdleClockObserved, StuckAfter: 6 * time.Second, StuckAction: v1alpha1.StuckStop,
		TTL: 0, Merge: 400 * time.Millisecond,
	}))
	g.Expect(lifecycle.Period(200)).To(Equal(100*time.Millisecond), "never less")
}
