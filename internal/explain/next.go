package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// next says what will happen next, and when.
func (l *life) next() []string {
	switch l.status.State {
	case v1alpha1.StateStarting:
		return l.nextOfStart()
	case v1alpha1.StateActive, v1alpha1.StateIdle:
		return l.nextOfLiving()
	case v1alpha1.StateStopping:
		if l.phase == lifecycle.PhaseStarting {
			return []string{"Its next activation starts, as soon as nothing keeps it."}
		}
		return []string{"It is Stopped as soon as its pod is gone."}
	case v1alpha1.StateStopped:
		return l.nextOfStopped()
	}
	if lifecycle.Overdue(l.now, l.Session.CreationTimestamp.Time) {
		return []string{"Nothing, as long as no operator looks at it. That takes a second where one runs."}
	}
	return []string{"The operator looks at it, and starts it if spec.desiredState is Running."}
}

// foreseen is the next stop.
func (l *life) foreseen() string {
	stop := l.status.NextStop
	when := future(l.now, stop.At.Time)
	if late := l.now.Sub(stop.At.Time); late >= 0 {
		when = fmt.Sprintf("was due at %s, %s ago", clock(l.now, stop.At.Time), span(late))
		if lifecycle.Overdue(l.now, stop.At.Time) {
			return fmt.Sprintf("%s %s, and has not come. Look whether an operator runs.", stop.Reason, when)
		}
		if stop.Reason == v1alpha1.StopIdleTimeout {
			return fmt.Sprintf("%s %s. It waits for an answer of the agent that is good and fresh.", stop.Reason, when)
		}
	}
	return fmt.Sprintf("%s %s.", stop.Reason, when)
}

// asked is what was asked of a session that lives, which goes before all else; empty if
// nothing was.
func (l *life) asked() string {
	spec := &l.Session.Spec
	switch {
	case l.Session.DeletionTimestamp != nil:
		return "It is stopped at once (StopRequested), and is gone then."
	case spec.DesiredState == v1alpha1.DesiredStopped:
		return "It is stopped at once (StopRequested): spec.desiredState is Stopped."
	case spec.Activation > l.status.Activation:
		return fmt.Sprintf("Its compute is replaced at once: spec.activation asks for activation %d.", spec.Activation)
	}
	return ""
}

func (l *life) nextOfLiving() (lines []string) {
	if asked := l.asked(); asked != "" {
		return []string{asked}
	}
	if stop := l.status.NextStop; stop != nil {
		lines = append(lines, l.foreseen())
		if l.now.Before(stop.At.Time) {
			lines[0] += l.ruleOf(stop.Reason)
		}
	}
	if l.inUse() {
		lines = append(lines, fmt.Sprintf("The call in flight holds it Active until %s at least. Its gateway moves that on while the call lasts.", clock(l.now, l.status.Traffic.InUseUntil.Time)))
	}
	if at := l.stuckAt(); at.After(l.now) && !l.isNext(v1alpha1.StopStuckBusy) && !stuck(l.status) {
		lines = append(lines, fmt.Sprintf("It is reported as stuck %s, if it is still HealthyBusy then.", future(l.now, at)))
	}
	if l.status.Pod != nil && !l.isNext(v1alpha1.StopMaxLifetime) {
		at := l.status.Pod.CreatedAt.Add(l.policy.Max)
		lines = append(lines, fmt.Sprintf("MaxLifetime comes at the latest, whatever it does: %s.", future(l.now, at)))
	}
	return lines
}

func (l *life) ruleOf(reason v1alpha1.StopReason) string {
	switch reason {
	case v1alpha1.StopIdleTimeout:
		return fmt.Sprintf(" It has had no work for %s then.", span(l.policy.Idle))
	case v1alpha1.StopMaxLifetime:
		return fmt.Sprintf(" Its compute has lived for %s then, and nothing extends that.", span(l.policy.Max))
	case v1alpha1.StopStuckBusy:
		return fmt.Sprintf(" Its agent has said HealthyBusy for %s then, and stuckDetection.action is Stop.", span(l.policy.StuckAfter))
	case v1alpha1.StopRequested, v1alpha1.StopUnhealthy, v1alpha1.StopStartTimeout, v1alpha1.StopStartFailed, v1alpha1.StopAgentExited, v1alpha1.StopComputeLost:
	}
	return ""
}

func (l *life) isNext(reason v1alpha1.StopReason) bool {
	return l.status.NextStop != nil && l.status.NextStop.Reason == reason
}

// stuckAt is when a session that is busy counts as stuck; zero if it does not.
func (l *life) stuckAt() time.Time {
	if l.policy.StuckAfter == 0 || l.status.State != v1alpha1.StateActive || l.status.PingStatus != string(contract.HealthyBusy) || l.status.PingStatusSince == nil {
		return time.Time{}
	}
	return l.status.PingStatusSince.Add(l.policy.StuckAfter)
}

func (l *life) nextOfStopped() (lines []string) {
	if l.phase == lifecycle.PhaseStarting {
		lines = append(lines, "Its next activation starts.")
		if c := find(l.status.Conditions, v1alpha1.ConditionReady); c != nil && strings.Contains(c.Message, "waits") {
			lines = append(lines, asSentence(c.Message))
		}
		return lines
	}
	return append(l.nextOfExpiry(), l.nextOfStorage()...)
}

