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
	// PingPath answers GET with a Ping as JSON, in every protocol but MCP.
	PingPath = "/ping"
	// InvocationsPath answers POST, in the protocols HTTP and AG-UI.
	InvocationsPath = "/invocations"
	// WebSocketPath is the WebSocket of the protocols HTTP and AG-UI.
	WebSocketPath = "/ws"

	// MCPPort and MCPPath are those of the protocol MCP.
	MCPPort = 8000
	MCPPath = "/mcp"
	// MCPPing is the question that MCP servers are asked in the place of PingPath, as
	// POST to their path. Its answer does not say whether there is work.
	MCPPing = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
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

// AgentCore's limits for a WebSocket: how long the payload of a frame may be (64 KB), and how
// many frames may come in a second.
const (
	MaxFrameBytes = 64 << 10
	MaxFrameRate  = 250
)

// What AgentSession's operator sets in an agent's environment. AgentCore does
// not know them.
const (
	// EnvRuntimeSessionID is the session's id, which HeaderSessionID names too.
	EnvRuntimeSessionID = "AGENTSESSION_RUNTIME_SESSION_ID"
	// EnvActivation is the number of the compute: 1, 2, 3, ...
	EnvActivation = "AGENTSESSION_ACTIVATION"
	// EnvIdleTimeout and EnvMaxLifetime are the two timeouts in force when the
	// compute was made, in seconds. A time scale is not in them.
	EnvIdleTimeout = "AGENTSESSION_IDLE_RUNTIME_SESSION_TIMEOUT"
	EnvMaxLifetime = "AGENTSESSION_MAX_LIFETIME"
	// EnvGracePeriod is the pod's terminationGracePeriodSeconds, unless a preStop hook
	// of the agent's takes its part of that.
	EnvGracePeriod = "AGENTSESSION_TERMINATION_GRACE_PERIOD"
	// EnvStorage is the folder of the session's storage, if the session has storage.
	// AgentCore sets no such variable: there an agent knows its mountPath.
	EnvStorage = "AGENTSESSION_STORAGE"
	// EnvToken is the token for TasksPath and EventsPath, which the operator
	// shows as "Authorization: Bearer TOKEN".
	EnvToken = "AGENTSESSION_TOKEN"
)
