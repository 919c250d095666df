package gateway

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// preflightAge is how long a browser may go by an answer to a preflight, in seconds: so late
// it learns that an origin is not allowed any more.
const preflightAge = "600"

// exposed are the headers of answers that pages may read, beside those that every page may.
var exposed = strings.Join([]string{
	contract.HeaderSessionID, headerSessionEndpoint, contract.HeaderMCPSessionID, "Mcp-Protocol-Version", "A2A-Version", "A2A-Extensions",
	"X-Amzn-RequestId", "X-Amzn-ErrorType", "WWW-Authenticate", "Retry-After", "X-Amz-Retry-After", "X-Amzn-Trace-Id", "Traceparent",
}, ", ")

// mayCall tells whether a page may call a runtime. No runtime: none may.
func mayCall(agent *v1alpha1.AgentRuntime, origin string) bool {
	return agent != nil && slices.Contains(agent.Spec.AllowedOrigins, v1alpha1.Origin(origin))
}

// letPageRead lets a page of a runtime's origins read the answer, whatever that is.
func letPageRead(w http.ResponseWriter, r *http.Request, agent *v1alpha1.AgentRuntime) {
	if agent == nil || len(agent.Spec.AllowedOrigins) == 0 {
		return
	}
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); mayCall(agent, origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", exposed)
	}
}

// preflight answers a browser that asks whether a page may make a call (CORS). It tells a page of
// another origin nothing, also not whether there is a runtime: that one is answered as
// whoever asks for an operation with OPTIONS.
func (g *Gateway) preflight(w http.ResponseWriter, r *http.Request, c *call) (done bool) {
	meant := r.Clone(r.Context())
	meant.Method = r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || meant.Method == "" {
		return false
	}
	op, label, err := route(meant)
	if err != nil || !op.ofRuntime() || !httpguts.ValidHeaderFieldName(meant.Method) {
		return false
	}
	found, err := g.candidates(meant, &call{op: op, label: label})
	agent := withAuthorizer(found)
	if err != nil || !mayCall(agent, r.Header.Get("Origin")) {
		return false
	}
	c.op, c.label = opPreflight, label
	letPageRead(w, r, agent)
	w.Header().Set("Access-Control-Allow-Methods", meant.Method)
	w.Header().Set("Access-Control-Max-Age", preflightAge)
	if names := headersAskedFor(r); names != "" {
		w.Header().Set("Access-Control-Allow-Headers", names)
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// headersAskedFor are those that a page wants to send. Which of them reach the agent is the
// same as for other callers.
func headersAskedFor(r *http.Request) string {
	var names []string
	for name := range strings.SplitSeq(strings.Join(r.Header.Values("Access-Control-Request-Headers"), ","), ",") {
		if name = strings.TrimSpace(name); httpguts.ValidHeaderFieldName(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// checkOrigin refuses a WebSocket of a page of another origin: browsers send no preflight for
// one. Who is no browser sends no origin.
func (c *call) checkOrigin(r *http.Request) error {
	origins := r.Header.Values("Origin")
	if !c.opensSocket(r) || len(origins) == 0 || len(c.runtime.Spec.AllowedOrigins) == 0 || len(origins) == 1 && mayCall(c.runtime, origins[0]) {
		return nil
	}
	return denied("The page may not open a WebSocket: its Origin is none of the runtime's allowedOrigins")
}
