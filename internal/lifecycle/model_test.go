package lifecycle_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// stamps is what an agent sends as time_of_last_update.
type stamps string

const (
	honest       stamps = "honest" // whole seconds of the last change
	missing      stamps = "missing"
	milliseconds stamps = "milliseconds"
	iso8601      stamps = "ISO 8601"
	future       stamps = "future"
	advancing    stamps = "advancing" // now, on every ping
	frozen       stamps = "frozen"    // the creation of the compute, for ever
)

// usable: AgentCore can read them. Whether they are true is another matter.
func (s stamps) usable() bool { return s == honest || s == advancing || s == frozen }

// agent is an agent as it really is. It has one task at most.
type agent struct {
	born   time.Time
	busy   bool
	since  time.Time // when busy last changed
	ended  time.Time // when its journal said that the task had ended
	stamps stamps
	fails  lifecycle.Failure // how it answers no ping; empty if it answers
	mute   bool              // on GET /tasks
}

func newAgent(born time.Time, stamps stamps) agent {
	return agent{born: born, since: born, stamps: stamps}
}

// work lets the agent take up or finish a task.
func (a *agent) work(busy bool, now time.Time) {
	if a.busy != busy {
		a.busy, a.since, a.ended = busy, now, time.Time{}
	}
}

// record has the journal say that the task has ended, which stays noted.
func (a *agent) record(now time.Time) {
	if a.busy && a.ended.IsZero() {
		a.ended = now
	}
}

// tasks is what GET /tasks brings; false if nothing.
func (a *agent) tasks(now time.Time) (contract.Tasks, bool) {
	if a.fails != "" || a.mute {
		return contract.Tasks{}, false
	}
	if !a.busy {
		return contract.Tasks{}, true
	}
	task := contract.RunningTask{Name: "task", Duration: max(0, now.Sub(a.since))}
	if !a.ended.IsZero() {
		task.Ended = new(max(0, now.Sub(a.ended)))
	}
	return contract.Tasks{ActiveCount: 1, RunningJobs: []contract.RunningTask{task}}, true
}

// answer is what one ping of the agent brings.
func (a *agent) answer(now time.Time) lifecycle.Answer {
	if a.fails != "" {
		return lifecycle.Answer{Failure: a.fails, Detail: "it fails"}
	}
	ping := contract.Ping{Status: contract.Healthy, Stamp: contract.StampSeconds}
	if a.busy {
		ping.Status = contract.HealthyBusy
	}
	switch a.stamps {
	case honest:
		ping.UpdatedAt = a.since.Truncate(time.Second)
	case advancing:
		ping.UpdatedAt = now.Truncate(time.Second)
	case frozen:
		ping.UpdatedAt = a.born
	case future:
		ping.UpdatedAt = now.Add(time.Hour).Truncate(time.Second)
	case missing:
		ping.Stamp = contract.StampMissing
	case milliseconds:
		ping.Stamp = contract.StampMilliseconds
	case iso8601:
		ping.Stamp = contract.StampNotANumber
	}
	return lifecycle.Answer{Ping: ping}
}

// reported is what status holds of a pulse: all that outlives an operator.
// The controllers write it at a look and read it after a restart.
type reported struct {
	status                      contract.Status
	since, healthyAt, idleSince time.Time
	finding                     lifecycle.Finding
}

func (r *reported) write(p lifecycle.Pulse, v lifecycle.Verdict) {
	if p.Restored {
		return // nothing new is known before the agent has answered
	}
	*r = reported{p.Status, p.Since, p.HealthyAt, v.IdleSince.Truncate(time.Second), p.Finding}
}

// restore is the pulse that the next operator begins with. seen is when the last one
// was known to be there; zero if nobody knows.
func (r *reported) restore(seen time.Time) lifecycle.Pulse {
	if r.healthyAt.IsZero() {
		return lifecycle.Pulse{}
	}
	status := &v1alpha1.AgentSessionStatus{
		PingStatus: string(r.status), PingStatusSince: &metav1.Time{Time: r.since}, HealthyAt: &metav1.Time{Time: r.healthyAt},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionPingContract, Reason: string(r.finding)}},
	}
	if !r.idleSince.IsZero() {
		status.IdleSince = &metav1.Time{Time: r.idleSince}
	}
	return lifecycle.Restore(status, seen)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
