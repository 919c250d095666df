package controllers

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// told remembers when a report of a session that starts was last written, and what one
// that lives has left for reports. A pod, or an agent, may say another thing every second.
type told struct {
	mu      sync.Mutex
	reports map[types.NamespacedName]time.Time
	budgets map[types.NamespacedName]lifecycle.Reports
}

func (t *told) at(key types.NamespacedName) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reports[key]
}

func (t *told) note(key types.NamespacedName, state v1alpha1.SessionState, now time.Time) {
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

func (t *told) forget(key types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.reports, key)
	delete(t.budgets, key)
}

// budget is what a session has left for reports of its agent. Status says of one that had
// nothing left when another operator wrote it: it has one left, no more.
func (t *told) budget(key types.NamespacedName, old *v1alpha1.AgentSessionStatus, now time.Time, p lifecycle.Policy) lifecycle.Reports {
	t.mu.Lock()
	defer t.mu.Unlock()
	left, known := t.budgets[key]
	switch {
	case known:
		left = left.Bounded(now, p)
	case flapping(old):
		left = lifecycle.SpentReports(now.Add(-p.Report), p) // one is due: it was held back already
	default:
		return left
	}
	t.leave(key, left)
	return left
}

func (t *told) pay(key types.NamespacedName, now time.Time, p lifecycle.Policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(key, t.budgets[key].Pay(now, p))
}

func (t *told) leave(key types.NamespacedName, left lifecycle.Reports) {
	if t.budgets == nil {
		t.budgets = map[types.NamespacedName]lifecycle.Reports{}
	}
	t.budgets[key] = left
}

// flapping tells whether reports of a session's agent had to wait.
func flapping(status *v1alpha1.AgentSessionStatus) bool {
	return reasonOf(status, v1alpha1.ConditionReady) == v1alpha1.ReasonFlapping
}

// lateness is by how much what status says of an agent may be out of date. Of one that is
// silent in an outage it does not say whether its reports had to wait.
func lateness(status *v1alpha1.AgentSessionStatus, p lifecycle.Policy) time.Duration {
	if flapping(status) || reasonOf(status, v1alpha1.ConditionReady) == v1alpha1.ReasonMassFailure {
		return p.Report
	}
	return 0
}

// agentOnly tells whether two reports of a session that lives differ in nothing but
// what its agent does. Whether it is Ready is more than that.
func agentOnly(old, next *v1alpha1.AgentSessionStatus) bool {
	runs := func(s *v1alpha1.AgentSessionStatus) bool {
		return s.State == v1alpha1.StateActive || s.State == v1alpha1.StateIdle
	}
	same := *next
	same.State, same.PingStatus, same.PingStatusSince = old.State, old.PingStatus, old.PingStatusSince
	same.IdleSince, same.NextStop, same.Usage, same.Reserved, same.Conditions = old.IdleSince, old.NextStop, old.Usage, old.Reserved, old.Conditions
	return runs(old) && runs(next) && equality.Semantic.DeepEqual(*old, same) &&
		meta.IsStatusConditionTrue(old.Conditions, v1alpha1.ConditionReady) == meta.IsStatusConditionTrue(next.Conditions, v1alpha1.ConditionReady)
}

// tellAt is when another thing that keeps a session from starting may be told; zero
// if there is nothing new. A start that is over soon costs no write for it.
func tellAt(old *v1alpha1.AgentSessionStatus, o outcome) time.Time {
	was := meta.FindStatusCondition(old.Conditions, v1alpha1.ConditionReady)
	wait := o.verdict.Wait
	if was == nil || old.State != v1alpha1.StateStarting || o.verdict.State != v1alpha1.StateStarting || o.refusal != nil {
		return time.Time{}
	}
	reason := wait.Reason
	if reason == "" {
		reason = string(v1alpha1.StateStarting)
	}
	same := reason == was.Reason && (wait.Reason == "" || wait.Container == "" || strings.Contains(was.Message, strconv.Quote(wait.Container)))
	if same || lifecycle.Refuses(was.Reason) {
		return time.Time{}
	}
	return o.tellAgain()
}

// tellAgain is when another thing may be told, after the last one, or after the creation
// of the pod. That it cannot be created is told within the same time.
func (o outcome) tellAgain() time.Time {
	last := o.told
	if o.facts.Unmade != "" {
		return last.Add(o.facts.Policy.Tell / 2)
	}
	if created := o.facts.Compute.CreatedAt; created.After(last) {
		last = created
	}
	return lifecycle.Until(o.now, last, o.facts.Policy.Tell)
}

// refusedAgain: for a reason that was told a moment ago. Who refuses may say it in other
// words each time, and each write is a reason to look again.
func (o outcome) refusedAgain(reason string) bool {
	return o.refusal != nil && o.refusal.reason == reason && o.now.Before(lifecycle.Until(o.now, o.told, o.facts.Policy.Tell))
}

// worthTelling takes back what alone is worth no write while a session starts: its next
// stop, and the words of the condition Ready unless another thing keeps it.
func worthTelling(old *v1alpha1.AgentSessionStatus, next v1alpha1.AgentSessionStatus, o outcome) v1alpha1.AgentSessionStatus {
	was := meta.FindStatusCondition(old.Conditions, v1alpha1.ConditionReady)
	if was == nil || old.State != v1alpha1.StateStarting || next.State != v1alpha1.StateStarting {
		return next
	}
	if refused := o.refusal != nil || lifecycle.Refuses(was.Reason); refused && !o.refusedAgain(was.Reason) {
		return next
	}
	if at := tellAt(old, o); !at.IsZero() && !o.now.Before(at) {
		return next
	}
	same := *next.DeepCopy()
	same.NextStop = old.NextStop
	meta.SetStatusCondition(&same.Conditions, *was)
	if equality.Semantic.DeepEqual(*old, same) {
		return same
	}
	return next
}