// nextOfStorage says when the storage of a stopped session is dropped, if that is before the
// session is.
func (l *life) nextOfStorage() []string {
	at, last := lifecycle.StorageKeptUntil(l.Session), l.status.LastTermination
	if at.IsZero() || l.policy.TTL >= 0 && !last.At.Add(l.policy.TTL).After(at) {
		return nil
	}
	return []string{fmt.Sprintf("Its storage is dropped %s: %s after its last use.", future(l.now, at), span(l.policy.StorageKept))}
}

// nextOfExpiry says when a stopped session is deleted.
func (l *life) nextOfExpiry() []string {
	last := l.status.LastTermination
	if l.policy.TTL >= 0 && last != nil && last.At != nil {
		at := last.At.Add(l.policy.TTL)
		return []string{fmt.Sprintf("Nothing, unless somebody wakes it. The AgentSession is deleted %s (ttlSecondsAfterStopped).", future(l.now, at))}
	}
	return []string{"Nothing, unless somebody wakes it. It is kept until somebody deletes it."}
}

// changes say what would change what comes next.
func (l *life) changes() (lines []string) {
	switch {
	case l.Session.DeletionTimestamp != nil:
		return nil
	case lifecycle.Living(l.status.State) && l.phase == lifecycle.PhaseStopping:
		return l.changesOfAsked()
	}
	if c := troubled(l.status); c != nil {
		if cure := l.Tools.remedyFor(c.Reason); cure != "" {
			lines = append(lines, "- "+cure)
		}
	}
	switch l.status.State {
	case v1alpha1.StateStarting:
		return append(lines, "- spec.desiredState Stopped gives the start up.")
	case v1alpha1.StateActive:
		return append(lines, l.changesOfActive()...)
	case v1alpha1.StateIdle:
		return append(lines, l.changesOfIdle()...)
	case v1alpha1.StateStopping, v1alpha1.StateStopped:
		return append(lines, l.changesOfStopped()...)
	}
	return lines
}

// changesOfAsked are of a session that was asked to stop, and has not been stopped yet.
func (l *life) changesOfAsked() []string {
	if l.Session.Spec.DesiredState == v1alpha1.DesiredStopped {
		return []string{"- spec.desiredState Running takes that back, if it comes before the stop."}
	}
	return []string{"- Nothing takes that back: spec.activation cannot be lowered. spec.desiredState Stopped stops the session."}
}

func (l *life) changesOfActive() (lines []string) {
	if l.status.PingStatus == string(contract.HealthyBusy) {
		lines = append(lines, fmt.Sprintf("- An agent that says Healthy: with no call in flight it is Idle then, and stopped after %s without work.", span(l.policy.Idle)))
	}
	if l.inUse() {
		lines = append(lines, "- The end of the call in flight.")
	}
	return append(lines, l.changesByHand()...)
}

func (l *life) changesOfIdle() (lines []string) {
	if l.advances() {
		lines = append(lines, "- An agent whose time_of_last_update says when its status last changed; or ping.idleClock Observed, which does not go by it.")
		return append(lines, l.changesByHand()...)
	}
	if l.Session.Spec.RuntimeRef != nil { // others are not called by a gateway
		lines = append(lines, "- A call through the gateway: its idle time counts anew from the call's end.")
	}
	if l.policy.Check != v1alpha1.PingCheckMCP && l.status.PingStatus != string(contract.HealthyBusy) {
		lines = append(lines, "- An agent that says HealthyBusy: it is Active then.")
	}
	return append(lines, l.changesByHand()...)
}

func (l *life) changesByHand() []string {
	return []string{
		"- lifecycleConfiguration: other timeouts count at once.",
		fmt.Sprintf("- spec.desiredState Stopped stops it at once; spec.activation %d replaces its compute by a fresh one.", lifecycle.Wake(l.Session)),
	}
}

func (l *life) changesOfStopped() (lines []string) {
	if last := l.status.LastTermination; last != nil {
		if mend := l.Tools.remedyOfStop(last.Reason); mend != "" {
			lines = append(lines, "- "+mend)
		}
	}
	hand := lifecycle.WakeByHand(l.Session)
	switch {
	case hand.Not != "":
		return lines
	case l.Session.Spec.RuntimeRef != nil:
		lines = append(lines, "- A call through the gateway with its session id wakes it.")
	}
	if hand.Activation != l.Session.Spec.Activation {
		return append(lines, fmt.Sprintf("- %sspec.activation %d wakes it, with fresh memory.", desired(l.Session, hand), hand.Activation))
	}
	return append(lines, "- spec.desiredState Running wakes it, with fresh memory.")
}

func desired(session *v1alpha1.AgentSession, hand lifecycle.Hand) string {
	if session.Spec.DesiredState == v1alpha1.DesiredStopped && hand.DesiredState == v1alpha1.DesiredRunning {
		return "spec.desiredState Running with "
	}
	return ""
}

func (l *life) ruleOfLast() stopRule {
	if l.status.LastTermination == nil {
		return stopRule{}
	}
	return stopRules[l.status.LastTermination.Reason]
}
