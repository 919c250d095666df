package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestMergeUntil(t *testing.T) {
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
			o := outcome{
				facts:   lifecycle.Facts{Policy: policy, Pulse: lifecycle.Pulse{Status: row.status}, Traffic: lifecycle.Traffic{InUseUntil: row.until}},
				verdict: lifecycle.Verdict{State: row.state}, now: now,
			}
			NewWithT(t).Expect(mergeUntil(old, o)).To(Equal(row.want))
		})
	}
}

// What was answered is told once: an operator that starts again does not know it, and
// leaves what stands there until it does.
func TestPingContract(t *testing.T) {
	now := time.Unix(1795423194, 0)
	told := func(breach lifecycle.Breach, detail string) outcome {
		return outcome{facts: lifecycle.Facts{Pulse: lifecycle.Pulse{Breach: breach, BreachDetail: detail}}, now: now}
	}
	g := NewWithT(t)
	status := &v1alpha1.AgentSessionStatus{State: v1alpha1.StateIdle}
	tell := func(o outcome) metav1.Condition {
		c := pingContract(status, o)
		meta.SetStatusCondition(&status.Conditions, c)
		return c
	}
	first := tell(told(v1alpha1.ReasonStatusUnknown, "GET /ping was answered with the status \"ok\""))
	g.Expect(first).To(And(HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonStatusUnknown), HaveField("Message", HavePrefix("GET /ping was answered with the status \"ok\". "))))
	g.Expect(tell(told(v1alpha1.ReasonStatusUnknown, "")).Message).To(Equal(first.Message))
	g.Expect(tell(told(v1alpha1.ReasonStatusUnknown, "GET /ping was answered with the status \"up\"")).Message).To(HavePrefix("GET /ping was answered with the status \"up\". "))
	g.Expect(tell(told(v1alpha1.ReasonPingConforms, ""))).To(And(HaveField("Status", metav1.ConditionTrue), HaveField("Message", lifecycle.Breach(v1alpha1.ReasonPingConforms).Message(""))))
	g.Expect(tell(told("", "")).Reason).To(Equal(v1alpha1.ReasonPingConforms), "of a compute that is going")
	g.Expect(tell(told(v1alpha1.ReasonTimestampMissing, "")).Status).To(Equal(metav1.ConditionTrue))
	g.Expect(tell(told(v1alpha1.ReasonPingMCP, "")).Status).To(Equal(metav1.ConditionTrue))
	g.Expect(tell(told(v1alpha1.ReasonTimestampAdvances, "")).Status).To(Equal(metav1.ConditionFalse))
	status.State = v1alpha1.StateStarting
	g.Expect(tell(told("", ""))).To(And(HaveField("Status", metav1.ConditionUnknown), HaveField("Reason", v1alpha1.ReasonPingUnknown)))
}
