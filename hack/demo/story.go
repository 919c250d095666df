package main

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// story is what should happen to the demo's sessions, and how far it is. It is
// told what is observed and at what time, and does nothing itself.
type story struct {
	scale int32
	plots []*plot
}

// plot is the life of one session: steps in the order in which they must happen.
type plot struct {
	session string
	steps   []step
	next    int                    // the first step that has not happened
	ended   int32                  // the last activation whose end was a step
	seen    *v1alpha1.AgentSession // as last observed
	wrong   string                 // the first expectation that was violated
	// never is a state that the session must not be in.
	never v1alpha1.SessionState
}

// step is one expectation.
type step struct {
	says string // what happens, for people
	// happened tells whether it has. after is the time since the step before.
	happened func(status *v1alpha1.AgentSessionStatus, after time.Duration, scale int32) bool
	// ends is the reason of the stop, if the step is the end of an activation.
	ends v1alpha1.StopReason
	// command is given a while after the step, by hand as it were.
	command *command
	rule    rule

	at    time.Time // when it happened
	given bool      // the command was given
}

// command is what a user would type.
type command struct {
	session string
	// patch of the session, as a merge patch.
	patch func(status *v1alpha1.AgentSessionStatus) string
}

// linger is how long an echo is left alone before the next command, so that
// people see what they read.
const linger = 3 * time.Second

// observe takes in a version of a session. It returns the steps that happened.
func (s *story) observe(session *v1alpha1.AgentSession, now time.Time) []tick {
	p := s.plot(session.Name)
	if p == nil {
		return nil
	}
	p.seen = session
	ticks := s.advance(p, now)
	if p.wrong == "" {
		p.wrong = s.violation(p)
	}
	return ticks
}

// pass lets time go by: some steps happen without a change of status.
func (s *story) pass(now time.Time) []tick {
	var ticks []tick
	for _, p := range s.plots {
		if p.seen != nil && p.wrong == "" {
			ticks = append(ticks, s.advance(p, now)...)
		}
	}
	return ticks
}

// vanished takes in that a session was deleted.
func (s *story) vanished(name string) {
	if p := s.plot(name); p != nil && p.wrong == "" {
		p.wrong = "somebody deleted the session"
	}
}

// tick is a step that has just happened.
type tick struct{ session, says string }

func (s *story) advance(p *plot, now time.Time) []tick {
	var ticks []tick
	for p.next < len(p.steps) {
		current := &p.steps[p.next]
		if !current.happened(&p.seen.Status, p.since(now), s.scale) {
			break
		}
		current.at = now
		if current.ends != "" {
			p.ended = p.seen.Status.Activation
		}
		p.next++
		ticks = append(ticks, tick{p.session, current.says})
	}
	return ticks
}

// since is the time since the last step that happened.
func (p *plot) since(now time.Time) time.Duration {
	if p.next == 0 {
		return 0
	}
	return now.Sub(p.steps[p.next-1].at)
}

// violation says what in a session's status contradicts the story; empty if
// nothing does.
func (s *story) violation(p *plot) string {
	status := &p.seen.Status
	if p.next == len(p.steps) || status.State == "" {
		return ""
	}
	if scale := max(status.TimeScale, 1); scale != s.scale {
		return fmt.Sprintf("the operator runs with --time-scale=%d, not %d: somebody else set it", scale, s.scale)
	}
	if status.State == p.never {
		return fmt.Sprintf("it was %s, which it never should be; expected: %s", status.State, p.steps[p.next].says)
	}
	if wrong := p.wrongEnd(); wrong != "" {
		return wrong
	}
	for _, later := range p.steps[p.next+1:] {
		if later.happened(status, 0, s.scale) {
			return fmt.Sprintf("%q came before %q", later.says, p.steps[p.next].says)
		}
	}
	return ""
}

// wrongEnd judges the end of a compute: its reason, and that nothing was left
// out before it.
func (p *plot) wrongEnd() string {
	status := &p.seen.Status
	last := status.LastTermination
	if last == nil || last.Activation <= p.ended || status.State != v1alpha1.StateStopping && status.State != v1alpha1.StateStopped {
		return ""
	}
	saw := fmt.Sprintf("saw %s/%s (%s)", status.State, last.Reason, last.Message)
	rest := p.steps[p.next:]
	end := slices.IndexFunc(rest, func(s step) bool { return s.ends != "" })
	switch {
	case end < 0 || rest[end].ends != last.Reason:
		return fmt.Sprintf("expected: %s; %s", rest[0].says, saw)
	case end > 0:
		return fmt.Sprintf("%s before this had happened: %s", saw, rest[0].says)
	}
	return ""
}

// order is a command that is due.
type order struct {
	command
	patch string
}

// orders returns the commands that are due, each once.
func (s *story) orders(now time.Time) []order {
	var due []order
	for _, p := range s.plots {
		for i := range p.steps[:p.next] {
			if done := &p.steps[i]; done.command != nil && !done.given && p.wrong == "" && !now.Before(done.at.Add(linger)) {
				done.given = true
				due = append(due, order{*done.command, done.command.patch(&p.seen.Status)})
			}
		}
	}
	return due
}

// over tells that all has happened.
func (s *story) over() bool {
	return !slices.ContainsFunc(s.plots, func(p *plot) bool { return p.next < len(p.steps) })
}

// wrong is true once an expectation was violated.
func (s *story) wrong() bool {
	return slices.ContainsFunc(s.plots, func(p *plot) bool { return p.wrong != "" })
}

func (s *story) plot(session string) *plot {
	for _, p := range s.plots {
		if p.session == session {
			return p
		}
	}
	return nil
}

// in is a step that is a state with a ping status, in an activation.
func in(state v1alpha1.SessionState, ping contract.Status, activation int32) func(*v1alpha1.AgentSessionStatus, time.Duration, int32) bool {
	return func(status *v1alpha1.AgentSessionStatus, _ time.Duration, _ int32) bool {
		return status.State == state && status.PingStatus == string(ping) && status.Activation == activation
	}
}

// stopped is a step that is the end of the first activation.
func stopped(reason v1alpha1.StopReason) func(*v1alpha1.AgentSessionStatus, time.Duration, int32) bool {
	return func(status *v1alpha1.AgentSessionStatus, _ time.Duration, _ int32) bool {
		last := status.LastTermination
		return status.State == v1alpha1.StateStopped && last != nil && last.Reason == reason && last.Activation == 1
	}
}

// busyBeyondIdle is a step that the passing of time alone brings.
func busyBeyondIdle(status *v1alpha1.AgentSessionStatus, after time.Duration, scale int32) bool {
	limits := status.LifecycleConfiguration
	return limits != nil && status.State == v1alpha1.StateActive &&
		after > time.Duration(limits.IdleRuntimeSessionTimeout)*time.Second/time.Duration(scale)
}

func stuckWhileActive(status *v1alpha1.AgentSessionStatus, _ time.Duration, _ int32) bool {
	return status.State == v1alpha1.StateActive && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStuck)
}
