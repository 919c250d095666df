package gateway

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// mcpMark stands between the two parts of an id that mcpSession makes.
const mcpMark = ".mcp."

// initialize is MCP's method that begins a session.
const initialize = "initialize"

// mcpState is what a stateful MCP server keeps of a session: by which id, and in which
// activation's compute, 0 if that is not known. Without an id it keeps none.
type mcpState struct {
	id         string
	activation int32
}

// mcpSession is the Mcp-Session-Id of a session that callers get. A stateful MCP
// server makes an id of its own: with both in one, callers need to keep no more than
// MCP has them keep, and any gateway finds the session and tells the agent its own.
func mcpSession(session string, state mcpState) string {
	if state.id == "" || state.id == session {
		return session
	}
	return session + mcpMark + strconv.Itoa(int(state.activation)) + "." + base64.RawURLEncoding.EncodeToString([]byte(state.id))
}

// splitMCP takes an id that mcpSession made apart. Any other is a session's.
func splitMCP(id string) (session string, state mcpState) {
	at := strings.LastIndex(id, mcpMark)
	if at < 0 {
		return id, mcpState{}
	}
	number, encoded, _ := strings.Cut(id[at+len(mcpMark):], ".")
	activation, err := strconv.ParseInt(number, 10, 32)
	own, e := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || e != nil || activation < 0 || len(own) == 0 || !isVisible(string(own)) {
		return id, mcpState{}
	}
	return id[:at], mcpState{string(own), int32(activation)}
}

// isLost tells whether the compute that kept it is not the one of this activation. Servers
// keep sessions in memory.
func (s mcpState) isLost(activation int32) bool {
	return s.id != "" && s.activation != 0 && s.activation != activation
}

// nameMCP has an answer of an activation's compute say which session of MCP it is of.
func (c *call) nameMCP(header http.Header, activation int32) {
	switch {
	case c.any: // its session is not its own, and it could come back with the id
		header.Del(contract.HeaderMCPSessionID)
	case c.protocol == v1alpha1.ProtocolMCP:
		state := c.mcp
		if id := header.Get(contract.HeaderMCPSessionID); id != "" {
			state = mcpState{id, activation}
		}
		header.Set(contract.HeaderMCPSessionID, mcpSession(c.session, state))
	}
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
