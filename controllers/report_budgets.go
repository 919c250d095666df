package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// reportBudgets remembers when a report of a session that starts was last written, and what one
// that lives has left for reports. A pod, or an agent, may say another thing every second.
type reportBudgets struct {
	mu      sync.Mutex
	reports map[types.NamespacedName]time.Time
	budgets map[types.NamespacedName]lifecycle.Reports
}

func (t *reportBudgets) lastReport(key types.NamespacedName) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reports[key]
}

func (t *reportBudgets) note(key types.NamespacedName, state v1alpha1.SessionState, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if state != v1alpha1.StateStarting {
		delete(t.reports, key)
		return
	}
	if t.reports == nil {
		t.reports = map[types.NamespacedName]time.Time{}
	}
	t.reports[key] = now
}

func (t *reportBudgets) forget(key types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.reports, key)
	delete(t.budgets, key)
}

// budget is what a session has left for reports of its agent. Status says of one that had
// nothing left when another operator wrote it: it has one left, no more.
func (t *reportBudgets) budget(key types.NamespacedName, old *v1alpha1.AgentSessionStatus, now time.Time, p lifecycle.Policy) lifecycle.Reports {
	t.mu.Lock()
	defer t.mu.Unlock()
	left, known := t.budgets[key]
	if left = left.Bounded(now, p); !known {
		left = lifecycle.RestoreReports(now, old, p)
	}
	if known || left != (lifecycle.Reports{}) {
		t.setBudget(key, left)
	}
	return left
}

func (t *reportBudgets) pay(key types.NamespacedName, now time.Time, p lifecycle.Policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setBudget(key, t.budgets[key].Pay(now, p))
}

func (t *reportBudgets) setBudget(key types.NamespacedName, left lifecycle.Reports) {
	if t.budgets == nil {
		t.budgets = map[types.NamespacedName]lifecycle.Reports{}
	}
	t.budgets[key] = left
}

// agentOnly tells whether two reports of a session that lives differ in nothing but
// what its agent does. Whether it is Ready is more than that.
func agentOnly(old, next *v1alpha1.AgentSessionStatus) bool {
	runs := func(s *v1alpha1.AgentSessionStatus) bool {
		return s.State == v1alpha1.StateActive || s.State == v1alpha1.StateIdle
	}
	same := keepConnections(old, *next)
	same.State, same.PingStatus, same.PingStatusSince = old.State, old.PingStatus, old.PingStatusSince
	same.IdleSince, same.NextStop, same.Usage, same.Reserved, same.Conditions = old.IdleSince, old.NextStop, old.Usage, old.Reserved, old.Conditions
	return runs(old) && runs(next) && equality.Semantic.DeepEqual(*old, same) &&
		meta.IsStatusConditionTrue(old.Conditions, v1alpha1.ConditionReady) == meta.IsStatusConditionTrue(next.Conditions, v1alpha1.ConditionReady)
}

// progress is what the rules of a start's reports go by.
func (o outcome) progress(old *v1alpha1.AgentSessionStatus) lifecycle.StartProgress {
	p := lifecycle.StartProgress{Old: old, ReportedAt: o.reportedAt, Facts: o.facts, Verdict: o.verdict}
	if o.refusal != nil {
		p.Refusal = o.refusal.reason
	}
	return p
}

// unchanged takes back what alone is worth no write while a session starts: its next stop,
// and the condition Ready.
func unchanged(old *v1alpha1.AgentSessionStatus, next v1alpha1.AgentSessionStatus) v1alpha1.AgentSessionStatus {
	same := *next.DeepCopy()
	same.NextStop = old.NextStop
	meta.SetStatusCondition(&same.Conditions, *meta.FindStatusCondition(old.Conditions, v1alpha1.ConditionReady))
	if equality.Semantic.DeepEqual(*old, same) {
		return same
	}
	return next
}

// withConnections tells how many connections an agent serves together with another change only:
// that is worth no write by itself.
func withConnections(old *v1alpha1.AgentSessionStatus, next v1alpha1.AgentSessionStatus) v1alpha1.AgentSessionStatus {
	if same := keepConnections(old, next); same.Pod != next.Pod && equality.Semantic.DeepEqual(*old, same) {
		return same
	}
	return next
}

// keepConnections leaves in a report what the old one says of an agent's connections.
func keepConnections(old *v1alpha1.AgentSessionStatus, next v1alpha1.AgentSessionStatus) v1alpha1.AgentSessionStatus {
	if old.Pod != nil && next.Pod != nil && old.Pod.OneConnection != next.Pod.OneConnection {
		next.Pod = next.Pod.DeepCopy()
		next.Pod.OneConnection = old.Pod.OneConnection
	}
	return next
}
