package gateway

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// headerSessionEndpoint has, in answers of InvokeAgentRuntime, the URL under which the allowed
// ports of the session are reached. Clients take it as it is: its form is this gateway's own.
const headerSessionEndpoint = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Endpoint-Url"

// sessionEndpoint is what the path of a request to a session's port says.
type sessionEndpoint struct {
	qualifier, session string
	port               int32
	path               string // at the port, as it was sent
}

var sessionEndpointPath = regexp.MustCompile(`^/runtimes/[^/]+/sessions/([^/]+)/([^/]+)/([1-9][0-9]{3,4})(/.*)?$`)

// sessionEndpointOf reads /runtimes/{runtime}/sessions/{qualifier}/{session id}/{port}/{path}.
func sessionEndpointOf(r *http.Request) (e sessionEndpoint, is bool) {
	parts := sessionEndpointPath.FindStringSubmatch(r.URL.EscapedPath())
	if parts == nil {
		return e, false
	}
	port, err := strconv.ParseInt(parts[3], 10, 32)
	if err != nil {
		return e, false
	}
	return sessionEndpoint{unescaped(parts[1]), unescaped(parts[2]), int32(port), cmp.Or(parts[4], "/")}, true
}

// unescaped is a part of a path that net/url has read, so it can be.
func unescaped(part string) string {
	part, _ = url.PathUnescape(part)
	return part
}

// addressEndpoint reads which session a request to a session's port is for.
func (g *Gateway) addressEndpoint(r *http.Request, c *call) error {
	e, _ := sessionEndpointOf(r)
	if err := g.check(r.Context(), c.runtime, e.check); err != nil {
		return err
	}
	c.qualifier, c.session = e.qualifier, e.session
	return checkSessionID(c.session)
}

// check is an error if a runtime has no such endpoint, or does not let its port be reached.
func (e sessionEndpoint) check(agent *v1alpha1.AgentRuntime) error {
	if err := checkEndpoint(agent, e.qualifier); err != nil {
		return err
	}
	if !lifecycle.AllowsPort(agent.Spec.AllowedPorts, e.port) {
		return denied(fmt.Sprintf("The port %d is none of the runtime's allowedPorts", e.port))
	}
	return nil
}

// asleep is what is answered for a session that a request to one of its ports does not start.
func asleep(phase lifecycle.Phase) error {
	if phase == lifecycle.PhaseStarting {
		return conflict()
	}
	return notFound("The session has no compute, and a request to a port starts none: invoke it first")
}

// reachesPort is an error if a request may not reach its port of a session's compute. All that
// comes to the agent's own port passes by the gateway as an invocation does.
func (c *call) reachesPort(r *http.Request, session *v1alpha1.AgentSession) error {
	e, _ := sessionEndpointOf(r)
	if e.port == lifecycle.ProtocolOf(startedWith(session).ProtocolConfiguration).Port {
		return denied(fmt.Sprintf("The port %d is the agent's own, which is called by InvokeAgentRuntime", e.port))
	}
	return nil
}

// rewriteToPort makes the request for a port of a session, of all that it is but for what is the
// gateway's.
func rewriteToPort(p *httputil.ProxyRequest, c *call, session *v1alpha1.AgentSession) {
	e, _ := sessionEndpointOf(p.In)
	at := net.JoinHostPort(session.Status.Pod.IP, strconv.Itoa(int(e.port)))
	p.Out.URL = &url.URL{Scheme: "http", Host: at, Path: unescaped(e.path), RawPath: e.path, RawQuery: withoutSignature(p.In.URL.RawQuery)}
	p.Out.Host, p.Out.Trailer = net.JoinHostPort("localhost", p.Out.URL.Port()), nil
	for name := range p.Out.Header {
		if !reachesServer(name, c, startedWith(session).RequestHeaderConfiguration) {
			delete(p.Out.Header, name)
		}
	}
	if !c.opensSocket(p.In) { // ReverseProxy passes any other upgrade on
		p.Out.Header.Del("Connection")
		p.Out.Header.Del("Upgrade")
	}
	p.Out.Header.Set(contract.HeaderSessionID, c.session)
	c.sendPayload(p.Out)
}

// reachesServer tells whether a header of a request reaches a server in a session. Cookies do not:
// the sessions of all tenants are at one origin, the gateway's.
func reachesServer(name string, c *call, allowed *v1alpha1.RequestHeaderConfiguration) bool {
	switch {
	case name == "Authorization", strings.HasPrefix(name, "X-Amzn-Bedrock-"):
		return passes(name, c, allowed)
	case name == "Cookie", name == "Expect", strings.EqualFold(name, contract.HeaderWorkloadAccessToken):
		return false
	}
	return !strings.HasPrefix(name, "X-Amz-") && !strings.HasPrefix(name, "X-Agentsession-")
}

// withoutSignature is a query without what a presigned URL has in it.
func withoutSignature(query string) string {
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		return err == nil && strings.HasPrefix(name, "X-Amz-")
	})
	return strings.Join(pairs, "&")
}

// keptBack are headers of a server in a session that do not reach the caller: they would be taken
// for the gateway's, or are for all that is at its origin.
var keptBack = []string{"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc", "Service-Worker-Allowed", "Nel", "Report-To"}

// passOnFromPort lets an answer of a server in a session through as it is.
func passOnFromPort(answer *http.Response, c *call) error {
	if err := c.checkLength(answer); err != nil {
		return err
	}
	for name := range answer.Header {
		if slices.Contains(keptBack, name) || strings.HasPrefix(name, "X-Amz") || strings.HasPrefix(name, "Access-Control-") {
			delete(answer.Header, name)
		}
	}
	if answer.Header.Get("Content-Type") == "" {
		answer.Header["Content-Type"] = nil // or it would be guessed
	}
	if c.byToken && answer.StatusCode == http.StatusSwitchingProtocols && answer.Header.Get("Sec-Websocket-Protocol") == "" {
		answer.Header.Set("Sec-Websocket-Protocol", authn.BearerProtocol)
	}
	return nil
}
