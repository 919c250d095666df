package lifecycle

import (
	"strconv"
	"strings"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// CoalesceUntil is until when the report of a living session stands before a change is
// written; zero if it is written at once. A flapping agent costs a write every few seconds,
// not at every ping, and a call that is over in a few seconds, for which a gateway took a
// lease, none that says that it is there.
func CoalesceUntil(now time.Time, old *v1alpha1.AgentSessionStatus, f Facts, next v1alpha1.SessionState) time.Time {
	switch {
	case old.PingStatus == "", next != v1alpha1.StateActive && next != v1alpha1.StateIdle:
		return time.Time{}
	case old.PingStatus != string(f.Pulse.Status):
		var since time.Time
		if old.PingStatusSince != nil {
			since = old.PingStatusSince.Time
		}
		return Until(now, since, f.Policy.Merge)
	case old.State == v1alpha1.StateIdle && next == v1alpha1.StateActive:
		if leased := f.LeasedAt(); !leased.After(now) { // or the timeout was another then
			return leased.Add(f.Policy.Merge)
		}
	}
	return time.Time{}
}

// StartProgress is what is known of a session that may be starting, at a look at it.
type StartProgress struct {
	// Old is what was reported.
	Old *v1alpha1.AgentSessionStatus
	// ReportedAt is when something was last reported of the start; zero if nobody knows.
	ReportedAt time.Time
	Facts      Facts
	Verdict    Verdict
	// Refusal is the reason for which its compute cannot be had; empty if nothing refuses it.
	Refusal string
}

// NotAnswered are the words of a try to make a pod that ended before the API server had said
// anything. What it says later, as the name of the webhook, is told then.
const NotAnswered = "the API server has not answered"

// Due is when another thing that keeps the session from starting may be reported; zero if
// there is nothing new. A start that is over soon costs no write for it.
func (p StartProgress) Due(now time.Time) time.Time {
	reason, message := p.reported()
	wait := p.Verdict.Wait
	if reason == "" || !p.starts() || p.Refusal != "" {
		return time.Time{}
	}
	next := wait.Reason
	if next == "" {
		next = string(v1alpha1.StateStarting)
	}
	answered := strings.Contains(message, NotAnswered) && !strings.Contains(wait.Message, NotAnswered)
	same := next == reason && !answered && (wait.Reason == "" || wait.Container == "" || strings.Contains(message, strconv.Quote(wait.Container)))
	if same || Refuses(reason) {
		return time.Time{}
	}
	return p.again(now)
}

// again is when another thing may be reported, after the last one, or after the creation
// of the pod. That it cannot be created is reported within the same time.
func (p StartProgress) again(now time.Time) time.Time {
	last := p.ReportedAt
	if p.Facts.Unmade != "" {
		return last.Add(p.Facts.Policy.Tell / 2)
	}
	if created := p.Facts.Compute.CreatedAt; created.After(last) {
		last = created
	}
	return Until(now, last, p.Facts.Policy.Tell)
}

// Reportable tells whether its next stop, and the words of the condition Ready, are worth a
// write by themselves: another thing keeps it from starting, or what refuses it says
// something else.
func (p StartProgress) Reportable(now time.Time) bool {
	reason, _ := p.reported()
	if reason == "" || !p.starts() {
		return true
	}
	if refused := p.Refusal != "" || Refuses(reason); refused && !p.refusedAgain(now, reason) {
		return true
	}
	due := p.Due(now)
	return !due.IsZero() && !now.Before(due)
}

// refusedAgain: for a reason that was reported a moment ago. Who refuses may say it in other
// words each time, and each write is a reason to look again.
func (p StartProgress) refusedAgain(now time.Time, reason string) bool {
	return p.Refusal == reason && now.Before(Until(now, p.ReportedAt, p.Facts.Policy.Tell))
}

// starts: it was Starting, and is.
func (p StartProgress) starts() bool {
	return p.Old.State == v1alpha1.StateStarting && p.Verdict.State == v1alpha1.StateStarting
}

// reported are the reason and the message of the condition Ready; empty if there is none.
func (p StartProgress) reported() (reason, message string) {
	for _, c := range p.Old.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Reason, c.Message
		}
	}
	return "", ""
}
