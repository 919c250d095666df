package agentruntime

import (
	"net/http"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Protocol is what an agent speaks besides the ping: it decides about port and
// path. Source: the AgentCore developer guide, "Runtime service contract".
type Protocol string

const (
	// HTTP is POST /invocations and the WebSocket /ws, on port 8080.
	HTTP Protocol = "HTTP"
	// MCP is the Model Context Protocol: /mcp on port 8000.
	MCP Protocol = "MCP"
	// A2A is the Agent2Agent protocol: all paths, on port 9000.
	A2A Protocol = "A2A"
	// AGUI is the Agent User Interaction protocol: port and paths of HTTP, with
	// streams (SSE) for answers.
	AGUI Protocol = "AGUI"
)

type endpoint struct {
	port      int
	path      string
	webSocket bool
}

var endpoints = map[Protocol]endpoint{
	HTTP: {contract.Port, contract.InvocationsPath, true},
	MCP:  {contract.MCPPort, contract.MCPPath, false},
	A2A:  {contract.A2APort, contract.A2APath, false},
	AGUI: {contract.Port, contract.InvocationsPath, true},
}

// EntrypointHTTP gives the path of the Protocol to h as it is, with all
// methods, in place of the Entrypoint. It is for the servers of other libraries
// that speak MCP or A2A, of which the latter gets all paths but /ping. Its
// requests count as invocations: they have the same context, are refused and
// waited for at the end, and a panic is answered with 500.
func (a *App) EntrypointHTTP(h http.Handler) { a.raw.Store(&h) }

// Handler serves the contract for those who bring their own server. They call
// Drain before they close it, and set no timeout that would cut an invocation.
func (a *App) Handler() http.Handler {
	served := endpoints[a.options.Protocol]
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+contract.PingPath, a.servePing)
	mux.HandleFunc(served.path, a.serveEntrypoint)
	if served.webSocket {
		mux.HandleFunc("GET "+contract.WebSocketPath, a.serveWebSocket)
	}
	if a.options.Introspection {
		mux.HandleFunc("GET "+contract.TasksPath, a.insiders(a.serveTasks))
		mux.HandleFunc("GET "+contract.EventsPath, a.insiders(a.serveEvents))
	}
	return mux
}

func (a *App) serveEntrypoint(w http.ResponseWriter, r *http.Request) {
	switch raw := a.raw.Load(); {
	case raw != nil && *raw != nil:
		a.serveRaw(w, r, *raw)
	case r.URL.Path != endpoints[a.options.Protocol].path:
		http.NotFound(w, r)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	default:
		a.serveInvocation(w, r)
	}
}
