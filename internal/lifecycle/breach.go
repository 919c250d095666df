package lifecycle

import (
	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Breach is how an agent's answers keep or break the ping contract: a reason of the
// condition PingContract. Empty before the first answer.
type Breach string

// finding is a breach, and what was answered if it is about that.
type finding struct {
	breach Breach
	detail string
}

// findingOf judges a good answer; p has taken it in already. A stamp that moves on
// every ping comes first: it alone decides when the session ends.
func (p Pulse) findingOf(a Answer) finding {
	if a.Breach != "" && !p.Advancing() {
		return finding{a.Breach, a.Detail}
	}
	return finding{breach: p.breachOf(a.Ping)}
}

func (p Pulse) breachOf(ping contract.Ping) Breach {
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

// findingOfFailure is zero for a failure that is no breach: an agent that
// cannot be reached may still be starting, or its node may be gone.
func findingOfFailure(a Answer) finding {
	switch a.Failure {
	case FailureTimeout:
		return finding{v1alpha1.ReasonPingTooSlow, a.Detail}
	case FailureStatusCode:
		return finding{v1alpha1.ReasonPingNotOK, a.Detail}
	case FailureProtocol:
		return finding{v1alpha1.ReasonPingMalformed, a.Detail}
	case FailureBody, FailureUnhealthy:
		return finding{a.Breach, a.Detail}
	case FailureConnect:
		return finding{}
	}
	return finding{}
}

// breachMessages say of each breach what the user needs to know: what was seen,
// and what AgentCore makes of such a session. Those of detailed breaches follow on
// what was answered.
var breachMessages = map[Breach]string{
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

// Message says in words what the breach is and what AgentCore makes of it. detail is
// what was answered, or empty.
func (b Breach) Message(detail string) string {
	if detail == "" {
		return breachMessages[b]
	}
	return detail + ". " + breachMessages[b]
}

// Keeps tells of a breach that it is none: the agent keeps the contract, and may be
// told something about it all the same.
func (b Breach) Keeps() bool {
	return b == v1alpha1.ReasonPingConforms || b == v1alpha1.ReasonPingMCP || b == v1alpha1.ReasonTimestampMissing
}
