package lifecycle

import (
	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Finding is how an agent's answers keep or break the ping contract: a reason of the
// condition PingContract. Empty before the first answer.
type Finding string

// detailed is a finding, and what was answered if it is about that.
type detailed struct {
	finding Finding
	detail  string
}

// findingOf judges a good answer; p has taken it in already. A stamp that moves on
// every ping comes first: it alone decides when the session ends.
func (p Pulse) findingOf(a Answer) detailed {
	if a.Finding != "" && !p.Advancing() {
		return detailed{a.Finding, a.Detail}
	}
	return detailed{finding: p.findingOfPing(a.Ping)}
}

func (p Pulse) findingOfPing(ping contract.Ping) Finding {
	switch {
	case ping.Stamp == contract.StampMissing:
		return v1alpha1.ReasonTimestampMissing
	case ping.Stamp == contract.StampMilliseconds:
		return v1alpha1.ReasonTimestampMilliseconds
	case ping.Stamp != contract.StampSeconds:
		return v1alpha1.ReasonTimestampUnusable
	case p.Stamp.IsZero():
		return v1alpha1.ReasonTimestampInFuture
	case p.Advancing():
		return v1alpha1.ReasonTimestampAdvances
	case p.frozen:
		return v1alpha1.ReasonTimestampFrozen
	}
	return v1alpha1.ReasonPingConforms
}

// findingOfFailure is zero for a failure that says nothing of the contract: an agent
// that cannot be reached may still be starting, or its node may be gone.
func findingOfFailure(a Answer) detailed {
	switch a.Failure {
	case FailureTimeout:
		return detailed{v1alpha1.ReasonPingTooSlow, a.Detail}
	case FailureStatusCode:
		return detailed{v1alpha1.ReasonPingNotOK, a.Detail}
	case FailureProtocol:
		return detailed{v1alpha1.ReasonPingMalformed, a.Detail}
	case FailureBody, FailureUnhealthy:
		return detailed{a.Finding, a.Detail}
	case FailureConnect:
		return detailed{}
	}
	return detailed{}
}

// findingMessages say of each finding what the user needs to know: what was seen,
// and what AgentCore makes of such a session. They follow on what was answered, if
// there is such a detail.
var findingMessages = map[Finding]string{
	v1alpha1.ReasonPingConforms: "The agent answers GET /ping as AgentCore asks.",
	v1alpha1.ReasonPingMCP: "The MCP server answers MCP's ping, as AgentCore asks it. That says nothing of work: the session is idle " +
		"as soon as no invocation is in flight.",
	v1alpha1.ReasonTimestampMissing: "The answer to GET /ping has no time_of_last_update, which AWS documents as optional: its own A2A and AG-UI servers " +
		"send none. Idleness counts from when the operator saw the status change. Only an agent that is HealthyBusy at times should send it: " +
		"the live service was measured to stop such a session at the idle timeout without it.",
	v1alpha1.ReasonTimestampMilliseconds: "time_of_last_update is in milliseconds; the contract wants Unix seconds. AgentCore would see a time far in the future. " +
		"Here the field is ignored and the operator's own observation counts.",
	v1alpha1.ReasonTimestampUnusable: "time_of_last_update is not a number of Unix seconds. AgentCore takes it as absent and was measured to stop such a session " +
		"at the idle timeout even while HealthyBusy. Here the operator's own observation counts.",
	v1alpha1.ReasonTimestampInFuture: "time_of_last_update lies in the future. The field is ignored and the operator's own observation counts; " +
		"check the clock of the agent's node.",
	v1alpha1.ReasonTimestampAdvances: "time_of_last_update moves on although the status stays the same. It should say when the status last changed. " +
		"On AgentCore such a session never goes idle and is paid for until maxLifetime; here too, unless spec.ping.idleClock is Observed.",
	v1alpha1.ReasonTimestampFrozen: "The status changed and time_of_last_update did not. AgentCore measures idleness from that time, so the session can be " +
		"stopped too early; here too, unless spec.ping.idleClock is Observed.",
	v1alpha1.ReasonPingTooSlow:   "AgentCore deems a compute unhealthy that does not answer its pings, and stops it: keep the answer free of work.",
	v1alpha1.ReasonPingNotOK:     "AgentCore deems a compute unhealthy whose pings are not answered with its code for success, and stops it.",
	v1alpha1.ReasonPingMalformed: "AgentCore asks in HTTP/1.1, and deems a compute unhealthy that does not answer in it.",
	v1alpha1.ReasonPingSaysUnhealthy: "AgentCore's contract has no such status, and asks for a code of failure instead: such a compute is deemed unhealthy, and is stopped. " +
		"Here the ping counts as failed, whatever its code: say Healthy as long as the agent can be called.",
	v1alpha1.ReasonStatusUnknown:     `AgentCore's contract has the statuses "Healthy" and "HealthyBusy": answer {"status":"Healthy"}, and HealthyBusy while there is work in the background.`,
	v1alpha1.ReasonPingNotJSON:       `AgentCore's contract wants a JSON object: answer {"status":"Healthy"}, and HealthyBusy while there is work in the background.`,
	v1alpha1.ReasonPingEncoded:       "AgentCore's contract wants plain JSON, and the question accepts no encoding: leave /ping out of what the server compresses.",
	v1alpha1.ReasonPingTooLarge:      `AgentCore's contract wants some 60 bytes: answer {"status":"Healthy"}, and tell what else there is under another path.`,
	v1alpha1.ReasonPingByteOrderMark: "AgentCore's contract wants a JSON object, which begins with no such mark, and many parsers refuse it: write the answer in UTF-8 without one.",
}

// Message says in words what was found and what AgentCore makes of it. detail is
// what was answered, or empty.
func (f Finding) Message(detail string) string {
	if detail == "" {
		return findingMessages[f]
	}
	return detail + ". " + findingMessages[f]
}

// Conforms tells whether the agent keeps the contract: a finding need not be a breach.
func (f Finding) Conforms() bool {
	return f == v1alpha1.ReasonPingConforms || f == v1alpha1.ReasonPingMCP || f == v1alpha1.ReasonTimestampMissing
}
