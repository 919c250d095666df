package explain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Tools are how the commands that a story ends with begin.
type Tools struct {
	// Self is this tool, as "kubectl agentsession".
	Self string
	// Kubectl is kubectl.
	Kubectl string
	// Laptop tells that the cluster is agentsession local, where pods have no logs and no
	// Events, and no scheduler.
	Laptop bool
}

// Known is what is known of a session.
type Known struct {
	Session *v1alpha1.AgentSession
	// Pod of its compute; nil if it has none, or nobody knows.
	Pod *corev1.Pod
	// Events of the session, in any order.
	Events []corev1.Event
	Tools  Tools
}

// life is a session at a moment.
type life struct {
	Known
	now    time.Time
	status *v1alpha1.AgentSessionStatus
	policy lifecycle.Policy
	phase  lifecycle.Phase
}

func policyOf(session *v1alpha1.AgentSession) lifecycle.Policy {
	spec := lifecycle.Govern(session.Spec, session.Status.Runtime)
	return lifecycle.PolicyOf(&spec, int(max(session.Status.TimeScale, 1)))
}

// mergedAfter is how far a state and the answer that it rests on may be apart: reports of
// changes that follow each other closely are merged.
const mergedAfter = 10 * time.Second

// Session explains a session.
func Session(now time.Time, k Known) Story {
	l := life{Known: k, now: now, status: &k.Session.Status, phase: lifecycle.PhaseOf(k.Session), policy: policyOf(k.Session)}
	return Story{
		Title: fmt.Sprintf("AgentSession %s in %s, at %s", k.Session.Name, k.Session.Namespace, now.Format("2006-01-02 15:04:05 MST")),
		Chapters: []Chapter{
			{Heading: "Now", Lines: l.is()},
			{Heading: "What happened", Lines: l.before()},
			{Heading: "What comes next", Lines: l.next()},
			{Heading: "What would change that", Lines: l.changes()},
			{Heading: "On AgentCore", Lines: l.onAgentCore()},
			{Heading: "What to type next", Lines: l.output(), Commands: l.commands()},
		},
	}
}

// began is from when on a session that lives is in its state: not before its first ping. Status
// has the one rounded down to the second, and the other up.
func began(s *v1alpha1.AgentSessionStatus) time.Time {
	if s.HealthyAt != nil && s.HealthyAt.After(s.Usage.CountedAt.Time) {
		return s.HealthyAt.Time
	}
	return s.Usage.CountedAt.Time
}

// since is from when on a session is in its state; zero if nobody wrote it.
func since(session *v1alpha1.AgentSession) time.Time {
	s := &session.Status
	switch s.State {
	case v1alpha1.StateStarting:
		if s.Pod != nil {
			return s.Pod.CreatedAt.Time
		}
		if c := find(s.Conditions, v1alpha1.ConditionReady); c != nil {
			return c.LastTransitionTime.Time
		}
	case v1alpha1.StateActive, v1alpha1.StateIdle:
		if s.Usage != nil {
			return began(s)
		}
	case v1alpha1.StateStopping:
		if s.LastTermination != nil && s.LastTermination.DueAt != nil {
			return s.LastTermination.DueAt.Time
		}
	case v1alpha1.StateStopped:
		if s.LastTermination != nil && s.LastTermination.At != nil {
			return s.LastTermination.At.Time
		}
	}
	return session.CreationTimestamp.Time
}

// is says what state a session is in, since when and by which rule.
func (l *life) is() (lines []string) {
	switch l.status.State {
	case v1alpha1.StateStarting:
		lines = l.starting()
	case v1alpha1.StateActive:
		lines = l.active()
	case v1alpha1.StateIdle:
		lines = l.idle()
	case v1alpha1.StateStopping:
		lines = append(l.ended("It is Stopping since "+past(l.now, since(l.Session))), l.leaving()...)
	case v1alpha1.StateStopped:
		lines = l.stopped()
	default:
		lines = []string{fmt.Sprintf("No operator has looked at it yet. It was made at %s.", past(l.now, l.Session.CreationTimestamp.Time))}
	}
	if l.Session.DeletionTimestamp != nil {
		lines = append(lines, "It is being deleted: it goes with its compute.")
	}
	if l.Session.Unreadable != "" {
		lines = append(lines, "Not all of it can be read: "+asSentence(l.Session.Unreadable))
	}
	return slices.Concat(lines, l.compute(), l.storage(), l.cost())
}

func (l *life) active() (lines []string) {
	s := l.status
	begin := fmt.Sprintf("It is Active since %s: ", past(l.now, since(l.Session)))
	busy := s.PingStatus == string(contract.HealthyBusy)
	switch held := l.inUse(); {
	case busy && held:
		lines = []string{begin + "its agent says HealthyBusy, and a call is in flight. Either alone would keep it Active."}
	case busy:
		lines = []string{begin + "its agent says HealthyBusy, so it has work of its own. That keeps a session Active."}
	case held:
		lines = []string{begin + "a call is in flight. That keeps a session Active, whatever its agent says."}
	default:
		lines = []string{begin + "a call was in flight, and the operator has not said yet that it is over."}
	}
	if busy && s.PingStatusSince != nil && s.PingStatusSince.Sub(since(l.Session)).Abs() > mergedAfter {
		lines = append(lines, fmt.Sprintf("The agent says HealthyBusy since %s.", past(l.now, s.PingStatusSince.Time)))
	}
	if stuck(s) {
		c := find(s.Conditions, v1alpha1.ConditionStuck)
		lines = append(lines, fmt.Sprintf("It seems to be stuck (%s): %s", c.Reason, asSentence(c.Message)))
	}
	return append(lines, l.trouble()...)
}

