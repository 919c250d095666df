package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// A clock that was set back by an hour: what was reported before lies in the future, and
// holds nothing back.
func TestReportsAfterTheClockWasSetBack(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	ahead := now.Add(time.Hour)
	policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)
	old := &v1alpha1.AgentSessionStatus{State: v1alpha1.StateIdle, PingStatus: string(contract.Healthy), PingStatusSince: new(metav1.NewTime(ahead))}
	busy := outcome{
		facts:   lifecycle.Facts{Policy: policy, Pulse: lifecycle.Pulse{Status: contract.HealthyBusy}},
		verdict: lifecycle.Verdict{State: v1alpha1.StateActive}, now: now,
	}
	g.Expect(now.Before(busy.coalesceUntil(old))).To(BeFalse())

	session := &v1alpha1.AgentSession{}
	wait := func(told, created time.Time, reason string) outcome {
		return outcome{
			now: now, reportedAt: told, facts: lifecycle.Facts{Policy: policy, Compute: lifecycle.Compute{CreatedAt: created}},
			verdict: lifecycle.Verdict{State: v1alpha1.StateStarting, Activation: 1, Wait: lifecycle.Wait{Reason: reason, Message: "it waits"}},
		}
	}
	session.Status = statusOf(session, wait(time.Time{}, now, ""), 1)
	for _, o := range []outcome{wait(ahead, now, v1alpha1.ReasonUnschedulable), wait(time.Time{}, ahead, v1alpha1.ReasonUnschedulable)} {
		next := statusOf(session, o, 1)
		g.Expect(meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonUnschedulable))
	}
	refuse := func(words string) v1alpha1.AgentSessionStatus {
		o := wait(ahead, now, "")
		o.refusal = &refused{v1alpha1.ReasonPodRefused, words}
		return statusOf(session, o, 1)
	}
	session.Status = refuse("the quota is full")
	next := refuse("the quota is still full")
	g.Expect(meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("still"))
}

// A session that was reported stuck, or not, stands as that until the agent has answered
// the next operator: it may have been idle meanwhile.
func TestStuckOverARestart(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	session := &v1alpha1.AgentSession{Spec: v1alpha1.AgentSessionSpec{StuckDetection: &v1alpha1.StuckDetection{AfterSeconds: 60}}}
	next := &v1alpha1.AgentSessionStatus{State: v1alpha1.StateActive}
	tell := func(restored bool) string {
		pulse := lifecycle.Pulse{Status: contract.HealthyBusy, Since: now.Add(-time.Hour), HealthyAt: now.Add(-time.Hour), AnsweredAt: now, Restored: restored}
		facts := lifecycle.Facts{Policy: lifecycle.PolicyOf(&session.Spec, 1), State: v1alpha1.StateActive, Created: true, Pulse: pulse}
		facts.Compute = lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: now.Add(-time.Hour)}
		c := stuck(next, session, outcome{now: now, facts: facts, verdict: lifecycle.Decide(now, facts)})
		meta.SetStatusCondition(&next.Conditions, c)
		return c.Reason
	}
	meta.SetStatusCondition(&next.Conditions, metav1.Condition{Type: v1alpha1.ConditionStuck, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotStuck})
	g.Expect(tell(true)).To(Equal(v1alpha1.ReasonNotStuck))
	g.Expect(tell(false)).To(Equal(v1alpha1.ReasonBusyTooLong))
	g.Expect(tell(true)).To(Equal(v1alpha1.ReasonBusyTooLong))
}

