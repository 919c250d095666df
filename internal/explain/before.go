package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// most is how many moments a time line has: the last ones.
const most = 24

// moment is what happened at a time.
type moment struct {
	at   time.Time
	what string
}

// line is moments as lines, the oldest first.
func line(now time.Time, moments []moment) []string {
	moments = slices.DeleteFunc(moments, func(m moment) bool { return m.at.IsZero() })
	for i := range moments {
		moments[i].at = happened(now, moments[i].at)
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return a.at.Compare(b.at) })
	var lines []string
	if left := len(moments) - most; left > 0 {
		lines, moments = append(lines, fmt.Sprintf("%d moments before are left out.", left)), moments[left:]
	}
	layout := time.TimeOnly
	if len(moments) > 0 && clock(now, moments[0].at) != moments[0].at.In(now.Location()).Format(layout) {
		layout = time.DateTime
	}
	for _, m := range moments {
		lines = append(lines, m.at.In(now.Location()).Format(layout)+column+m.what)
	}
	return lines
}

// before is the time line of a session.
func (l *life) before() []string {
	moments := []moment{{l.Session.CreationTimestamp.Time, "The AgentSession was made."}}
	for i := range l.status.History {
		p := &l.status.History[len(l.status.History)-1-i]
		moments = append(moments, ofPast(p, l.toldOf(p))...)
	}
	moments = append(moments, l.ofCompute()...)
	moments = append(moments, l.ofConditions()...)
	for i := range l.Events {
		if e := &l.Events[i]; !l.knows(e) {
			moments = append(moments, ofEvent(l.now, e))
		}
	}
	return line(l.now, moments)
}

// toldOf tells whether what a session is says already how an activation ended.
func (l *life) toldOf(p *v1alpha1.PastActivation) bool {
	last := l.status.LastTermination
	return !lifecycle.Living(l.status.State) && last != nil && last.Activation == p.Activation
}

// ofPast are the begin and the end of an activation, of which the message may be known already.
func ofPast(p *v1alpha1.PastActivation, known bool) []moment {
	end := fmt.Sprintf("Activation %d ended: %s. %s", p.Activation, p.Reason, asSentence(p.Message))
	if known {
		end = fmt.Sprintf("Activation %d ended: %s, as said above.", p.Activation, p.Reason)
	}
	if p.From == nil {
		return []moment{{p.Until.Time, end + " It never had a compute."}}
	}
	if p.ActiveSeconds+p.IdleSeconds > 0 {
		end += fmt.Sprintf(" It was Active for %s, and Idle for %s.", span(seconds(p.ActiveSeconds)), span(seconds(p.IdleSeconds)))
	}
	return []moment{{p.From.Time, fmt.Sprintf("Activation %d began: its pod was made.", p.Activation)}, {p.Until.Time, end}}
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// ofCompute are the moments of the compute that is there.
func (l *life) ofCompute() (moments []moment) {
	s := l.status
	if s.Pod != nil {
		moments = append(moments, moment{s.Pod.CreatedAt.Time, fmt.Sprintf("Activation %d began: its pod was made.", s.Activation)})
	}
	if s.HealthyAt != nil {
		moments = append(moments, moment{s.HealthyAt.Time, "Its agent answered its first ping."})
	}
	if s.PingStatusSince != nil && (s.HealthyAt == nil || s.PingStatusSince.After(s.HealthyAt.Time) || s.PingStatus == string(contract.HealthyBusy)) {
		moments = append(moments, moment{s.PingStatusSince.Time, fmt.Sprintf("Its agent began to say %s.", lifecycle.Printable(s.PingStatus))})
	}
	if t := s.Traffic; t != nil && t.LastInvocationAt != nil {
		moments = append(moments, moment{t.LastInvocationAt.Time, "The last call that is known of ended."})
	}
	if last := s.LastTermination; last != nil && last.At == nil && last.DueAt != nil {
		moments = append(moments, moment{last.DueAt.Time, fmt.Sprintf("Activation %d was told to stop: %s.", last.Activation, last.Reason)})
	}
	return moments
}

// ofConditions are the turns to what troubles the session.
func (l *life) ofConditions() (moments []moment) {
	for i := range l.status.Conditions {
		c := &l.status.Conditions[i]
		switch {
		case c.Type == v1alpha1.ConditionPingContract && c.Status == metav1.ConditionFalse,
			c.Type == v1alpha1.ConditionStuck && c.Status == metav1.ConditionTrue:
			moments = append(moments, moment{c.LastTransitionTime.Time, fmt.Sprintf("The condition %s became %s; its reason now is %s.", c.Type, c.Status, c.Reason)})
		case c.Type == v1alpha1.ConditionReady && troubled(l.status) != nil && c.Status == metav1.ConditionFalse && l.status.HealthyAt != nil:
			moments = append(moments, moment{c.LastTransitionTime.Time, fmt.Sprintf("It was Ready no more; the reason now is %s.", c.Reason)})
		}
	}
	return moments
}

// knows tells whether an Event is of what the status says as well.
func (l *life) knows(e *corev1.Event) bool {
	about := func(activation int32) bool {
		return strings.HasPrefix(e.Message, fmt.Sprintf("Activation %d ", activation))
	}
	for i := range l.status.History {
		if about(l.status.History[i].Activation) {
			return true
		}
	}
	if last := l.status.LastTermination; last != nil && about(last.Activation) || l.status.Pod != nil && about(l.status.Activation) {
		return true
	}
	return slices.ContainsFunc(l.status.Conditions, func(c metav1.Condition) bool {
		return c.Reason == e.Reason && (c.Type == v1alpha1.ConditionStuck || c.Type == v1alpha1.ConditionPingContract)
	})
}

// above tells whether a message stands in one of others, which are told before.
func above(message string, others []string) bool {
	return message != "" && slices.ContainsFunc(others, func(other string) bool { return strings.Contains(other, message) })
}

// ofEvent is what an Event tells.
func ofEvent(now time.Time, e *corev1.Event) moment {
	m := moment{at: e.EventTime.Time, what: fmt.Sprintf("%s: %s", lifecycle.Printable(e.Reason), asSentence(lifecycle.Line(e.Message, maxShort)))}
	if m.at.IsZero() {
		m.at = e.FirstTimestamp.Time
	}
	if m.at.IsZero() {
		m.at = e.CreationTimestamp.Time
	}
	count, last := e.Count, e.LastTimestamp.Time
	if e.Series != nil {
		count, last = e.Series.Count, e.Series.LastObservedTime.Time
	}
	if count > 1 {
		m.what += fmt.Sprintf(" (%d times, the last one at %s)", count, clock(now, last))
	}
	return m
}
