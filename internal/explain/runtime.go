package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// maxEnds is how many ends of sessions are shown, the newest.
const maxEnds = 5

// Runtime explains a runtime and its sessions at a moment, in whose zone all times are.
func Runtime(agent *v1alpha1.AgentRuntime, sessions []v1alpha1.AgentSession, events []Event, now time.Time) string {
	t := &text{now: now}
	version := "no version is recorded yet"
	if agent.Status.AgentRuntimeVersion > 0 {
		version = fmt.Sprintf("version %d", agent.Status.AgentRuntimeVersion)
	}
	_, _ = fmt.Fprintf(t, "AgentRuntime %s/%s: %s\n", agent.Namespace, agent.Name, version)
	t.part("What it is")
	if agent.Status.AgentRuntimeArn != "" {
		t.say("Its ARN is %s.", agent.Status.AgentRuntimeArn)
	}
	t.sessions(agent, sessions)
	var wrong []metav1.Condition
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionSessionsStart} {
		if c := meta.FindStatusCondition(agent.Status.Conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
			wrong = append(wrong, *c)
		}
	}
	if len(wrong) > 0 {
		t.part("What is wrong")
		for _, one := range wrong {
			t.say("%s: %s", one.Reason, sentence(one.Message))
		}
	}
	t.ends(sessions)
	t.before(nil, events)
	t.part("What you can do")
	t.say("See its sessions:  kubectl get ags -n %s --field-selector spec.runtimeRef.name=%s", agent.Namespace, agent.Name)
	return t.String()
}

// sessions counts them by state.
func (t *text) sessions(agent *v1alpha1.AgentRuntime, sessions []v1alpha1.AgentSession) {
	if len(sessions) == 0 {
		t.say("It has no session. A call through the gateway makes one, or an AgentSession with spec.runtimeRef.name: %s.", agent.Name)
		return
	}
	counts := map[string]int{}
	for i := range sessions {
		counts[cmp.Or(string(sessions[i].Status.State), "not begun")]++
	}
	var words []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d %s", counts[state], state))
	}
	t.say("It has %d sessions: %s.", len(sessions), strings.Join(words, ", "))
}

// ends is how its sessions ended lately.
func (t *text) ends(sessions []v1alpha1.AgentSession) {
	var ended []*v1alpha1.AgentSession
	for i := range sessions {
		if last := sessions[i].Status.LastTermination; last != nil && last.At != nil {
			ended = append(ended, &sessions[i])
		}
	}
	if len(ended) == 0 {
		return
	}
	slices.SortStableFunc(ended, func(a, b *v1alpha1.AgentSession) int {
		return b.Status.LastTermination.At.Compare(a.Status.LastTermination.At.Time)
	})
	t.part("How its sessions ended lately")
	for _, one := range ended[:min(maxEnds, len(ended))] {
		last := one.Status.LastTermination
		t.say("%s  %s  %s: %s", t.clock(last.At.Time), one.Name, last.Reason, sentence(last.Message))
	}
}