// What was answered is told once: an operator that starts again does not know it, and
// leaves what stands there until it does.
func TestPingContract(t *testing.T) {
	now := time.Unix(1795423194, 0)
	told := func(finding lifecycle.Finding, detail string) outcome {
		return outcome{facts: lifecycle.Facts{Pulse: lifecycle.Pulse{Finding: finding, FindingDetail: detail}}, now: now}
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
	g.Expect(tell(told(v1alpha1.ReasonPingConforms, ""))).To(And(HaveField("Status", metav1.ConditionTrue), HaveField("Message", lifecycle.Finding(v1alpha1.ReasonPingConforms).Message(""))))
	g.Expect(tell(told("", "")).Reason).To(Equal(v1alpha1.ReasonPingConforms), "of a compute that is going")
	g.Expect(tell(told(v1alpha1.ReasonTimestampMissing, "")).Status).To(Equal(metav1.ConditionTrue))
	g.Expect(tell(told(v1alpha1.ReasonPingMCP, "")).Status).To(Equal(metav1.ConditionTrue))
	g.Expect(tell(told(v1alpha1.ReasonTimestampAdvances, "")).Status).To(Equal(metav1.ConditionFalse))
	status.State = v1alpha1.StateStarting
	g.Expect(tell(told("", ""))).To(And(HaveField("Status", metav1.ConditionUnknown), HaveField("Reason", v1alpha1.ReasonPingUnknown)))
}

// A pod that an operator made and did not report may have ended before it is found: the
// end of the activation before it, and why it is stopped itself, are two things.
func TestAnActivationThatEndsUnreported(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateStopping, Activation: 4,
		Pod:             &v1alpha1.PodStatus{Name: "a-4", UID: "four", CreatedAt: metav1.NewTime(now.Add(-time.Hour))},
		LastTermination: &v1alpha1.Termination{Reason: v1alpha1.StopRequested, Activation: 4},
	}}
	next := statusOf(session, outcome{
		now: now, pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a-5", UID: "five"}},
		facts:   lifecycle.Facts{Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)},
		verdict: lifecycle.Verdict{State: v1alpha1.StateStopping, Activation: 5, Stop: lifecycle.Stop{At: now, Reason: v1alpha1.StopAgentExited}},
	}, 1)
	g.Expect(next.History).To(ConsistOf(And(
		HaveField("Activation", BeEquivalentTo(4)), HaveField("Reason", v1alpha1.StopRequested), HaveField("From", HaveValue(Equal(session.Status.Pod.CreatedAt))))))
	g.Expect(next.LastTermination).To(HaveValue(And(HaveField("Activation", BeEquivalentTo(5)), HaveField("Reason", v1alpha1.StopAgentExited))))
	g.Expect(next.Pod.Name).To(Equal("a-5"))

	session.Status = next
	next = statusOf(session, outcome{
		now: now, facts: lifecycle.Facts{Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)},
		verdict: lifecycle.Verdict{State: v1alpha1.StateStopped, Activation: 5, Stop: lifecycle.Stop{At: now, Reason: v1alpha1.StopAgentExited}},
	}, 1)
	g.Expect(next.History).To(HaveExactElements(HaveField("Activation", BeEquivalentTo(5)), HaveField("Activation", BeEquivalentTo(4))))
}

// Who refuses a pod in other words each time is reported now and then.
func TestARefusalInOtherWords(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	session := &v1alpha1.AgentSession{}
	refuse := func(words string, told time.Time) v1alpha1.AgentSessionStatus {
		return statusOf(session, outcome{
			now: now, reportedAt: told, refusal: &refused{v1alpha1.ReasonPodRefused, words},
			facts:   lifecycle.Facts{Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)},
			verdict: lifecycle.Verdict{State: v1alpha1.StateStarting, Activation: 1},
		}, 1)
	}
	words := func(status v1alpha1.AgentSessionStatus) string {
		return meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).Message
	}
	session.Status = refuse("request 1 is denied", time.Time{})
	g.Expect(words(session.Status)).To(ContainSubstring("request 1"))
	g.Expect(words(refuse("request 2 is denied", now.Add(-9*time.Second)))).To(ContainSubstring("request 1"))
	g.Expect(words(refuse("request 2 is denied", now.Add(-10*time.Second)))).To(ContainSubstring("request 2"))
}

// Time that the cluster's clock says and that did not pass is nobody's: Ready says why a
// session is stopped later than its moments say, and it is in no usage.
func TestTimeThatDidNotPass(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	old := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateIdle, Activation: 1, PingStatus: string(contract.Healthy), PingStatusSince: new(metav1.NewTime(now.Add(-2 * time.Hour))),
		Usage: &v1alpha1.Usage{CountedAt: metav1.NewTime(now.Add(-time.Hour - 10*time.Second)), IdleSeconds: 5},
	}}
	o := outcome{
		now: now, counted: now.Add(-10 * time.Second),
		facts: lifecycle.Facts{
			Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1), Pulse: lifecycle.Pulse{Status: contract.HealthyBusy, HealthyAt: now}, LeftOut: time.Hour,
		},
		verdict: lifecycle.Verdict{State: v1alpha1.StateActive, Activation: 1},
	}
	next := statusOf(old, o, 1)
	g.Expect(next.Usage).To(HaveValue(And(HaveField("IdleSeconds", BeEquivalentTo(15)), HaveField("CountedAt.Time", now))))
	ready := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionReady)
	g.Expect(ready.Message).To(Equal("The agent answers pings. The cluster's clock was set forward by 1h0m0s since the compute was created: that counts for none of its timeouts."))
	o.facts.LeftOut = 0
	next = statusOf(old, o, 1)
	g.Expect(meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionReady).Message).To(Equal("The agent answers pings."))
}
