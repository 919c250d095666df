package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Gone explains a session that is not there, by its Events.
func Gone(now time.Time, namespace, name string, events []corev1.Event, tools Tools) Story {
	name, namespace = lifecycle.Printable(name), lifecycle.Printable(namespace)
	story := Story{Title: fmt.Sprintf("AgentSession %s in %s, at %s", name, namespace, now.Format("2006-01-02 15:04:05 MST"))}
	is := Chapter{Heading: "Now", Lines: []string{"There is no AgentSession of this name."}}
	if len(events) == 0 {
		is.Lines = append(is.Lines, "Nothing tells of it: either it never was, or its Events are gone, which Kubernetes keeps for an hour.")
	} else {
		is.Lines = append(is.Lines, "It was there: these are its Events, which Kubernetes keeps for an hour."+lastStopOf(events))
		is.Lines = append(is.Lines, "A session goes when somebody deletes it, ttlSecondsAfterStopped after its stop, or with the runtime that a gateway made it for.")
	}
	moments := make([]moment, 0, len(events))
	for i := range events {
		e := events[i]
		if e.Reason == string(v1alpha1.StateStopped) {
			e.Message = shortly(e.Message, events)
		}
		moments = append(moments, ofEvent(now, &e))
	}
	look := Chapter{Heading: "What to type next", Commands: []Command{
		{fmt.Sprintf("%s list -n %s", tools.Self, namespace), "see which sessions are there"},
		{tools.Self + " list -A", "look in all namespaces"},
	}}
	story.Chapters = []Chapter{
		is,
		{Heading: "What happened", Lines: line(now, moments)},
		{Heading: "What would change that", Lines: []string{"- A call through the gateway with its session id makes it anew, if a gateway had made it: with fresh memory, and without history."}},
		{Heading: "On AgentCore", Lines: []string{"- A session that has ended leaves nothing that could be listed or asked."}},
		look,
	}
	return story
}

// shortly is what the Event says that an activation is gone, without why and how to wake it where
// another Event says why.
func shortly(message string, events []corev1.Event) string {
	gone, _, is := strings.Cut(message, " is gone (")
	why := func(e corev1.Event) bool { return strings.HasPrefix(e.Message, gone+" is stopped: ") }
	if !is || !slices.ContainsFunc(events, why) {
		return message
	}
	return gone + " is gone"
}

// lastStopOf names the last stop that Events tell of.
func lastStopOf(events []corev1.Event) string {
	var last moment
	for i := range events {
		if law, known := stopRules[v1alpha1.StopReason(events[i].Reason)]; known {
			if m := ofEvent(time.Time{}, &events[i]); !m.at.Before(last.at) {
				last = moment{m.at, fmt.Sprintf(" Its last stop was %s. The rule: %s", events[i].Reason, law.rule)}
			}
		}
	}
	return last.what
}

// Agent is what is known of a runtime.
type Agent struct {
	Runtime *v1alpha1.AgentRuntime
	// Sessions of it.
	Sessions []v1alpha1.AgentSession
	// Events of it.
	Events []corev1.Event
	Tools  Tools
}

// maxEnds is how many ends of sessions are told of a runtime.
const maxEnds = 8

// Runtime explains a runtime: whether sessions of it start, why it has none, and why the
// last ones ended.
func Runtime(now time.Time, a Agent) Story {
	name := a.Runtime.Name
	moments := make([]moment, 0, len(a.Events))
	for i := range a.Events {
		m := ofEvent(now, &a.Events[i])
		if above(a.Events[i].Message, a.messages()) {
			m.what = lifecycle.Printable(a.Events[i].Reason) + ", as said above."
		}
		moments = append(moments, m)
	}
	return Story{
		Title: fmt.Sprintf("AgentRuntime %s in %s, at %s", name, a.Runtime.Namespace, now.Format("2006-01-02 15:04:05 MST")),
		Chapters: []Chapter{
			{Heading: "Now", Lines: a.is()},
			{Heading: "How the last sessions ended", Lines: a.ends(now)},
			{Heading: "What happened", Lines: line(now, moments)},
			{Heading: "What comes next", Lines: a.next()},
			{Heading: "What would change that", Lines: a.changes()},
			{Heading: "What to type next", Commands: []Command{
				{fmt.Sprintf("%s list --runtime %s -n %s", a.Tools.Self, name, a.Runtime.Namespace), "see its sessions"},
				{fmt.Sprintf("%s watch --runtime %s -n %s", a.Tools.Self, name, a.Runtime.Namespace), "watch what becomes of them"},
			}},
		},
	}
}

