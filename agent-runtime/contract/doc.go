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

// What an agent serves in the HTTP protocol.
const (
	// Port is the TCP port of the HTTP protocol.
	Port = 8080
	// PingPath answers GET with a Ping as JSON.
	PingPath = "/ping"
	// InvocationsPath answers POST.
	InvocationsPath = "/invocations"
)

// PingPeriod is how often the platform asks PingPath, whatever the answer.
const PingPeriod = 2 * time.Second

// MaxPingBytes is the largest ping answer that is read. The real answer has
// about 60 bytes.
const MaxPingBytes = 4 << 10

// Request headers. HTTP header names are case-insensitive: the AWS clients
// send at least two spellings.
const (
	// HeaderSessionID names the session, 33 to 256 characters.
	HeaderSessionID = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
	// HeaderRequestID names one invocation.
	HeaderRequestID = "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id"
)
