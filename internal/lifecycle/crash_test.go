package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestCrashLoops(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		ends  []v1alpha1.StopReason // the newest first, 10 minutes between two
		ago   time.Duration         // the newest
		scale int32
		well  time.Duration // for how long it has been healthy; 0: it has stopped
		want  bool
	}{
		"no end":                      {},
		"two crashes":                 {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited"}},
		"three":                       {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited", "AgentExited"}, want: true},
		"three of several kinds":      {ends: []v1alpha1.StopReason{"Unhealthy", "StartTimeout", "StartFailed"}, want: true},
		"three, and good ones before": {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited", "AgentExited", "IdleTimeout"}, want: true},
		"a good one after":            {ends: []v1alpha1.StopReason{"IdleTimeout", "AgentExited", "AgentExited", "AgentExited"}},
		"a good one between":          {ends: []v1alpha1.StopReason{"AgentExited", "IdleTimeout", "AgentExited", "AgentExited"}},
		"the cluster's fault":         {ends: []v1alpha1.StopReason{"ComputeLost", "ComputeLost", "ComputeLost"}},
		"at the end of the hour":      {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited", "AgentExited"}, ago: 40 * time.Minute, want: true},
		"after it":                    {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited", "AgentExited"}, ago: 40*time.Minute + time.Second},
		"and runs":                    {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited", "AgentExited"}, well: 10*time.Minute - time.Second, want: true},
		"and is well":                 {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited", "AgentExited"}, well: 10 * time.Minute},
		"in a scaled time":            {ends: []v1alpha1.StopReason{"AgentExited", "AgentExited", "AgentExited"}, scale: 4},
	} {
		t.Run(name, func(t *testing.T) {
			status := &v1alpha1.AgentSessionStatus{State: v1alpha1.StateStopped, TimeScale: row.scale}
			if row.well > 0 {
				status.State, status.HealthyAt = v1alpha1.StateIdle, new(metav1.NewTime(now.Add(-row.well)))
			}
			for i, reason := range row.ends {
				until := now.Add(-row.ago - time.Duration(i)*10*time.Minute)
				status.History = append(status.History, v1alpha1.PastActivation{Reason: reason, Until: metav1.NewTime(until)})
			}
			NewWithT(t).Expect(lifecycle.CrashLoops(now, status)).To(Equal(row.want))
		})
	}
}
