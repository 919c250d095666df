package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	cardPath = "/.well-known/agent-card.json"
	// maxHeaderValue is how long the value of an allowlisted header may be, and
	// maxBaggage that of baggage: AgentCore's.
	maxHeaderValue = 4096
	maxBaggage     = 8192
	// dialTimeout is how long an address may take to be reached, and how long a compute
	// may in all, however often a call tries.
	dialTimeout = 5 * time.Second
	// agentBuffer is what is read, and written, at once, for as long as a stream is open:
	// small, as buffers are.
	agentBuffer = 2 << 10
	// idleConnection is how long a connection to an agent is kept for the next call:
	// half of gunicorn's 2 s, the shortest of the usual servers (uvicorn and Node have
	// 5). A call on one that the agent is closing fails, and may not be repeated.
	idleConnection = time.Second
	// maxTries is how often an agent that is not there is looked for anew.
	maxTries = 3
)

// buffers are smaller than ReverseProxy's own of 32 KiB: each stream has one for as
// long as it is open. (ReverseProxy passes on every chunk of a stream as it comes.)
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { return new([4 << 10]byte) }}

func (buffers) Get() []byte { return bufferPool.Get().(*[4 << 10]byte)[:] } //nolint:forcetypeassert // New makes no other

func (buffers) Put(b []byte) { bufferPool.Put((*[4 << 10]byte)(b)) }

// agents carries requests to agents: straight to their pods, as they are.
type agents struct{ *http.Transport }

// reach is the time that a compute has to be reached by a call.
type reach struct {
	of compute
	by time.Time
}

// reachBy is the key of a context that holds its end.
type reachBy struct{}

// within has all tries to reach a compute end together.
func (r *reach) within(ctx context.Context, of compute) context.Context {
	if r.of != of {
		*r = reach{of, time.Now().Add(dialTimeout)}
	}
	return context.WithValue(ctx, reachBy{}, r.by)
}

func toAgents(allowLoopback bool) agents {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: notOwn}
	if allowLoopback {
		dialer.Control = nil
	}
	return agents{&http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if by, ok := ctx.Value(reachBy{}).(time.Time); ok {
				var cancel context.CancelFunc
				ctx, cancel = context.WithDeadline(ctx, by)
				defer cancel()
			}
			return dialer.DialContext(ctx, network, addr)
		},
		DisableCompression:     true,
		ReadBufferSize:         agentBuffer,
		WriteBufferSize:        agentBuffer,
		MaxResponseHeaderBytes: maxHeaders,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        idleConnection,
		Protocols:              http1(),
	}}
}

// notOwn keeps a dialer from the gateway's own machine and link: the status that says
// where an agent is may be a tenant's.
func notOwn(_, address string, _ syscall.RawConn) error { return lifecycle.CheckDialedPort(address) }

// RoundTrip returns an agent's answer and nothing else: what it says before the
// answer and after it stays here.
func (a agents) RoundTrip(r *http.Request) (*http.Response, error) {
	// ReverseProxy would pass on what has a status of 1xx. Where nobody looks at
	// that, it counts among the headers, which have a limit.
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.Got1xxResponse = nil
	}
	answer, err := a.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	bare := *answer // the trailers come with the body's end, and go to the answer that net/http made
	bare.Trailer = nil
	if endsWithConnection(answer) {
		bare.Body = &untilClosed{answer.Body, textOf(answer.Header.Get("Content-Type")), func() bool { return a.isAlive(r) }}
	}
	return &bare, nil
}

func http1() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	return p
}

// invoke finds the session's compute and has it answer.
func (g *Gateway) invoke(w http.ResponseWriter, r *http.Request, c *call) error {
	work, limit := withLimit(context.WithoutCancel(r.Context()), w, c.limits.Request)
	defer limit.end()
	waiting, stop := whileThere(work, r.Context())
	defer stop()
	var reach reach
	for tries := 1; ; tries++ {
		changed := g.changes.next(c.key())
		session, release, err := g.acquireFor(waiting, c)
		if err != nil {
			return c.ended(waiting, err, g.waitedFor(waiting, c))
		}
		observeStart(c)
		if err := context.Cause(waiting); err != nil { // the agent has heard nothing
			release()
			return c.ended(waiting, err, "the agent had not been asked")
		}
		err = g.forward(w, r.WithContext(reach.within(work, computeOf(session))), c, session, limit, g.onHangup(r.Context(), c, computeOf(session), limit.cancel), release)
		if !unreached(err) || tries == maxTries {
			return c.ended(work, err, "the agent had not answered")
		}
		// The compute went, and the cache does not show it yet.
		if err := waitFor(waiting, changed, conflictRetry); err != nil && !errors.Is(err, errUnchanged) {
			return c.ended(waiting, err, "the agent was not there")
		}
	}
}

