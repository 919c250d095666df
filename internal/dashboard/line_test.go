package dashboard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var night = time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)

// words are a time line as minutes ago and states.
func words(line []turn) string {
	var all []string
	for _, t := range line {
		all = append(all, fmt.Sprintf("%d %s", int(night.Sub(time.UnixMilli(t.at)).Minutes()), t.state))
	}
	return strings.Join(all, ", ")
}

func TestTimeLines(t *testing.T) {
	ago := func(minutes int) time.Time { return night.Add(-time.Duration(minutes) * time.Minute) }
	for name, c := range map[string]struct {
		turns string // minutes ago, and state
		want  string
	}{
		"nothing":                         {"", ""},
		"one state":                       {"5 Idle", "5 Idle"},
		"the same again":                  {"5 Idle, 3 Idle", "5 Idle"},
		"to and fro":                      {"5 Idle, 3 Active, 2 Idle", "5 Idle, 3 Active, 2 Idle"},
		"before the window":               {"300 Starting, 200 Active, 100 Idle", "100 Idle"},
		"the first lies before it":        {"300 Starting, 61 Idle, 59 Active", "61 Idle, 59 Active"},
		"late news count from the last":   {"5 Active, 9 Idle", "5 Idle"},
		"no time at all":                  {"5 Starting, 5 Active", "5 Active"},
		"no time at all, and back":        {"9 Idle, 5 Active, 5 Idle", "9 Idle"},
		"a state that nobody has written": {"5 Idle, 3 -", "5 Idle"},
	} {
		t.Run(name, func(t *testing.T) {
			var line []turn
			for text := range strings.SplitSeq(c.turns, ", ") {
				var minutes int
				var state string
				if _, err := fmt.Sscan(text, &minutes, &state); err == nil {
					line = extend(line, night, ago(minutes), v1alpha1.SessionState(strings.Trim(state, "-")))
				}
			}
			NewWithT(t).Expect(words(line)).To(Equal(c.want))
		})
	}
}

func TestATimeLineIsBounded(t *testing.T) {
	g := NewWithT(t)
	var line []turn
	states := []v1alpha1.SessionState{v1alpha1.StateActive, v1alpha1.StateIdle}
	for i := range 1000 {
		line = extend(line, night, night.Add(time.Duration(i-1000)*time.Second), states[i%2])
	}
	g.Expect(line).To(HaveLen(maxTurns))
	g.Expect(line[maxTurns-1].at).To(Equal(ms(night.Add(-time.Second))))
}

// TestThePast of a session is what its status tells, and no more.
func TestThePast(t *testing.T) {
	ago := func(minutes int) metav1.Time { return metav1.NewTime(night.Add(-time.Duration(minutes) * time.Minute)) }
	g := NewWithT(t)
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: ago(500)}}
	session.Status = v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateIdle, Pod: &v1alpha1.PodStatus{CreatedAt: ago(20)}, HealthyAt: new(ago(19)), Usage: &v1alpha1.Usage{CountedAt: ago(4)},
		History: []v1alpha1.PastActivation{
			{Activation: 3, Until: ago(25)}, // it never had a compute
			{Activation: 2, From: new(ago(50)), Until: ago(30)}, {Activation: 1, From: new(ago(300)), Until: ago(200)},
		},
	}
	g.Expect(words(pastOf(night, session, ago(4).Time))).To(Equal("200 Stopped, 50 Lived, 30 Stopped, 20 Starting, 19 Lived, 4 Idle"))
	session.Status.History, session.Status.Pod, session.Status.HealthyAt = nil, nil, nil
	session.Status.State = v1alpha1.StateStopped
	g.Expect(words(pastOf(night, session, ago(4).Time))).To(Equal("4 Stopped"))
}
