package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
	var told told
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
	var told told
	due := func() time.Time { return told.budget(key, status, now, policy).Due(facts, lifecycle.Verdict{}) }
	g.Expect(due()).To(Equal(now))
	told.pay(key, now, policy)
	g.Expect(due()).To(Equal(now.Add(policy.Report)))
}
