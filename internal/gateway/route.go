package gateway

import (
	"net/http"
	"net/url"
	"strings"
)

// operation is one of AgentCore's data plane.
type operation string

const (
	opInvoke   operation = "InvokeAgentRuntime"
	opStop     operation = "StopRuntimeSession"
	opSocket   operation = "InvokeAgentRuntimeWithWebSocketStream"
	opCard     operation = "GetAgentCard"
	opCommand  operation = "InvokeAgentRuntimeCommand"
	opMetadata operation = "GetRuntimeProtectedResourceMetadata"
	// Not AgentCore's.
	opList     operation = "ListSessions"
	opDescribe operation = "GetSession"
	opStopMany operation = "StopSessions"
	opOpenAPI  operation = "GetOpenAPI"
)

// ofRuntime tells whether an operation is of the runtime that its path names.
func (op operation) ofRuntime() bool {
	return op != opList && op != opDescribe && op != opStopMany && op != opOpenAPI
}

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
	"/invocations/":       {http.MethodPost, opInvoke}, // A2A's clients put the slash there
	"/stopruntimesession": {http.MethodPost, opStop},
	"/commands":           {http.MethodPost, opCommand},
	"/ws":                 {http.MethodGet, opSocket},
	"/invocations/.well-known/agent-card.json": {http.MethodGet, opCard},
	"/invocations" + metadataPath:              {http.MethodGet, opMetadata},
}

// own is an operation that is not AgentCore's.
type own struct {
	method string
	op     operation
	label  string
}

func owned(path string) (o own, is bool) {
	switch path {
	case "/sessions":
		return own{http.MethodGet, opList, ""}, true
	case "/sessions/stop":
		return own{http.MethodPost, opStopMany, ""}, true
	case "/openapi.yaml":
		return own{http.MethodGet, opOpenAPI, ""}, true
	}
	label, is := strings.CutPrefix(path, "/sessions/")
	namespace, name, whole := strings.Cut(label, "/")
	return own{http.MethodGet, opDescribe, label}, is && whole && namespace != "" && isName(name)
}

// isName tells whether a part of a path could be the name of an object.
func isName(part string) bool { return part != "" && !strings.ContainsAny(part, "/%") }

// route reads which operation of which runtime a request asks for. It goes by
// the path as it was sent: the official clients escape the whole ARN, its slash
// too, and what a signature covers must be what is routed. runtime is an ARN or
// an id.
func route(r *http.Request) (op operation, runtime string, err error) {
	if own, is := owned(r.URL.EscapedPath()); is && own.method == r.Method {
		return own.op, own.label, nil
	}
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
