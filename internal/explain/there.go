package explain

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// onAgentCore says what AgentCore would do differently.
func (l *life) onAgentCore() (lines []string) {
	if scale := l.status.TimeScale; scale > 1 {
		lines = append(lines, fmt.Sprintf("- Durations are longer there, most of them %d times: this operator runs with --time-scale.", scale))
	}
	lines = append(lines, l.thereOfPings()...)
	switch l.status.State {
	case v1alpha1.StateStarting:
		if l.isNext(v1alpha1.StopStartFailed) && l.agentStarted().IsZero() {
			lines = append(lines, "- "+stopRules[v1alpha1.StopStartFailed].onAgentCore)
		}
	case v1alpha1.StateActive, v1alpha1.StateIdle:
		lines = append(lines, l.thereOfLiving()...)
	case v1alpha1.StateStopping, v1alpha1.StateStopped:
		if law := l.ruleOfLast(); law.onAgentCore != "" {
			lines = append(lines, "- "+law.onAgentCore)
		}
		if l.status.LastTermination != nil {
			lines = append(lines, "- AgentCore keeps no history and tells nobody why a session was stopped.")
		}
	}
	return lines
}

func (l *life) thereOfLiving() (lines []string) {
	if !l.stuckAt().IsZero() {
		lines = append(lines, "- "+stopRules[v1alpha1.StopStuckBusy].onAgentCore)
	}
	switch c := troubled(l.status); {
	case c == nil:
	case c.Reason == v1alpha1.ReasonMassFailure:
		lines = append(lines, "- Nothing is known of such a guard there: an agent that does not answer is stopped as unhealthy.")
	case c.Reason == v1alpha1.ReasonAddressRefused:
		lines = append(lines, "- Agents have no addresses there that could be wrong.")
	}
	return lines
}

// thereOfPings says how the agent's answers and the idle clock count there.
func (l *life) thereOfPings() (lines []string) {
	c := find(l.status.Conditions, v1alpha1.ConditionPingContract)
	if c != nil && (c.Status == metav1.ConditionFalse || l.missesStamp(c)) {
		lines = append(lines, fmt.Sprintf("- %s: %s", c.Reason, asSentence(c.Message)))
	}
	switch l.policy.IdleClock {
	case v1alpha1.IdleClockAgentCoreStrict:
		lines = append(lines, "- The idle clock is AgentCoreStrict: it is what was measured on the live service, where HealthyBusy without a usable time_of_last_update does not count. AWS documents that it does.")
	case v1alpha1.IdleClockObserved:
		lines = append(lines, "- The idle clock is Observed: AgentCore would go by the agent's time_of_last_update instead.")
	case v1alpha1.IdleClockAgentCore:
	}
	return lines
}

// missesStamp: the agent keeps the contract, and AgentCore would stop it at work all the
// same.
func (l *life) missesStamp(c *metav1.Condition) bool {
	return c.Reason == v1alpha1.ReasonTimestampMissing && l.status.PingStatus == string(contract.HealthyBusy)
}
