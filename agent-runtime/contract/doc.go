// Package contract is the container contract of Bedrock AgentCore Runtime:
// the ports, paths, headers and the ping answer that an agent and whoever
// runs it agree on. Both sides of this project share it: agentruntime serves
// it, the operator's prober and the gateway speak to it.
//
// It needs the standard library only, holds no state and starts nothing.
//
// Source: the AgentCore developer guide, "HTTP protocol contract", and the
// bedrock-agentcore SDK for Python.
package contract

import "time"

// What an agent serves. Source: the AgentCore developer guide, "Runtime service
// contract".
const (
	// Port is the TCP port of the protocols HTTP and AG-UI.
	Port = 8080
	// PingPath answers GET with a Ping as JSON, in every protocol.
	PingPath = "/ping"
	// InvocationsPath answers POST, in the protocols HTTP and AG-UI.
	InvocationsPath = "/invocations"
	// WebSocketPath is the WebSocket of the protocols HTTP and AG-UI.
	WebSocketPath = "/ws"

	// MCPPort and MCPPath are those of the protocol MCP.
	MCPPort = 8000
	MCPPath = "/mcp"
	// A2APort and A2APath are those of the protocol A2A, whose agent card is at
	// /.well-known/agent-card.json.
	A2APort = 9000
	A2APath = "/"
)

// PingPeriod is how often the platform asks PingPath, whatever the answer.
const PingPeriod = 2 * time.Second

// MaxPingBytes is the largest ping answer that is read. The real answer has
// about 60 bytes.
const MaxPingBytes = 4 << 10

// MaxPayloadBytes is AgentCore's limit for the payload of an invocation: 100 MB.
const MaxPayloadBytes = 100_000_000

// EnvToken is the variable in an agent's environment that holds the token for
// TasksPath and EventsPath: the operator sets it, and asks with it as
// "Authorization: Bearer TOKEN".
const EnvToken = "AGENTSESSION_TOKEN"
