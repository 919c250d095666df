package lifecycle

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Breach is how an agent's answers break the ping contract: a reason of the
// condition PingContract. Empty before the first answer.
type Breach string

// breachOf judges a good answer; p has taken it in already.
func (p Pulse) breachOf(ping contract.Ping, now time.Time) Breach {
	switch {
	case ping.Stamp == contract.StampMissing:
		return v1alpha1.ReasonTimestampMissing
	case ping.Stamp == contract.StampMilliseconds:
		return v1alpha1.ReasonTimestampMilliseconds
	case ping.Stamp != contract.StampSeconds:
		return v1alpha1.ReasonTimestampUnusable
	case ping.UpdatedAt.After(now.Add(clockSkew)):
		return v1alpha1.ReasonTimestampInFuture
	case p.Advancing():
		return v1alpha1.ReasonTimestampAdvances
	case p.frozen:
		return v1alpha1.ReasonTimestampFrozen
	}
	return v1alpha1.ReasonPingConforms
}

// breachOfFailure is empty for a failure that is no breach: an agent that
// cannot be reached may still be starting, or its node may be gone.
func breachOfFailure(a Answer) Breach {
	switch a.Failure {
	case FailureTimeout:
		return v1alpha1.ReasonPingTooSlow
	case FailureStatusCode:
		return v1alpha1.ReasonPingNotOK
	case FailureBody, FailureProtocol:
		return v1alpha1.ReasonPingMalformed
	case FailureConnect:
		return ""
	}
	return ""
}

// breachMessages says of each breach what the user needs to know: what was
// seen, and what AgentCore would do to such a session.
var breachMessages = map[Breach]string{
	v1alpha1.ReasonPingConforms: "The agent answers GET /ping as AgentCore asks.",
	v1alpha1.ReasonTimestampMissing: "The answer to GET /ping has no time_of_last_update. AWS documents the field as optional, but its live service " +
		"was measured to stop such a session at the idle timeout even while HealthyBusy. Here the operator's own observation of the status counts.",
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
	v1alpha1.ReasonPingTooSlow:   "GET /ping is not answered in time. AgentCore deems such a compute unhealthy and stops it: keep /ping free of work.",
	v1alpha1.ReasonPingNotOK:     "GET /ping is not answered with 200. AgentCore deems such a compute unhealthy and stops it.",
	v1alpha1.ReasonPingMalformed: `GET /ping is not answered with a JSON object whose "status" is "Healthy" or "HealthyBusy". AgentCore deems such a compute unhealthy and stops it.`,
}

// Message says in words what the breach is and what AgentCore makes of it.
func (b Breach) Message() string { return breachMessages[b] }
