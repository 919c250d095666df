// Package gateway is the front door: AgentCore's data plane over HTTP.
//
// A session is an AgentSession named after its runtime, endpoint and session id,
// so that any number of gateways that are asked for one make one. It is created
// at the first invocation and woken at the next one after a stop. What is in
// flight is told to the operator through status.traffic, by the rules of
// lifecycle.Use: seldom while the idle stop is far, and before the invocation is
// let through when it is near. There is no state beside the API server's.
package gateway
