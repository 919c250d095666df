package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// A clock that was set back by a day holds a report back for one interval, as ever.
func TestTheBudgetAfterTheClockWasSetBack(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	facts := lifecycle.Facts{Policy: policy}
	key := types.NamespacedName{Name: "a"}
	var told reportBudgets
	for range 30 {
		told.pay(key, now, policy)
	}
	status := &v1alpha1.AgentSessionStatus{}
	due := func(now time.Time) time.Time {
		return told.budget(key, status, now, policy).Due(facts, lifecycle.Verdict{})
	}
	g.Expect(due(now)).To(Equal(now.Add(policy.Report)))
	back := now.Add(-24 * time.Hour)
	g.Expect(due(back)).To(Equal(back.Add(policy.Report)))
	g.Expect(due(back.Add(time.Minute))).To(Equal(back.Add(policy.Report)), "and does not move on")
}

// What the last operator may have held back is told at once, and what follows as ever.
func TestTheBudgetOfTheNextOperator(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	facts := lifecycle.Facts{Policy: policy}
	key := types.NamespacedName{Name: "a"}
	status := &v1alpha1.AgentSessionStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonFlapping}}}
	var told reportBudgets
	due := func() time.Time { return told.budget(key, status, now, policy).Due(facts, lifecycle.Verdict{}) }
	g.Expect(due()).To(Equal(now))
	told.pay(key, now, policy)
	g.Expect(due()).To(Equal(now.Add(policy.Report)))
}

// What else is said of a session for a while does not hide from the next operator that its
// reports had to wait.
func TestFlappingOutlastsWhatElseIsSaid(t *testing.T) {
	now := time.Unix(1795423194, 0)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	for name, row := range map[string]struct {
		was    string
		paid   int
		waited time.Duration // since
		wait   string
		want   string
		late   time.Duration // what the next operator reads
	}{
		"all left":                       {"Active", 0, 0, "", "Active", 0},
		"nothing left":                   {v1alpha1.ReasonFlapping, 20, 0, "", v1alpha1.ReasonFlapping, policy.Report},
		"an outage":                      {v1alpha1.ReasonFlapping, 20, 0, v1alpha1.ReasonMassFailure, v1alpha1.ReasonMassFailure, policy.Report},
		"the outage is over":             {v1alpha1.ReasonMassFailure, 20, time.Minute, "", v1alpha1.ReasonFlapping, policy.Report},
		"it is over, and there was none": {v1alpha1.ReasonMassFailure, 0, time.Minute, "", "Active", 0},
		"over for long":                  {v1alpha1.ReasonMassFailure, 20, 3 * time.Minute, "", "Active", 0},
		"over, and room for one only":    {v1alpha1.ReasonFlapping, 20, 3 * time.Minute, "", v1alpha1.ReasonFlapping, policy.Report},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := &AgentSessionReconciler{}
			session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{
				State: v1alpha1.StateActive, Activation: 1, PingStatus: string(contract.HealthyBusy),
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: row.was}},
			}}
			if row.was == v1alpha1.ReasonMassFailure {
				session.Status.Conditions[0].Status = metav1.ConditionFalse
			}
			r.reports.setBudget(types.NamespacedName{}, lifecycle.Reports{})
			for range row.paid {
				r.reports.pay(types.NamespacedName{}, now, policy)
			}
			r.compose(session, session.DeepCopy(), outcome{
				now: now.Add(row.waited), facts: lifecycle.Facts{Policy: policy, Pulse: lifecycle.Pulse{Status: contract.HealthyBusy, HealthyAt: now}},
				verdict: lifecycle.Verdict{State: v1alpha1.StateActive, Activation: 1, Wait: lifecycle.Wait{Reason: row.wait}},
			})
			g.Expect(reasonOf(&session.Status, v1alpha1.ConditionReady)).To(Equal(row.want))
			g.Expect(lifecycle.Staleness(&session.Status, policy)).To(Equal(row.late))
		})
	}
}

// That an agent serves one connection is told with the report of its first good answer. What is
// found out later costs no write by itself, and none of the budget for what else changes.
func TestOneConnectionCostsNoWrite(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a-1", UID: "b"}, Status: corev1.PodStatus{PodIP: "10.0.0.7"}}
	says := func(status contract.Status, connections lifecycle.Connections) outcome {
		state := map[contract.Status]v1alpha1.SessionState{"": v1alpha1.StateStarting, contract.Healthy: v1alpha1.StateIdle, contract.HealthyBusy: v1alpha1.StateActive}[status]
		o := outcome{now: now, pod: pod, facts: lifecycle.Facts{Policy: policy}, verdict: lifecycle.Verdict{State: state, Activation: 1}}
		if status != "" {
			o.facts.Pulse = lifecycle.Pulse{Status: status, Since: now.Add(-time.Hour), HealthyAt: now.Add(-time.Hour), Connections: connections}
		}
		return o
	}
	session := &v1alpha1.AgentSession{}
	report := func(o outcome) v1alpha1.AgentSessionStatus { return statusOf(session, o, 1) }
	session.Status = report(says("", lifecycle.ConnectionsUnknown))
	session.Status = report(says(contract.Healthy, lifecycle.ConnectionsOne))
	g.Expect(session.Status.Pod).To(HaveValue(And(HaveField("IP", "10.0.0.7"), HaveField("OneConnection", true))))

	g.Expect(report(says(contract.Healthy, lifecycle.ConnectionsMany))).To(Equal(session.Status))
	for _, found := range []lifecycle.Connections{lifecycle.ConnectionsMany, lifecycle.ConnectionsUnknown} {
		next := report(says(contract.HealthyBusy, found))
		g.Expect(next.State).To(Equal(v1alpha1.StateActive))
		g.Expect(next.Pod.OneConnection).To(BeFalse())
		g.Expect(agentOnly(&session.Status, &next)).To(BeTrue())
		g.Expect(session.Status.Pod.OneConnection).To(BeTrue(), "it is another copy")
	}
}
