package explain

import (
	"cmp"
	"strconv"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// none is a cell without anything.
const none = "-"

// Row is a session in a table.
type Row struct {
	Namespace, Name, Runtime, State, Ping, Since, Next, Why string
	// Activation and those after it are for wide tables.
	Activation, Pod, Node, Age, CPUSeconds, ActiveCPUSeconds, IdleCPUSeconds, GBSeconds, SessionID string
	// Alarming tells that somebody should look at it.
	Alarming bool
	// SinceAt is when it came into its state, and NextAt when what comes next is due; zero if
	// nobody knows. NextWhat names that, and is empty if nothing comes.
	SinceAt, NextAt time.Time
	NextWhat        string
}

// RowOf is a session at a moment.
func RowOf(now time.Time, session *v1alpha1.AgentSession) Row {
	s := &session.Status
	row := Row{
		Namespace: session.Namespace, Name: session.Name, Runtime: none, State: cmp.Or(string(s.State), none),
		Ping: cmp.Or(lifecycle.Printable(s.PingStatus), none), SinceAt: since(session), Why: whyOf(session),
		Activation: strconv.Itoa(int(s.Activation)), Pod: none, Node: none, Age: briefStop(now.Sub(session.CreationTimestamp.Time)),
		CPUSeconds: none, ActiveCPUSeconds: none, IdleCPUSeconds: none, GBSeconds: none,
		SessionID: cmp.Or(lifecycle.Line(cmp.Or(session.Spec.RuntimeSessionID, s.RuntimeSessionID), maxShort), none),
	}
	row.Alarming = alarming(session, row.Why)
	row.Since = briefStop(now.Sub(row.SinceAt))
	row.NextAt, row.NextWhat = nextOf(now, session)
	row.Next = countdown(now, row.NextAt, row.NextWhat)
	if ref := session.Spec.RuntimeRef; ref != nil {
		row.Runtime = lifecycle.Printable(ref.Name)
	}
	if s.Reserved != nil {
		reserved := lifecycle.ReservedBy(now, s)
		row.CPUSeconds, row.GBSeconds = Amounts(lifecycle.TotalOf(reserved))
		row.ActiveCPUSeconds, _ = Amounts(reserved.Active)
		row.IdleCPUSeconds, _ = Amounts(reserved.Idle)
	}
	if s.Pod != nil {
		row.Pod, row.Node = lifecycle.Printable(s.Pod.Name), cmp.Or(lifecycle.Printable(s.Pod.Node), none)
	}
	return row
}

// nextOf is what comes next, and when.
func nextOf(now time.Time, session *v1alpha1.AgentSession) (at time.Time, what string) {
	s := &session.Status
	switch {
	case session.DeletionTimestamp != nil:
		return time.Time{}, "deletion"
	case s.State == v1alpha1.StateStopped && lifecycle.PhaseOf(session) == lifecycle.PhaseStarting:
		return time.Time{}, "start"
	case s.State == v1alpha1.StateStopped:
		ttl := session.Spec.TTLSecondsAfterStopped
		if ttl == nil || s.LastTermination == nil || s.LastTermination.At == nil {
			return time.Time{}, ""
		}
		return s.LastTermination.At.Add(seconds(int64(*ttl)) / time.Duration(max(s.TimeScale, 1))), "deletion"
	case s.NextStop == nil:
		return time.Time{}, ""
	case startsNormally(now, session):
		return readyBy(session), "must be ready"
	}
	return s.NextStop.At.Time, string(s.NextStop.Reason)
}

// countdown says in how long something is due.
func countdown(now, at time.Time, what string) string {
	switch left := at.Sub(now); {
	case what == "":
		return none
	case at.IsZero():
		return what
	case left > 0:
		return what + " in " + briefStop(left)
	}
	return what + " is due"
}

// whyOf is in few words why a session is what it is.
func whyOf(session *v1alpha1.AgentSession) string {
	s := &session.Status
	if c := troubled(s); c != nil {
		return c.Reason
	}
	switch s.State {
	case v1alpha1.StateActive:
		switch {
		case stuck(s):
			return "Stuck"
		case s.PingStatus == string(contract.HealthyBusy):
			return string(contract.HealthyBusy)
		}
		return "Call"
	case v1alpha1.StateIdle:
		if reasonIs(s, v1alpha1.ConditionPingContract, v1alpha1.ReasonTimestampAdvances) {
			return v1alpha1.ReasonTimestampAdvances
		}
	case v1alpha1.StateStopping, v1alpha1.StateStopped:
		if s.LastTermination != nil {
			return string(s.LastTermination.Reason)
		}
	case v1alpha1.StateStarting:
	}
	return none
}

func alarming(session *v1alpha1.AgentSession, why string) bool {
	law, stopped := stopRules[v1alpha1.StopReason(why)]
	advances := session.Status.State == v1alpha1.StateIdle && why == v1alpha1.ReasonTimestampAdvances
	return troubled(&session.Status) != nil || stuck(&session.Status) && !stopped || advances || stopped && law.fault
}

// BusyFor is for how long a session's agent has said HealthyBusy; zero if it does not.
func BusyFor(now time.Time, session *v1alpha1.AgentSession) time.Duration {
	s := &session.Status
	if s.State != v1alpha1.StateActive || s.PingStatus != string(contract.HealthyBusy) || s.PingStatusSince == nil {
		return 0
	}
	return now.Sub(s.PingStatusSince.Time)
}
