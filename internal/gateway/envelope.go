package gateway

import (
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// envelope is how AgentCore tells the callers of a protocol of an error (developer
// guide, "protocol contract" of each).
type envelope struct {
	code  int    // the HTTP status; zero: as it is
	rpc   int    // the code of JSON-RPC; zero: none
	event string // the code of an event of AG-UI; empty: none
}

// envelopes are known by the status that the error has otherwise. What is missing
// here is told as to callers of HTTP: what AgentCore says is not known, or, of who
// may call (401, 403), is known to be that.
//
// Clients of MCP have the error of a request with status 200 at hand, and of another
// only that there was one. What AgentCore says of throttling there is not known: it
// counts as a quota, as in A2A.
var envelopes = map[v1alpha1.ServerProtocol]map[int]envelope{
	v1alpha1.ProtocolMCP: {
		http.StatusPaymentRequired:     {code: http.StatusOK, rpc: -32003},
		http.StatusConflict:            {code: http.StatusOK, rpc: -32005},
		http.StatusFailedDependency:    {code: http.StatusOK, rpc: -32010},
		http.StatusTooManyRequests:     {code: http.StatusOK, rpc: -32003},
		http.StatusInternalServerError: {code: http.StatusOK, rpc: -32603},
		http.StatusServiceUnavailable:  {code: http.StatusOK, rpc: -32603},
	},
	v1alpha1.ProtocolA2A: {
		http.StatusBadRequest:            {rpc: -32052},
		http.StatusRequestEntityTooLarge: {rpc: -32052},
		http.StatusPaymentRequired:       {code: http.StatusTooManyRequests, rpc: -32053},
		http.StatusNotFound:              {rpc: -32501},
		http.StatusConflict:              {rpc: -32054},
		http.StatusFailedDependency:      {rpc: -32055},
		http.StatusTooManyRequests:       {rpc: -32053},
		http.StatusInternalServerError:   {rpc: -32603}, // JSON-RPC's own
		http.StatusServiceUnavailable:    {rpc: -32603},
	},
	v1alpha1.ProtocolAGUI: {
		http.StatusPaymentRequired:  {code: http.StatusTooManyRequests},
		http.StatusConflict:         {event: "SESSION_BUSY"},
		http.StatusFailedDependency: {code: http.StatusOK, event: "AGENT_ERROR"},
	},
}

// reply is an answer that is an error.
type reply struct {
	code int
	kind string // its content type
	body []byte
}

// runError is an event of AG-UI.
type runError struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// rpcError is an answer of JSON-RPC.
type rpcError struct {
	Version string          `json:"jsonrpc"`
	Error   rpcFault        `json:"error"`
	ID      json.RawMessage `json:"id"`
}

type rpcFault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// envelop makes of a failure what the call's caller expects.
func (c *call) envelop(f *failure) reply {
	var in envelope
	if c.op == opInvoke {
		in = envelopes[c.protocol][f.Code]
	}
	to := reply{code: cmp.Or(in.code, f.Code), kind: "application/json"}
	switch {
	case in.rpc != 0:
		to.body = marshal(rpcError{"2.0", rpcFault{in.rpc, f.Message}, c.message().id})
	case in.event != "":
		to.body = marshal(runError{"RUN_ERROR", in.event, f.Message})
	default:
		to.body = marshal(f)
	}
	if in.event != "" && to.code == http.StatusOK { // a stream of one event
		to.kind, to.body = "text/event-stream", []byte("data: "+string(to.body)+"\n\n")
	}
	return to
}

func marshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is made of texts
	}
	return body
}