func (l *life) idle() []string {
	s := l.status
	says := "says"
	if reasonIs(s, v1alpha1.ConditionReady, v1alpha1.ReasonMassFailure) {
		says = "last said"
	}
	lines := []string{fmt.Sprintf("It is Idle since %s: its agent %s %s, and no call is in flight.", past(l.now, since(l.Session)), says, cmp.Or(lifecycle.Printable(s.PingStatus), "nothing yet"))}
	switch {
	case s.IdleSince != nil:
		lines = append(lines, fmt.Sprintf("Its idle time counts from %s%s.", past(l.now, s.IdleSince.Time), l.idleFrom()))
	case l.advances():
		lines = append(lines, "Its idle time never begins: the agent's time_of_last_update moves on at each ping, which says that its status has just changed.")
	}
	return append(lines, l.trouble()...)
}

// idleFrom says what the moment was from which idle time counts.
func (l *life) idleFrom() string {
	from, s := l.status.IdleSince.Time, l.status
	near := func(t time.Time) bool { return t.Sub(from).Abs() <= time.Second }
	switch {
	case s.Traffic != nil && s.Traffic.LastInvocationAt != nil && near(s.Traffic.LastInvocationAt.Time):
		return ", when its last call ended"
	case s.HealthyAt != nil && near(s.HealthyAt.Time):
		return ", when it answered its first ping"
	case s.PingStatusSince != nil && near(s.PingStatusSince.Time):
		return ", when its agent's status was seen to change"
	}
	return ", when its agent's status last changed (by its own time_of_last_update)"
}

func (l *life) trouble() []string {
	if c := troubled(l.status); c != nil {
		return []string{fmt.Sprintf("%s: %s", c.Reason, asSentence(c.Message))}
	}
	return nil
}

// ended says why a compute was stopped, after what the state is.
func (l *life) ended(begin string) []string {
	last := l.status.LastTermination
	if last == nil {
		return []string{begin + "."}
	}
	lines := []string{fmt.Sprintf("%s: %s. %s", begin, last.Reason, asSentence(last.Message))}
	if law, known := stopRules[last.Reason]; known && !lifecycle.GivenUp(l.status) {
		if last.Reason == v1alpha1.StopStartTimeout {
			law.rule = startRule(l.policy.StartTimeout)
		}
		lines = append(lines, "The rule: "+law.rule)
	}
	return lines
}

// leaving says how long a compute may take to go.
func (l *life) leaving() []string {
	if c := find(l.status.Conditions, v1alpha1.ConditionReady); c != nil && l.phase == lifecycle.PhaseStarting {
		return []string{asSentence(c.Message)}
	}
	if l.Pod != nil && l.Pod.DeletionTimestamp != nil {
		return []string{fmt.Sprintf("Its pod was told to end, and has until %s for it.", clock(l.now, l.Pod.DeletionTimestamp.Time))}
	}
	return []string{"Its pod is told to end, and has its grace period for it."}
}

func (l *life) stopped() []string {
	last := l.status.LastTermination
	switch {
	case last == nil && l.phase == lifecycle.PhaseStarting:
		return []string{"It is Stopped, and is about to start."}
	case last == nil && l.Session.Spec.DesiredState == v1alpha1.DesiredStopped:
		return []string{"It is Stopped: spec.desiredState is Stopped, and it never had a compute."}
	case last == nil:
		return []string{"It is Stopped, and it never had a compute."}
	}
	lines := l.ended("It is Stopped since " + past(l.now, since(l.Session)))
	switch {
	case l.phase == lifecycle.PhaseStarting:
		return append(lines, "It was woken, and is about to start again.")
	case lifecycle.GivenUp(l.status):
		return append(lines, "Its last activation never had a compute: the start was refused until it was given up.")
	}
	return append(lines, "The session is still there, without compute: the memory of its agent is lost, its name and its history are kept.")
}

// compute says which pod a session has.
func (l *life) compute() []string {
	pod := l.status.Pod
	if pod == nil {
		return nil
	}
	line := fmt.Sprintf("Its compute: activation %d, pod %s", l.status.Activation, lifecycle.Printable(pod.Name))
	if pod.Node != "" {
		line += " on node " + lifecycle.Printable(pod.Node)
	}
	line += fmt.Sprintf(", made at %s.", past(l.now, pod.CreatedAt.Time))
	if ref := l.Session.Spec.RuntimeRef; ref != nil && l.status.Runtime != nil {
		line += fmt.Sprintf(" It is version %d of the runtime %s.", l.status.Runtime.AgentRuntimeVersion, ref.Name)
	}
	return []string{line}
}

// storage says where a session's storage is.
func (l *life) storage() []string {
	if l.status.Storage == nil {
		return nil
	}
	return []string{fmt.Sprintf("Its storage: PersistentVolumeClaim %s, which outlives its computes.", lifecycle.Printable(l.status.Storage.PersistentVolumeClaim))}
}

// advances: by the clock that counts the session never goes idle.
func (l *life) advances() bool {
	return reasonIs(l.status, v1alpha1.ConditionPingContract, v1alpha1.ReasonTimestampAdvances) && l.policy.IdleClock != v1alpha1.IdleClockObserved
}

// inUse: a gateway holds the session Active.
func (l *life) inUse() bool {
	t := l.status.Traffic
	return t != nil && t.InUseUntil != nil && l.now.Before(t.InUseUntil.Time)
}

func reasonIs(s *v1alpha1.AgentSessionStatus, kind, reason string) bool {
	c := find(s.Conditions, kind)
	return c != nil && c.Reason == reason
}
