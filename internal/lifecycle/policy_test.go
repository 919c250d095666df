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
		"37: only max, a second below it":      {&v1alpha1.LifecycleConfiguration{MaxLifetime: 899}, 899, 899},
		"37: only max, a second above it":      {&v1alpha1.LifecycleConfiguration{MaxLifetime: 901}, 900, 901},
		"37: only max, the least":              {&v1alpha1.LifecycleConfiguration{MaxLifetime: 60}, 60, 60},
		"37: only max, the most":               {&v1alpha1.LifecycleConfiguration{MaxLifetime: 28800}, 900, 28800},
		"37: only idle, the most":              {&v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 28800}, 28800, 28800},
		"38: idle over max, past admission":    {&v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 700, MaxLifetime: 600}, 600, 600},
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
		Check: v1alpha1.PingCheckHTTP, Limits: lifecycle.Limits{Idle: 15 * time.Minute, Max: 8 * time.Hour}, Period: 2 * time.Second,
		Provisioning: 10 * time.Minute, StartTimeout: 2 * time.Minute,
		FailureThreshold: 15, Lease: 450 * time.Second, BusySilence: 15 * time.Minute, IdleClock: v1alpha1.IdleClockAgentCore, TTL: -1, StorageKept: 14 * 24 * time.Hour, Merge: 4 * time.Second, Report: 3 * time.Minute, Tell: 10 * time.Second,
	}))

	ttl := int32(0)
	spec := &v1alpha1.AgentSessionSpec{
		LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 120},
		Ping:                   v1alpha1.PingSpec{FailureThreshold: 4, IdleClock: v1alpha1.IdleClockObserved},
		StuckDetection:         &v1alpha1.StuckDetection{AfterSeconds: 60, Action: v1alpha1.StuckStop},
		TTLSecondsAfterStopped: &ttl, ProvisioningTimeoutSeconds: 60,
	}
	g.Expect(lifecycle.PolicyOf(spec, 10)).To(Equal(lifecycle.Policy{
		Check: v1alpha1.PingCheckHTTP, Limits: lifecycle.Limits{Idle: 6 * time.Second, Max: 12 * time.Second}, Period: 200 * time.Millisecond,
		Provisioning: 6 * time.Second, StartTimeout: 20 * time.Second,
		FailureThreshold: 4, Lease: 3 * time.Second, BusySilence: 90 * time.Second, IdleClock: v1alpha1.IdleClockObserved, StuckAfter: 6 * time.Second, StuckAction: v1alpha1.StuckStop,
		TTL: 0, StorageKept: 14 * 24 * 6 * time.Minute, Merge: 400 * time.Millisecond, Report: 18 * time.Second, Tell: time.Second,
	}))
}

// TestTheScaleDividesEveryDuration, and asks no agent more than ten times a second, nor wants
// one to start in less than 20 s.
func TestTheScaleDividesEveryDuration(t *testing.T) {
	ttl := int32(600)
	spec := &v1alpha1.AgentSessionSpec{
		StuckDetection:         &v1alpha1.StuckDetection{AfterSeconds: 300, Action: v1alpha1.StuckReport},
		TTLSecondsAfterStopped: &ttl,
	}
	for _, row := range []struct {
		scale                                                           int
		idle, max, provisioning, start, stuck, ttl, merge, tell, period time.Duration
	}{
		{
			scale: 1, idle: 15 * time.Minute, max: 8 * time.Hour, provisioning: 10 * time.Minute, start: 2 * time.Minute,
			stuck: 5 * time.Minute, ttl: 10 * time.Minute, merge: 4 * time.Second, tell: 10 * time.Second, period: 2 * time.Second,
		},
		{
			scale: 12, idle: 75 * time.Second, max: 40 * time.Minute, provisioning: 50 * time.Second, start: 20 * time.Second,
			stuck: 25 * time.Second, ttl: 50 * time.Second, merge: 333_333_333, tell: 833_333_333, period: 166_666_666,
		},
		{
			scale: 20, idle: 45 * time.Second, max: 24 * time.Minute, provisioning: 30 * time.Second, start: 20 * time.Second,
			stuck: 15 * time.Second, ttl: 30 * time.Second, merge: 200 * time.Millisecond, tell: 500 * time.Millisecond, period: 100 * time.Millisecond,
		},
		{
			scale: 1000, idle: 900 * time.Millisecond, max: 28800 * time.Millisecond, provisioning: 600 * time.Millisecond, start: 20 * time.Second,
			stuck: 300 * time.Millisecond, ttl: 600 * time.Millisecond, merge: 4 * time.Millisecond, tell: 10 * time.Millisecond, period: 100 * time.Millisecond,
		},
	} {
		g := NewWithT(t)
		p := lifecycle.PolicyOf(spec, row.scale)
		g.Expect([]time.Duration{p.Idle, p.Max, p.Provisioning, p.StartTimeout, p.StuckAfter, p.TTL, p.Merge, p.Tell, p.Period}).
			To(Equal([]time.Duration{row.idle, row.max, row.provisioning, row.start, row.stuck, row.ttl, row.merge, row.tell, row.period}), "scale %d", row.scale)
		g.Expect(p.FailureThreshold).To(Equal(15), "a number of pings, not a duration")
		g.Expect(lifecycle.Period(row.scale)).To(Equal(row.period))
	}
}

func TestOverdue(t *testing.T) {
	g := NewWithT(t)
	due := time.Unix(1795423194, 0)
	g.Expect(lifecycle.Overdue(due.Add(-time.Hour), due)).To(BeFalse())
	g.Expect(lifecycle.Overdue(due.Add(time.Minute), due)).To(BeFalse())
	g.Expect(lifecycle.Overdue(due.Add(time.Minute+time.Second), due)).To(BeTrue())
}
