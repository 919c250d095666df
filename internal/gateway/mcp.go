package gateway

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// mcpMark stands between the two parts of an id that mcpSession makes.
const mcpMark = ".mcp."

// initialize is MCP's method that begins a session.
const initialize = "initialize"

// mcpSession is the Mcp-Session-Id of a session that callers get. A stateful MCP
// server makes an id of its own: with both in one, callers need to keep no more than
// MCP has them keep, and any gateway finds the session and tells the agent its own.
func mcpSession(session, agents string) string {
	if agents == "" || agents == session {
		return session
	}
	return session + mcpMark + base64.RawURLEncoding.EncodeToString([]byte(agents))
}

// splitMCP takes an id that mcpSession made apart. Any other is a session's.
func splitMCP(id string) (session, agents string) {
	at := strings.LastIndex(id, mcpMark)
	if at < 0 {
		return id, ""
	}
	own, err := base64.RawURLEncoding.DecodeString(id[at+len(mcpMark):])
	if err != nil || len(own) == 0 || !isVisible(string(own)) {
		return id, ""
	}
	return id[:at], string(own)
}

// anySession tells whether the call, which names no session, gets any that is free.
// An MCP client that initializes does not: it goes on in the session that it gets.
func (c *call) anySession(r *http.Request) bool {
	if lifecycle.SessionlessOf(&c.runtime.Spec) != v1alpha1.SessionlessAny {
		return false
	}
	if c.protocol != v1alpha1.ProtocolMCP {
		return true
	}
	if method := r.Header.Get("Mcp-Method"); method != "" {
		return method != initialize
	}
	return !c.message().initializes
}
