package gateway

import (
	"net/http"
	"net/url"
	"strings"
)

// operation is one of AgentCore's data plane.
type operation string

const (
	opInvoke  operation = "InvokeAgentRuntime"
	opStop    operation = "StopRuntimeSession"
	opSocket  operation = "InvokeAgentRuntimeWithWebSocketStream"
	opCard    operation = "GetAgentCard"
	opCommand operation = "InvokeAgentRuntimeCommand"
)

// right is what a caller needs.
func (op operation) right() Right {
	if op == opCommand {
		return rightToCommand
	}
	return rightToInvoke
}

// operations are the paths behind /runtimes/{agentRuntimeArn}.
var operations = map[string]struct {
	method string
	op     operation
}{
	"/invocations":        {http.MethodPost, opInvoke},
	"/stopruntimesession": {http.MethodPost, opStop},
	"/commands":           {http.MethodPost, opCommand},
	"/ws":                 {http.MethodGet, opSocket},
	"/invocations/.well-known/agent-card.json": {http.MethodGet, opCard},
}

// route reads which operation of which runtime a request asks for. It goes by
// the path as it was sent: the official clients escape the whole ARN, its slash
// too, and what a signature covers must be what is routed. runtime is an ARN or
// an id.
func route(r *http.Request) (op operation, runtime string, err error) {
	label, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/runtimes/"), "/")
	known, is := operations["/"+rest]
	switch {
	case !strings.HasPrefix(r.URL.EscapedPath(), "/runtimes/"), !ok, !is:
		return "", "", &failure{Code: http.StatusNotFound, Type: "UnknownOperationException", Message: "There is no such operation"}
	case known.method != r.Method:
		return "", "", &failure{Code: http.StatusMethodNotAllowed, Type: "UnknownOperationException", Message: "The operation is asked for with " + known.method}
	}
	if known.op == opSocket && !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return "", "", unparsable("The operation is asked for with the header Upgrade: websocket")
	}
	runtime, err = url.PathUnescape(label)
	if err != nil || runtime == "" || strings.ContainsFunc(runtime, func(c rune) bool { return c <= ' ' || c > '~' || c == '%' }) {
		return "", "", invalid("agentRuntimeArn", "Value at 'agentRuntimeArn' failed to satisfy constraint: Member must be an ARN or an id of a runtime, escaped once")
	}
	return known.op, runtime, nil
}
