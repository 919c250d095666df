package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestCoalesceUntil(t *testing.T) {
	now := time.Unix(1795423194, 0)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1) // an idle timeout of 900 s, reports 4 s apart
	for name, row := range map[string]struct {
		old    v1alpha1.SessionState
		state  v1alpha1.SessionState
		status contract.Status
		until  time.Time // of the lease
		want   time.Time
	}{
		"nothing new":                     {v1alpha1.StateIdle, v1alpha1.StateIdle, contract.Healthy, time.Time{}, time.Time{}},
		"busy now":                        {v1alpha1.StateIdle, v1alpha1.StateActive, contract.HealthyBusy, time.Time{}, now.Add(4 * time.Second)},
		"a call that a lease was got for": {v1alpha1.StateIdle, v1alpha1.StateActive, contract.Healthy, now.Add(449 * time.Second), now.Add(3 * time.Second)},
		"a lease of a longer timeout":     {v1alpha1.StateIdle, v1alpha1.StateActive, contract.Healthy, now.Add(time.Hour), time.Time{}},
		"a call that is over":             {v1alpha1.StateActive, v1alpha1.StateIdle, contract.Healthy, time.Time{}, time.Time{}},
		"a stop":                          {v1alpha1.StateIdle, v1alpha1.StateStopping, contract.HealthyBusy, time.Time{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			old := &v1alpha1.AgentSessionStatus{State: row.old, PingStatus: string(contract.Healthy), PingStatusSince: new(metav1.NewTime(now))}
			f := lifecycle.Facts{Policy: policy, Pulse: lifecycle.Pulse{Status: row.status}, Traffic: lifecycle.Traffic{InUseUntil: row.until}}
			NewWithT(t).Expect(lifecycle.CoalesceUntil(now, old, f, row.state)).To(Equal(row.want))
		})
	}
}

// A clock that was set back by an hour: what was reported before holds nothing back.
func TestCoalesceAfterTheClockWasSetBack(t *testing.T) {
	now := time.Unix(1795423194, 0)
	old := &v1alpha1.AgentSessionStatus{State: v1alpha1.StateIdle, PingStatus: string(contract.Healthy), PingStatusSince: new(metav1.NewTime(now.Add(time.Hour)))}
	f := lifecycle.Facts{Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1), Pulse: lifecycle.Pulse{Status: contract.HealthyBusy}}
	NewWithT(t).Expect(lifecycle.CoalesceUntil(now, old, f, v1alpha1.StateActive)).To(Equal(now))
}

func TestStartProgress(t *testing.T) {
	now := time.Unix(1795423194, 0)
	const tell = 10 * time.Second
	starting, refused := string(v1alpha1.StateStarting), v1alpha1.ReasonPodRefused
	pulls := lifecycle.Wait{Reason: v1alpha1.ReasonImagePullFailed, Container: "agent", Message: "it waits"}
	for name, row := range map[string]struct {
		state, next v1alpha1.SessionState // Starting, if they are empty
		reason      string                // reported
		message     string
		told        time.Duration // since then
		created     time.Duration
		wait        lifecycle.Wait
		refusal     string
		unmade      string
		due         time.Duration // from now; 0 is none
		reportable  bool
	}{
		"first report":                          {reason: "", reportable: true},
		"nothing new":                           {reason: starting},
		"a reason, at once after the last":      {reason: starting, told: time.Second, created: time.Minute, wait: pulls, due: tell - time.Second},
		"a reason, 10 s after the last":         {reason: starting, told: tell, created: time.Minute, wait: pulls, due: 0 - time.Nanosecond, reportable: true},
		"a reason, of a young pod":              {reason: starting, told: time.Minute, created: 4 * time.Second, wait: pulls, due: tell - 4*time.Second},
		"the same of the same container":        {reason: pulls.Reason, message: `container "agent" waits`, told: time.Minute, created: time.Minute, wait: pulls},
		"the same of another container":         {reason: pulls.Reason, message: `container "init" waits`, told: time.Second, created: time.Minute, wait: pulls, due: tell - time.Second},
		"the reason is gone":                    {reason: pulls.Reason, told: time.Second, created: time.Minute, due: tell - time.Second},
		"its pod cannot be made":                {reason: starting, told: time.Second, wait: lifecycle.Wait{Reason: v1alpha1.ReasonPodNotMade}, unmade: "500", due: tell/2 - time.Second},
		"the API server says why now":           {reason: v1alpha1.ReasonPodNotMade, message: lifecycle.NotAnswered + " within 5s", told: tell / 2, wait: lifecycle.Wait{Reason: v1alpha1.ReasonPodNotMade, Message: "a webhook"}, unmade: "a webhook", due: 0 - time.Nanosecond, reportable: true},
		"it says nothing again":                 {reason: v1alpha1.ReasonPodNotMade, message: lifecycle.NotAnswered + " within 5s", told: time.Minute, wait: lifecycle.Wait{Reason: v1alpha1.ReasonPodNotMade, Message: lifecycle.NotAnswered + " within 40s"}, unmade: "so"},
		"it says something else":                {reason: v1alpha1.ReasonPodNotMade, message: "a webhook", told: time.Minute, wait: lifecycle.Wait{Reason: v1alpha1.ReasonPodNotMade, Message: "another"}, unmade: "another"},
		"it says nothing any more":              {reason: v1alpha1.ReasonPodNotMade, message: "a webhook", told: time.Minute, wait: lifecycle.Wait{Reason: v1alpha1.ReasonPodNotMade, Message: lifecycle.NotAnswered}, unmade: "so"},
		"it lives now":                          {next: v1alpha1.StateIdle, reason: starting, wait: pulls, reportable: true},
		"it was stopped before":                 {state: v1alpha1.StateStopped, reason: starting, wait: pulls, reportable: true},
		"refused for the first time":            {reason: starting, refusal: refused, reportable: true},
		"refused again a moment later":          {reason: refused, told: 9 * time.Second, refusal: refused},
		"refused again 10 s later":              {reason: refused, told: tell, refusal: refused, reportable: true},
		"refused for another reason":            {reason: refused, told: time.Second, refusal: v1alpha1.ReasonRuntimeNotFound, reportable: true},
		"refused no more":                       {reason: refused, told: time.Second, wait: pulls, reportable: true},
		"told in the future, by an older clock": {reason: refused, told: -time.Hour, refusal: refused, reportable: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := lifecycle.StartProgress{
				Old: &v1alpha1.AgentSessionStatus{State: row.state}, ReportedAt: now.Add(-row.told), Refusal: row.refusal,
				Facts: lifecycle.Facts{
					Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1), Unmade: row.unmade,
					Compute: lifecycle.Compute{CreatedAt: now.Add(-row.created)},
				},
				Verdict: lifecycle.Verdict{State: row.next, Wait: row.wait},
			}
			if row.reason != "" {
				p.Old.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: row.reason, Message: row.message}}
			}
			if row.state == "" {
				p.Old.State = v1alpha1.StateStarting
			}
			if row.next == "" {
				p.Verdict.State = v1alpha1.StateStarting
			}
			switch due := p.Due(now); {
			case row.due == 0:
				g.Expect(due).To(BeZero())
			case row.due < 0:
				g.Expect(due).To(BeTemporally("<=", now))
			default:
				g.Expect(due).To(Equal(now.Add(row.due)))
			}
			g.Expect(p.Reportable(now)).To(Equal(row.reportable))
		})
	}
}
