package explain

import "github.com/agentsession/agentsession/api/v1alpha1"

// rule is what a reason of a stop means.
type rule struct {
	// means is the rule, of a session that it has ended.
	means string
	// unless is what keeps a stop that is foreseen from coming.
	unless string
	// agentCore is what AgentCore does.
	agentCore string
	// look is what to do, where somebody has to.
	look string
}

// rules has every reason of a stop: a test holds that.
var rules = map[v1alpha1.StopReason]rule{
	v1alpha1.StopIdleTimeout: {
		means:     "It had no work for its idle timeout: the agent answered Healthy, and no call was in flight.",
		unless:    "A call, or an agent that answers HealthyBusy, puts that off.",
		agentCore: "It has the same rule.",
	},
	v1alpha1.StopMaxLifetime: {
		means:     "Its compute had lived for its maximal lifetime, which no work extends.",
		unless:    "Nothing puts that off, not even work or a call in flight.",
		agentCore: "It has the same rule.",
	},
	v1alpha1.StopRequested: {
		means:     "Somebody asked for it: with spec.desiredState, with a raised spec.activation, or by StopRuntimeSession.",
		agentCore: "StopRuntimeSession does the same there.",
	},
	v1alpha1.StopUnhealthy: {
		means:     "The agent failed its pings ping.failureThreshold times in a row (15 if nothing else is said, which is 30 s).",
		unless:    "One good answer puts that off, and so does a call in flight if the agent is only silent.",
		agentCore: "It stops such a compute too, and does not document after how many pings.",
		look:      "Read what the agent wrote last: in the message above, or with kubectl logs while the pod is there.",
	},
	v1alpha1.StopStartTimeout: {
		means:     "The agent was not healthy within 120 s of the start of its container.",
		unless:    "One good answer to a ping ends the start.",
		agentCore: "It has the same rule, with the same 120 s.",
		look:      "The agent must answer its ping (GET /ping, of an MCP server POST /mcp) at its port, on all addresses of the pod and not only on 127.0.0.1.",
	},
	v1alpha1.StopStartFailed: {
		means:     "The agent never ran: its pod, an init container or its program failed, or took longer than provisioningTimeoutSeconds.",
		unless:    "A container of the agent that starts puts that off.",
		agentCore: "It pulls images before any session starts, so it has no such limit.",
		look:      "What the message names has to be mended: image, Secret, quota, node or command.",
	},
	v1alpha1.StopStuckBusy: {
		means:     "The agent answered HealthyBusy for longer than spec.stuckDetection.afterSeconds, and the action is Stop.",
		unless:    "An agent that answers Healthy puts that off.",
		agentCore: "It has no such rule: the session would live, and cost, until its maximal lifetime.",
		look:      "A task was never completed, or takes longer than you thought: see the condition Stuck in its events.",
	},
	v1alpha1.StopAgentExited: {
		means:     "The agent's process ended by itself, and its memory is lost with it.",
		agentCore: "It deems such a compute unhealthy, and stops it. The next call gets a fresh one, as here.",
		look:      "Read what the agent wrote last: in the message above.",
	},
	v1alpha1.StopComputeLost: {
		means:     "Somebody else took the pod away: an eviction, a drain, a hand, or a node that is gone.",
		agentCore: "You would see no nodes. The next call gets a fresh compute, as here.",
	},
}