// acquireFor has the session that a call asks for.
func (g *Gateway) acquireFor(ctx context.Context, c *call) (session *v1alpha1.AgentSession, release func(), err error) {
	ctx, span := g.tracing.tracer.Start(ctx, "AcquireSession")
	defer func() {
		span.SetAttributes(attributeStarted.Bool(!c.began.IsZero()))
		if err != nil {
			span.SetAttributes(attributeError.String(typeOf(err)))
		}
		span.End()
	}()
	if c.any {
		return g.acquireAny(ctx, c)
	}
	return g.acquire(ctx, c, false)
}

// unreached tells of an error that came before the agent could hear anything.
func unreached(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// brokenOff is why an answer that was begun ended before its end, where that was the caller.
func brokenOff(hangup *hangup, socket *boundedSocket) error {
	if hangup.end() {
		return answeredError{errHungUp}
	}
	if broken := socket.broken.Load(); broken != nil {
		return answeredError{errors.New("the WebSocket was closed: " + broken.Reason)}
	}
	return nil
}

// forward has the session's compute answer. It panics, as handlers do, if the
// answer ends before its end; release is called in any case.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, c *call, session *v1alpha1.AgentSession, limit *limit, hangup *hangup, release func()) error {
	defer release()
	defer hangup.end()
	defer g.run(r.Context(), session, limit.cut)()
	inFlight.Inc()
	defer inFlight.Dec()
	header, err := c.prepare(w, r, session)
	if err != nil {
		return err
	}
	var failed error
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(p *httputil.ProxyRequest) { rewrite(p, c, session, header) },
		Transport:  g.agents,
		BufferPool: buffers{},
		ErrorLog:   log.New(io.Discard, "", 0),
		ModifyResponse: func(answer *http.Response) error {
			if err := passOn(answer, c, session); err != nil {
				return err
			}
			if streams(answer) {
				limit.extend(c.limits.Stream)
			}
			if heardAsItComes(answer) {
				hangup.streams()
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	socket := &boundedSocket{ResponseWriter: w}
	if c.op == opSocket {
		w = socket
	}
	proxy.ServeHTTP(&detachableWriter{ResponseWriter: w, hangup: hangup}, r)
	switch _, answered := errors.AsType[*failure](failed); {
	case failed == nil:
		g.traffic.noteAnswer(computeOf(session))
		return brokenOff(hangup, socket)
	case answered:
		g.traffic.noteAnswer(computeOf(session))
		return failed
	}
	if unreached(failed) {
		return errors.Join(c.notReached(), failed)
	}
	failed = errors.New(lifecycle.Printable(failed.Error())) // it may hold what the agent wrote
	return errors.Join(runtimeError("Runtime health check failed or timed out: the agent closed the connection before it answered."), failed)
}

// notReached is what a caller learns of an agent, or another server, that is not there.
func (c *call) notReached() error {
	if c.op == opPort {
		return runtimeError("No server answers at the port of the session: it has to listen on 0.0.0.0.")
	}
	return runtimeError("Runtime health check failed or timed out: the agent could not be reached.")
}

// streams tells whether an answer is one that may last: a WebSocket, or of no known
// length.
func streams(answer *http.Response) bool {
	return answer.ContentLength < 0 || answer.StatusCode == http.StatusSwitchingProtocols
}

// fixedPaths are those that no protocolConfiguration changes.
var fixedPaths = map[operation]string{opSocket: contract.WebSocketPath, opCard: cardPath}

// rewrite makes the request for the agent, of what may reach it and nothing else.
func rewrite(p *httputil.ProxyRequest, c *call, session *v1alpha1.AgentSession, header http.Header) {
	if c.op == opPort {
		rewriteToPort(p, c, session)
		return
	}
	protocol := lifecycle.ProtocolOf(startedWith(session).ProtocolConfiguration)
	path := cmp.Or(fixedPaths[c.op], protocol.Path)
	out := p.Out
	out.URL = &url.URL{Scheme: "http", Host: net.JoinHostPort(session.Status.Pod.IP, strconv.Itoa(int(protocol.Port))), Path: path}
	// Servers of MCP answer 421 to any other name than localhost, by default.
	out.Host, out.Trailer = net.JoinHostPort("localhost", out.URL.Port()), nil
	out.Header = header
	c.sendPayload(out)
	// A connection that is kept to such an agent keeps other gateways' calls waiting. That of
	// a WebSocket ends with it, and its request names another Connection.
	out.Close = session.Status.Pod.OneConnection && c.op != opSocket
	if c.op == opSocket {
		for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
			if values := p.In.Header.Values(name); len(values) > 0 {
				out.Header[name] = values
			}
		}
	}
}

// sendPayload has a request carry the call's payload.
func (c *call) sendPayload(out *http.Request) {
	out.Body, out.ContentLength = c.payload.send(), c.payload.Size
	out.GetBody = func() (io.ReadCloser, error) { return c.payload.send(), nil }
	if c.payload.Size == 0 {
		out.Body = http.NoBody
	}
}

// startedWith is the version of its runtime that a session's compute started with.
func startedWith(session *v1alpha1.AgentSession) v1alpha1.ActivationRuntime {
	if session.Status.Runtime == nil {
		return v1alpha1.ActivationRuntime{}
	}
	return *session.Status.Runtime
}

// prepare takes from a request what is needed once its agent is known, and returns the
// headers that go to it.
func (c *call) prepare(w http.ResponseWriter, r *http.Request, session *v1alpha1.AgentSession) (http.Header, error) {
	c.runs(session)
	if c.op == opPort {
		return nil, c.reachesPort(r, session)
	}
	if speaksRPC(c.protocol) {
		c.message() // while it is there
	}
	in := r.Header
	if c.op == opSocket {
		var err error
		if in, err = withQueryHeaders(r); err != nil {
			return nil, err
		}
	}
	header, err := headersFor(in, c, startedWith(session).RequestHeaderConfiguration)
	if err == nil && !c.nameless {
		w.Header().Set(contract.HeaderSessionID, c.session)
		if c.op == opInvoke && len(c.runtime.Spec.AllowedPorts) > 0 {
			w.Header().Set(headerSessionEndpoint, lifecycle.SessionEndpointURL(c.reached, c.runtime.Status.AgentRuntimeID, c.qualifier, c.session))
		}
	}
	return header, err
}

// withQueryHeaders are a WebSocket's headers, and the custom ones that its URL has in
// their place: pages of browsers cannot set any.
func withQueryHeaders(r *http.Request) (http.Header, error) {
	all := r.Header.Clone()
	for name, values := range r.URL.Query() {
		if len(name) <= len(contract.HeaderCustomPrefix) || !strings.EqualFold(name[:len(contract.HeaderCustomPrefix)], contract.HeaderCustomPrefix) {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }) {
			return nil, invalid(name, "Value at the query parameter '"+lifecycle.Printable(name)+"' failed to satisfy constraint: Member must be the name and value of a header")
		}
		all[http.CanonicalHeaderKey(name)] = values
	}
	return all, nil
}

