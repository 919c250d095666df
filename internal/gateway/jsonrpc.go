package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// maxMember is how long an id or a method of JSON-RPC may be. A longer id is none.
	maxMember = 1024
	// maxRefusal is how long an agent's error may be that reaches the caller.
	maxRefusal = 64 << 10
)

// speaksRPC tells whether a protocol is JSON-RPC 2.0.
func speaksRPC(protocol v1alpha1.ServerProtocol) bool {
	return protocol == v1alpha1.ProtocolMCP || protocol == v1alpha1.ProtocolA2A
}

// rpc is what the gateway reads of a payload that is JSON-RPC.
type rpc struct {
	// id is that of the request, as JSON; null if it has none, or is a batch.
	id json.RawMessage
	// initializes tells whether it begins a session of MCP, or one of a batch does.
	initializes bool
}

// message reads the call's payload, once: the agent's reading gives its file up.
func (c *call) message() *rpc {
	if c.rpc == nil {
		c.rpc = &rpc{id: json.RawMessage("null")}
		payload := c.payload.open()
		_, _ = io.Copy(&skimmer{visit: c.rpc.visit}, payload) // what could not be read says nothing
		_ = payload.Close()                                   // it holds nothing
	}
	return c.rpc
}

func (m *rpc) visit(alone bool, key string, value []byte) {
	switch {
	case key == "method":
		var method string
		m.initializes = m.initializes || json.Unmarshal(value, &method) == nil && method == initialize
	case key == "id" && alone && (value[0] == '"' || value[0] == '-' || value[0] >= '0' && value[0] <= '9'):
		m.id = slices.Clone(value)
	}
}

// skimmer finds the members of the object, or of each object of the array, that is
// written to it. Nested values are passed over, and nothing long is kept, so that a
// payload of any size costs its reading and no memory. It judges no syntax: that is
// the agent's.
type skimmer struct {
	// visit gets each member whose value is a text, a number or a literal. alone says
	// that it is not one of a batch.
	visit func(alone bool, key string, value []byte)

	level, depth    int // of the members, and here
	quoted, escaped bool
	key             string
	token           []byte
}

func (s *skimmer) Write(raw []byte) (int, error) {
	for _, b := range raw {
		if s.quoted {
			s.inText(b)
		} else {
			s.outside(b)
		}
	}
	return len(raw), nil
}

func (s *skimmer) inText(b byte) {
	s.keep(b)
	switch {
	case s.escaped:
		s.escaped = false
	case b == '\\':
		s.escaped = true
	case b == '"':
		s.quoted = false
	}
}

func (s *skimmer) outside(b byte) {
	switch b {
	case '"':
		s.quoted = true
		s.keep(b)
	case '{', '[':
		if s.level == 0 {
			s.level = 1
			if b == '[' {
				s.level = 2
			}
		}
		s.depth++
		s.token = s.token[:0]
	case '}', ']', ',':
		s.end()
		if b != ',' {
			s.depth--
		}
	case ':':
		if s.depth == s.level {
			s.key = ""
			_ = json.Unmarshal(s.token, &s.key) // or it is none
			s.token = s.token[:0]
		}
	case ' ', '\t', '\r', '\n':
	default:
		s.keep(b)
	}
}

func (s *skimmer) keep(b byte) {
	if s.depth == s.level && len(s.token) <= maxMember {
		s.token = append(s.token, b)
	}
}

// end is that of a member, or of a value further in.
func (s *skimmer) end() {
	if s.depth != s.level {
		return
	}
	if s.key != "" && len(s.token) <= maxMember && json.Valid(s.token) {
		s.visit(s.level == 1, s.key, s.token)
	}
	s.key, s.token = "", s.token[:0]
}

// gone is what a server of MCP says of a session that it does not know.
const gone = `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}`

// refused lets an agent's error through that its protocol defines: one of the
// caller's (4xx) that is JSON-RPC, as that of MCP for a call without a session or of
// A2A for an unknown version, and MCP's 404 for a session that the server does not
// know any more, after which clients begin anew. Many servers answer 400 to that, and
// clients would try for ever: in another compute than the one that knew the session it
// is a 404. Whether a caller may call is not the agent's to say, and what else it says
// is not for him.
func (c *call) refused(answer *http.Response, activation int32) error {
	if answer.StatusCode == http.StatusBadRequest && c.mcp.isLost(activation) {
		answer.StatusCode, answer.Status = http.StatusNotFound, ""
	}
	code := answer.StatusCode
	if !speaksRPC(c.protocol) || !reachesCaller(code) {
		return agentFailed(code)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxRefusal+1))
	if err != nil {
		return err
	}
	if len(body) > maxRefusal || !isRPCError(body) {
		if code != http.StatusNotFound || c.protocol != v1alpha1.ProtocolMCP || !c.inMCP {
			return agentFailed(code)
		}
		body = []byte(gone)
	}
	_ = answer.Body.Close() // it was read as far as it will be
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header = http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(body))}, "X-Amzn-Errortype": {agentFailed(code).Type},
	}
	return nil
}

// reachesCaller tells whether an error with this status may be an agent's word to its caller.
func reachesCaller(code int) bool {
	return code >= 400 && code <= 499 && code != http.StatusUnauthorized && code != http.StatusForbidden
}

// isRPCError tells whether a body is an error of JSON-RPC.
func isRPCError(body []byte) bool {
	var said struct {
		Version string `json:"jsonrpc"`
		Error   *struct {
			Code    *int64  `json:"code"`
			Message *string `json:"message"`
		} `json:"error"`
	}
	return json.Unmarshal(body, &said) == nil && said.Version == "2.0" && said.Error != nil && said.Error.Code != nil && said.Error.Message != nil
}
