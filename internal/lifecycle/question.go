package lifecycle

import (
	"cmp"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Question is how an agent is asked whether it is there, and how its answer is read.
// The zero Question is GET /ping, and every answer of 200 is a good one.
type Question struct {
	// MCP is the path that MCP's ping is posted to; empty: GET /ping is asked.
	MCP string
	// Strict takes only the two words of the contract for an answer to GET /ping.
	Strict bool
}

// QuestionOf reads a spec that is in force (Govern), of a session that was started
// with a version of a runtime or without one.
func QuestionOf(spec *v1alpha1.AgentSessionSpec, started *v1alpha1.ActivationRuntime) Question {
	q := Question{Strict: spec.Ping.Answers == v1alpha1.PingAnswersStrict}
	if checkOf(spec.Ping.Check, v1alpha1.ProtocolHTTP) != v1alpha1.PingCheckMCP {
		return q
	}
	if spec.RuntimeRef != nil && started != nil {
		q.MCP = started.ProtocolConfiguration.Path
	}
	q.MCP = cmp.Or(q.MCP, contract.MCPPath)
	return q
}

// checkOf is what Auto means for an agent that speaks a protocol.
func checkOf(check v1alpha1.PingCheck, protocol v1alpha1.ServerProtocol) v1alpha1.PingCheck {
	switch {
	case check != "" && check != v1alpha1.PingCheckAuto:
		return check
	case protocol == v1alpha1.ProtocolMCP:
		return v1alpha1.PingCheckMCP
	}
	return v1alpha1.PingCheckHTTP
}

// String is the question in words.
func (q Question) String() string {
	if q.MCP != "" {
		return "MCP's ping (POST " + beginning(q.MCP) + ")"
	}
	return "GET " + contract.PingPath
}