// negotiated are the headers in which a protocol's clients and servers find out what
// both know.
var negotiated = map[v1alpha1.ServerProtocol][]string{v1alpha1.ProtocolA2A: {"A2A-Version", "A2A-Extensions", "X-A2A-Extensions"}}

// headersFor are those of a caller that reach the agent: AgentCore's own, those
// of tracing, and those that the runtime allows. One of the latter that is too long is
// an error; one of tracing is left out, since callers may not know of it.
func headersFor(in http.Header, c *call, allowed *v1alpha1.RequestHeaderConfiguration) (http.Header, error) {
	out := http.Header{}
	always := []string{"Accept", "Content-Encoding", contract.HeaderMCPSessionID, "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"}
	for _, name := range slices.Concat(always, negotiated[c.protocol]) {
		if value := in.Get(name); value != "" {
			out.Set(name, value)
		}
	}
	if c.mcp.id != "" {
		out.Set(contract.HeaderMCPSessionID, c.mcp.id)
	}
	if err := addOwn(out, in, c, allowed); err != nil {
		return nil, err
	}
	for _, line := range in["Connection"] { // what it names is for the gateway and no further
		for name := range strings.SplitSeq(line, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	out["User-Agent"] = []string{""} // net/http would write its own
	// The official clients say octet-stream, or nothing, of JSON too; agents of
	// AWS's SDK for TypeScript take JSON only.
	switch kind := in.Get("Content-Type"); kind {
	case "", "application/octet-stream":
		if c.payload.Size > 0 {
			out.Set("Content-Type", "application/json")
		}
	default:
		out.Set("Content-Type", kind)
	}
	out.Set(contract.HeaderSessionID, c.session)
	out.Set(contract.HeaderRequestID, c.id)
	return out, nil
}

// addOwn adds the headers of tracing, and those that the runtime allows.
func addOwn(out, in http.Header, c *call, allowed *v1alpha1.RequestHeaderConfiguration) error {
	for name, values := range in {
		size := len(strings.Join(values, ""))
		switch traces := contract.IsTraceHeader(name); {
		case !traces && !passes(name, c, allowed):
		case size <= maxHeaderValue, name == "Baggage" && size <= maxBaggage:
			out[name] = values
		case !traces:
			return invalid(name, fmt.Sprintf("Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", name, maxHeaderValue))
		}
	}
	return nil
}

// passes tells whether the runtime lets a caller's header through.
func passes(name string, c *call, allowed *v1alpha1.RequestHeaderConfiguration) bool {
	if len(name) > len(contract.HeaderCustomPrefix) && strings.EqualFold(name[:len(contract.HeaderCustomPrefix)], contract.HeaderCustomPrefix) {
		return true
	}
	if name == "Authorization" && c.runtime.Spec.AuthorizerConfiguration == nil {
		return false // it is for the gateway
	}
	return allowed != nil && contract.Forwardable(name) &&
		slices.ContainsFunc(allowed.RequestHeaderAllowlist, func(n string) bool { return strings.EqualFold(n, name) })
}

// returned are the headers of an agent's answer that reach the caller.
var returned = []string{"Content-Type", "Content-Length", contract.HeaderMCPSessionID, "Mcp-Protocol-Version", "X-Amzn-Trace-Id", "Traceparent", "Tracestate", "Baggage", "Cache-Control"}

// handshake are those of a WebSocket's.
var handshake = []string{"Connection", "Upgrade", "Sec-Websocket-Accept", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"}

// passOn lets an agent's good answer through, and hides what a bad one says.
func passOn(answer *http.Response, c *call, session *v1alpha1.AgentSession) error {
	if c.op == opPort {
		return passOnFromPort(answer, c)
	}
	if answer.StatusCode == http.StatusSwitchingProtocols && c.op == opSocket && strings.EqualFold(answer.Header.Get("Upgrade"), "websocket") {
		c.shakeHands(answer)
		return nil
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return c.refused(answer, session.Status.Activation)
	}
	if err := c.checkLength(answer); err != nil {
		return err
	}
	header := only(answer.Header, slices.Concat(returned, negotiated[c.protocol]))
	if header.Get("Content-Type") == "" {
		header["Content-Type"] = nil // or it would be guessed
	}
	c.nameMCP(header, session.Status.Activation)
	answer.Header = header
	if c.op == opCard {
		return mendCard(answer, session.Status.Pod, lifecycle.EndpointURL(c.reached, c.runtime.Status.AgentRuntimeArn, c.qualifier))
	}
	return nil
}

// checkLength is an error if an answer is larger than it may be.
func (c *call) checkLength(answer *http.Response) error {
	if answer.ContentLength > c.limits.Payload {
		return runtimeError(fmt.Sprintf("The agent's answer has %d bytes, and %d are allowed", answer.ContentLength, c.limits.Payload))
	}
	return nil
}

// shakeHands lets what is of a WebSocket's handshake through.
func (c *call) shakeHands(answer *http.Response) {
	answer.Header = only(answer.Header, handshake)
	if c.byToken && answer.Header.Get("Sec-Websocket-Protocol") == "" { // browsers take no answer without one
		answer.Header.Set("Sec-Websocket-Protocol", authn.BearerProtocol)
	}
}

func only(from http.Header, names []string) http.Header {
	header := http.Header{}
	for _, name := range names {
		if value := from.Get(name); value != "" {
			header.Set(name, value)
		}
	}
	return header
}

// stop is StopRuntimeSession.
func (g *Gateway) stop(w http.ResponseWriter, r *http.Request, c *call) error {
	token, err := clientTokenOf(c.payload)
	if err != nil {
		return err
	}
	if err := g.stopSession(r.Context(), c, token); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}
