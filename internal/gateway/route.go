package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/agentsession/agentsession/internal/authn"
)

// operation is one of AgentCore's data plane.
type operation string

const (
	opInvoke   operation = "InvokeAgentRuntime"
	opStop     operation = "StopRuntimeSession"
	opSocket   operation = "InvokeAgentRuntimeWithWebSocketStream"
	opCard     operation = "GetAgentCard"
	opCommand  operation = "InvokeAgentRuntimeCommand"
	opShell    operation = "InvokeAgentRuntimeCommandShell"
	opMetadata operation = "GetRuntimeProtectedResourceMetadata"
	opPort     operation = "InvokeAgentRuntimeProxy"
	// Not AgentCore's.
	opPreflight operation = "Preflight"
	opList      operation = "ListSessions"
	opDescribe  operation = "GetSession"
	opStopMany  operation = "StopSessions"
	opOpenAPI   operation = "GetOpenAPI"
)

// ofRuntime tells whether an operation is of the runtime that its path names.
func (op operation) ofRuntime() bool {
	return op != opList && op != opDescribe && op != opStopMany && op != opOpenAPI
}

// opensSocket tells whether an operation is answered with a WebSocket.
func (op operation) opensSocket() bool { return op == opSocket || op == opShell }

// opensSocket tells whether a request is answered with a WebSocket, if that is good.
func (c *call) opensSocket(r *http.Request) bool {
	return c.op.opensSocket() || c.op == opPort && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// right is what a caller needs.
func (op operation) right() authn.Right {
	if op == opCommand || op == opShell {
		return authn.ToCommand
	}
	return authn.ToInvoke
}

// ofRuntime is an operation of a runtime.
type ofRuntime struct {
	method string
	op     operation
}

// operations are the paths behind /runtimes/{agentRuntimeArn}.
var operations = map[string]ofRuntime{
	"/invocations":        {http.MethodPost, opInvoke},
	"/invocations/":       {http.MethodPost, opInvoke}, // A2A's clients put the slash there
	"/stopruntimesession": {http.MethodPost, opStop},
	"/commands":           {http.MethodPost, opCommand},
	"/ws":                 {http.MethodGet, opSocket},
	"/ws/shells":          {http.MethodGet, opShell},
	"/invocations/.well-known/agent-card.json": {http.MethodGet, opCard},
	"/invocations" + metadataPath:              {http.MethodGet, opMetadata},
}

// extension is an operation that is not AgentCore's.
type extension struct {
	method string
	op     operation
	label  string
}

func extensionOf(path string) (o extension, is bool) {
	switch path {
	case "/sessions":
		return extension{http.MethodGet, opList, ""}, true
	case "/sessions/stop":
		return extension{http.MethodPost, opStopMany, ""}, true
	case "/openapi.yaml":
		return extension{http.MethodGet, opOpenAPI, ""}, true
	}
	label, is := strings.CutPrefix(path, "/sessions/")
	namespace, name, whole := strings.Cut(label, "/")
	return extension{http.MethodGet, opDescribe, label}, is && whole && namespace != "" && isName(name)
}

// isName tells whether a part of a path could be the name of an object.
func isName(part string) bool { return part != "" && !strings.ContainsAny(part, "/%") }

// route reads which operation of which runtime a request asks for. It goes by
// the path as it was sent: the official clients escape the whole ARN, its slash
// too, and what a signature covers must be what is routed. runtime is an ARN or
// an id.
func route(r *http.Request) (op operation, runtime string, err error) {
	path := r.URL.EscapedPath()
	if own, is := extensionOf(path); is {
		return own.op, own.label, allowsOnly(own.method, r)
	}
	below, is := strings.CutPrefix(path, "/runtimes/")
	label, rest, _ := strings.Cut(below, "/")
	known, ok := operationAt(r, rest)
	switch {
	case !is:
		return "", "", noOperation(mistakeAt(path))
	case !ok:
		return "", "", noOperation(mistakeIn(rest))
	case known.method != r.Method:
		return "", "", allowsOnly(known.method, r)
	}
	if known.op.opensSocket() && !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return "", "", unparsable("The operation is asked for with the header Upgrade: websocket")
	}
	runtime, err = url.PathUnescape(label)
	if err != nil || runtime == "" || strings.ContainsFunc(runtime, func(c rune) bool { return c <= ' ' || c > '~' || c == '%' }) {
		return "", "", invalid("agentRuntimeArn", "Value at 'agentRuntimeArn' failed to satisfy constraint: Member must be an ARN or an id of a runtime, escaped once")
	}
	return known.op, runtime, nil
}

// operationAt is the operation that stands in a path behind its runtime.
func operationAt(r *http.Request, rest string) (known ofRuntime, ok bool) {
	if known, ok = operations["/"+rest]; ok {
		return known, true
	}
	_, ok = sessionEndpointOf(r)
	return ofRuntime{r.Method, opPort}, ok
}

// allowsOnly is an error if a request has another method.
func allowsOnly(method string, r *http.Request) error {
	if r.Method == method {
		return nil
	}
	return &failure{
		Code: http.StatusMethodNotAllowed, Type: unknownOperation, Allow: method, Message: "The operation is asked for with " + method,
	}
}

func noOperation(mistake string) error {
	return &failure{Code: http.StatusNotFound, Type: unknownOperation, Message: "There is no such operation" + mistake}
}

// mistakeAt tells what is wrong with a path that does not name a runtime, if it is one of the
// container contract, by which callers would reach the agent itself.
func mistakeAt(path string) string {
	switch path {
	case "/", "/invocations", "/mcp":
		return fmt.Sprintf(": %s is a path of the container contract, which agents serve. Here an agent is called with POST /runtimes/{agentRuntimeArn}/invocations, the ARN escaped, as AWS's clients do", path)
	case "/ws":
		return ": /ws is a path of the container contract, which agents serve. Here it is /runtimes/{agentRuntimeArn}/ws, the ARN escaped, as with AWS's clients"
	case "/ping":
		return ": /ping is a path of the container contract, which agents serve and the operator asks. What it was told is in GET /sessions/{namespace}/{name}"
	}
	return ""
}

// mistakeIn tells what is wrong with a path of which this stands behind the label of
// the runtime, if it is what many get wrong.
func mistakeIn(rest string) string {
	_, operation, more := strings.Cut(rest, "/")
	_, behind := operations["/"+operation]
	switch {
	case strings.HasPrefix(rest, "sessions/"):
		return ": the URL of a session endpoint is followed by a port and a path, as in /8081/index.html"
	case rest == "":
		return ": the path ends with the runtime, and needs /invocations or another operation behind it"
	case more && behind:
		return ": a slash in what names the runtime must be escaped as %2F, as in arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime%2Fecho-abcdefghij"
	}
	return ""
}