func (a *Agent) is() (lines []string) {
	s := &a.Runtime.Status
	if s.AgentRuntimeArn == "" {
		lines = append(lines, "No operator has looked at it yet.")
	} else {
		lines = append(lines, fmt.Sprintf("Its newest version is %d. Its ARN is %s.", s.AgentRuntimeVersion, lifecycle.Line(s.AgentRuntimeArn, maxShort)))
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		lines = append(lines, fmt.Sprintf("%s is %s (%s): %s", c.Type, c.Status, c.Reason, asSentence(c.Message)))
	}
	if a.Runtime.Unreadable != "" {
		lines = append(lines, "Not all of it can be read: "+asSentence(a.Runtime.Unreadable))
	}
	return append(lines, a.counts())
}

// messages are those of the runtime's conditions.
func (a *Agent) messages() (all []string) {
	for i := range a.Runtime.Status.Conditions {
		all = append(all, a.Runtime.Status.Conditions[i].Message)
	}
	return all
}

// counts says how many sessions there are, and why there is none.
func (a *Agent) counts() string {
	count := map[v1alpha1.SessionState]int{}
	for i := range a.Sessions {
		count[a.Sessions[i].Status.State]++
	}
	starting := count[v1alpha1.StateStarting] + count[""]
	switch living := starting + count[v1alpha1.StateActive] + count[v1alpha1.StateIdle]; {
	case len(a.Sessions) == 0:
		return "It has no session: nobody has called it, or those that it had are gone (sessionTTLSecondsAfterStopped deletes them, a day after their stop if absent)."
	case living == 0:
		return fmt.Sprintf("No session of it has a compute now: %d Stopping, %d Stopped.", count[v1alpha1.StateStopping], count[v1alpha1.StateStopped])
	}
	return fmt.Sprintf("Its sessions: %d Starting, %d Active, %d Idle, %d Stopping, %d Stopped.",
		starting, count[v1alpha1.StateActive], count[v1alpha1.StateIdle], count[v1alpha1.StateStopping], count[v1alpha1.StateStopped])
}

// ends are the last ends of sessions, the oldest first.
func (a *Agent) ends(now time.Time) []string {
	var moments []moment
	for i := range a.Sessions {
		s := &a.Sessions[i]
		for j := range s.Status.History {
			p := &s.Status.History[j]
			end := fmt.Sprintf("%s, activation %d: %s. %s", s.Name, p.Activation, p.Reason, asSentence(lifecycle.Line(p.Message, maxShort)))
			if above(p.Message, a.messages()) {
				end = fmt.Sprintf("%s, activation %d: %s, as said above.", s.Name, p.Activation, p.Reason)
			}
			moments = append(moments, moment{p.Until.Time, end})
		}
	}
	slices.SortStableFunc(moments, func(x, y moment) int { return x.at.Compare(y.at) })
	return line(now, moments[max(0, len(moments)-maxEnds):])
}

func (a *Agent) next() []string {
	lines := []string{"A call with a session id that is new makes a session; one with the id of a session that is stopped wakes it."}
	if most := a.Runtime.Spec.MaxSessions; most != nil {
		have := 0
		for i := range a.Sessions {
			if lifecycle.HasCompute(&a.Sessions[i]) {
				have++
			}
		}
		lines = append(lines, fmt.Sprintf("%d of %d sessions have a compute (spec.maxSessions). A call for one more than that is answered 402.", have, *most))
	}
	return lines
}

func (a *Agent) changes() (lines []string) {
	for i := range a.Runtime.Status.Conditions {
		c := &a.Runtime.Status.Conditions[i]
		cure := cmp.Or(a.Tools.remedyFor(c.Reason), a.Tools.remedyOfStop(v1alpha1.StopReason(c.Reason)))
		if c.Type == v1alpha1.ConditionValidated && c.Status == metav1.ConditionFalse && c.Reason != v1alpha1.ReasonWarmupFailed {
			cure = a.Tools.remedyFor(v1alpha1.ReasonTrialRefused) // nothing is tried again by itself, as a start is
		}
		if cure != "" {
			lines = append(lines, "- "+cure)
		}
	}
	if len(lines) > 0 {
		lines = append(lines, "- A change of its spec is a new version, which the next starts use. What runs keeps its own.")
	}
	return lines
}
