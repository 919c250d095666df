package gateway

import (
	"bufio"
	"cmp"
	"errors"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/controlplane"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/shell"
)

// Conflict says what becomes of a call to a session that is starting or stopping
// for another one.
type Conflict string

const (
	// ConflictFail answers 409 RetryableConflictException, as AgentCore does.
	ConflictFail Conflict = "fail"
	// ConflictWait has it wait.
	ConflictWait Conflict = "wait"
)

// AgentCore's limits (developer guide, "Quotas").
const (
	// DefaultRequestTimeout is how long an invocation may take.
	DefaultRequestTimeout = 15 * time.Minute
	// DefaultStreamTimeout is how long a stream or a WebSocket may last.
	DefaultStreamTimeout = 60 * time.Minute
)

// Options are what a gateway needs.
type Options struct {
	// Client reads from a cache and writes. Its reads must not wait for its writes
	// (client.CacheOptions.EnableReadYourWritesConsistency): a call would wait for those
	// of others, as long as the watch is late.
	Client client.Client
	// Live reads past the cache, after a write that was refused, before a call is, and
	// where one has waited for a while.
	Live client.Reader
	// Clock is what leases go by. Nil: this machine's, as it is now.
	Clock *apiserver.Clock
	// Cluster is how commands are run in pods.
	Cluster *rest.Config
	// Authenticate tells who calls. Nil: nobody is asked who he is, and everybody
	// may call every runtime.
	Authenticate authn.Authenticator
	// Issuers reaches the issuers of runtimes with an authorizer. Nil: as it should
	// be; tests have them on loopback.
	Issuers http.RoundTripper
	// AllowLoopback lets agents and issuers be on loopback: for tests on an API server
	// without nodes.
	AllowLoopback bool
	// Conflict is fail or wait. Default: fail.
	Conflict Conflict
	// RequestTimeout and StreamTimeout end what lasts longer. Default: AgentCore's.
	RequestTimeout, StreamTimeout time.Duration
	// QueueLength is how many calls for any free session of an endpoint may wait,
	// and QueueTimeout how long. Default: 100, 30 s.
	QueueLength int
	// QueueTimeout is also how long a call waits until there is room for its large
	// payload.
	QueueTimeout time.Duration
	// Control serves AgentCore's control plane at the same address. Nil: it is off.
	Control *controlplane.Plane
	// PublicURL is how callers reach the gateway, for what it tells them of itself.
	// Empty: as each of them did.
	PublicURL string
	// ShutdownDelay is how long Serve goes on taking calls when it is told to end,
	// since those who send them learn of it late. Default: not at all.
	ShutdownDelay time.Duration
	// Traces gets spans of each call. Nil: none are made.
	Traces trace.TracerProvider
	// Log gets a line for each call.
	Log logr.Logger
}

// Gateway is an http.Handler.
type Gateway struct {
	Options

	changes changes
	traffic traffic
	running running
	// finishing are calls whose callers have hung up.
	finishing finishing
	shells    shell.Table[compute]
	queues    waitQueues // of calls for any free session
	// starting are those of calls that start a session of a runtime with maxSessions.
	starting   waitQueues
	beginnings beginnings
	roster     roster
	looks      *looks[client.ObjectKey, *v1alpha1.AgentSession]
	described  *looks[client.ObjectKey, *v1alpha1.AgentSession]
	specs      *looks[client.ObjectKey, *v1alpha1.AgentRuntime]
	runtimes   *looks[struct{}, []v1alpha1.AgentRuntime]
	counts     *rate.Limiter // of sessions, past the cache
	full       *lru.Cache    // when a runtime was last found to have all that it may
	issuers    *authn.Issuers
	tracing    tracing
	agents     http.RoundTripper
	files      *semaphore.Weighted // bytes of payloads
	calls      sync.WaitGroup      // that are being served
	ready      atomic.Bool         // for calls
	synced     func() bool         // the roster has all that the cache has
}

// New makes a gateway. Watch has it see the sessions.
func New(o Options) *Gateway {
	if o.Conflict == "" {
		o.Conflict = ConflictFail
	}
	if o.Authenticate == nil {
		o.Authenticate = authn.Anybody
	}
	if o.Clock == nil {
		o.Clock = apiserver.NewClock(clock.RealClock{}, o.Log)
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = DefaultRequestTimeout
	}
	if o.StreamTimeout == 0 {
		o.StreamTimeout = DefaultStreamTimeout
	}
	if o.QueueLength == 0 {
		o.QueueLength = DefaultQueueLength
	}
	if o.QueueTimeout == 0 {
		o.QueueTimeout = DefaultQueueTimeout
	}
	tracing := newTracing(o.Traces)
	g := &Gateway{
		Options: o, tracing: tracing, agents: tracing.asking(toAgents(o.AllowLoopback)), files: semaphore.NewWeighted(maxInFiles),
		issuers: authn.NewIssuers(o.Issuers, o.AllowLoopback), changes: changes{seed: maphash.MakeSeed()},
		counts: rate.NewLimiter(countsPerSecond, 1), full: lru.New(maxFull),
		synced: func() bool { return true },
	}
	g.looks = newLooks(rate.NewLimiter(looksPerSecond, looksPerSecond), g.readLive)
	g.described = newLooks(rate.NewLimiter(describesPerSecond, describesPerSecond), g.readLive)
	g.specs = newLooks(rate.NewLimiter(specsPerSecond, specsPerSecond), g.readRuntime)
	g.runtimes = newLooks(rate.NewLimiter(runtimeLooksPerSecond, runtimeLooksAtOnce), g.allRuntimes)
	g.traffic.write, g.traffic.now = g.writeTraffic, g.Clock.Now
	return g
}

// call is one that is being served.
type call struct {
	op        operation
	label     string // what its path names
	resource  string // what its path names, of the control plane
	id        string // of the request
	caller    authn.Caller
	payload   *Payload
	runtime   *v1alpha1.AgentRuntime
	qualifier string
	limits    lifecycle.CallLimits
	protocol  v1alpha1.ServerProtocol
	reached   string   // the gateway's own URL, as the caller knows it
	rpc       *rpc     // what the payload says, if it is JSON-RPC and was read
	session   string   // AgentCore's id of it
	mcp       mcpState // what its agent keeps of it, if it speaks MCP
	inMCP     bool     // MCP's own header names the session
	any       bool     // any free session will do
	nameless  bool     // it named none, and is told of none
	byToken   bool     // it is a WebSocket whose subprotocol is its caller's token
	came      time.Time
	began     time.Time // when it began to start the session, if it did
	patience  time.Time // until when it waits for the session to stop, if it does
}

// handlers serve calls that were understood and allowed.
var handlers = map[operation]func(*Gateway, http.ResponseWriter, *http.Request, *call) error{
	opInvoke:   (*Gateway).invoke,
	opSocket:   (*Gateway).invoke,
	opCard:     (*Gateway).invoke,
	opPort:     (*Gateway).invoke,
	opStop:     (*Gateway).stop,
	opCommand:  (*Gateway).command,
	opShell:    (*Gateway).serveShell,
	opList:     (*Gateway).list,
	opDescribe: (*Gateway).describe,
	opStopMany: (*Gateway).stopMany,
	opOpenAPI:  (*Gateway).describeItself,
	opMetadata: (*Gateway).metadata,
}

// ServeHTTP serves AgentCore's data plane.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.calls.Add(1)
	defer g.calls.Done()
	began := time.Now()
	answer := &recorder{ResponseWriter: w, ready: &g.ready}
	c := call{id: string(uuid.NewUUID()), came: began}
	w.Header().Set("X-Amzn-RequestId", c.id)
	authn.CloseIfChunked(w, r)
	err := errAborted // what stands if it panics, as ReverseProxy does to cut a connection
	span := trace.SpanFromContext(r.Context())
	defer func() { g.served(span, answer, &c, err, began) }()
	if err = g.serve(answer, r, &c); err != nil {
		g.fail(answer, r, c, err)
	}
}

var errAborted = errors.New("the connection was cut in mid-answer: the agent died, or the caller went")

// served tidies up after a call, and notes it.
func (g *Gateway) served(span trace.Span, answer *recorder, c *call, err error, began time.Time) {
	if c.payload != nil {
		c.payload.close()
	}
	says := []any{"operation", c.op, "request", c.id, "code", answer.result(), "took", time.Since(began).String(), "caller", c.caller.Name}
	if c.runtime != nil {
		says = append(says, "namespace", c.runtime.Namespace, "runtime", c.runtime.Name, "session", c.session)
	}
	if c.resource != "" {
		says = append(says, "resource", c.resource)
	}
	if err != nil {
		says = append(says, "error", err.Error())
	}
	if id := span.SpanContext(); id.IsValid() {
		says = append(says, "trace", id.TraceID().String())
	}
	c.describeTo(span, err)
	g.Log.Info("Request", says...)
	observe(c.op, answer, began)
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, c *call) (err error) {
	if asked := controlplane.Route(r.Method, r.URL.EscapedPath()); asked != nil {
		return g.control(w, r, c, asked)
	}
	if g.preflight(w, r, c) {
		return nil
	}
	if c.op, c.label, err = route(r); err != nil {
		return err
	}
	if c.op != opOpenAPI && c.op != opMetadata {
		if err := g.admit(w, r, c); err != nil {
			return err
		}
	}
	return handlers[c.op](g, w, r, c)
}

// admit finds out who calls, what for, and whether he may.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, c *call) error {
	found, err := g.candidates(r, c)
	if err != nil {
		return err
	}
	letPageRead(w, r, withAuthorizer(found))
	if c.opensSocket(r) {
		if c.byToken, err = authn.TakeBearerProtocol(r); err != nil {
			return refused(err)
		}
	}
	proof, err := g.authenticate(r.Context(), r, c, found)
	if err != nil {
		return err
	}
	if c.payload, err = g.spool(w, r, contract.MaxPayloadBytes); err != nil {
		return err
	}
	if c.caller, err = proof(c.payload.Hash); err != nil {
		return refused(err)
	}
	if !c.op.ofRuntime() {
		return nil
	}
	if c.runtime, err = permitted(r.Context(), c.caller, c.op.right(), found); err != nil {
		return err
	}
	return g.accept(w, r, c)
}

// accept reads what a call of a runtime asks for, and within which limits.
func (g *Gateway) accept(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := c.checkOrigin(r); err != nil {
		return err
	}
	c.protocol = lifecycle.ProtocolOf(c.runtime.Spec.ProtocolConfiguration).ServerProtocol
	c.reached = g.reached(r)
	c.limits = lifecycle.CallLimits{Request: g.RequestTimeout, Stream: g.StreamTimeout, Payload: contract.MaxPayloadBytes}.Within(c.runtime.Spec.Limits)
	if c.payload.Size > c.limits.Payload {
		return tooLarge(c.limits.Payload)
	}
	if err := g.address(r, c); err != nil {
		return err
	}
	if !c.any {
		w.Header().Set(contract.HeaderSessionID, c.session)
	}
	return nil
}

// fail answers with an error. What is not meant for callers is said as little of
// as AgentCore says.
func (g *Gateway) fail(w *recorder, r *http.Request, c call, err error) {
	if _, is := errors.AsType[answeredError](err); is {
		return
	}
	if w.code != 0 {
		panic(http.ErrAbortHandler) // it has begun to answer, and must not look whole
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = internal(err, c.id)
	}
	if c.session != "" && !c.any && c.protocol == v1alpha1.ProtocolMCP {
		w.Header().Set(contract.HeaderMCPSessionID, mcpSession(c.session, c.mcp))
	}
	w.failed = f.Code
	to := c.envelop(f)
	if f.Code != http.StatusRequestEntityTooLarge {
		f.Write(w, to.code, to.kind, to.body)
		return
	}
	// A caller who is still sending would be reset, and may never see the answer.
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // if it cannot be, he may be lucky
	f.Write(w, to.code, to.kind, to.body)
	_ = control.Flush()                                             // as above
	_, _ = io.CopyN(io.Discard, r.Body, 2*contract.MaxPayloadBytes) // as above
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	ready     *atomic.Bool // for more calls on this connection
	mu        sync.Mutex
	deadline  time.Time
	code      int
	failed    int // the status of an error, which a protocol may have answered with another
	firstByte time.Time
}

// result is the status that counts.
func (w *recorder) result() int { return cmp.Or(w.failed, w.code) }

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code, w.firstByte = code, time.Now()
	}
	if !w.ready.Load() && code != http.StatusSwitchingProtocols {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// SetWriteDeadline remembers it for Hijack.
func (w *recorder) SetWriteDeadline(deadline time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = deadline
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(deadline)
}

// Hijack keeps the deadline, which net/http takes off the connection.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.code, w.firstByte = http.StatusSwitchingProtocols, time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	return conn, buffered, conn.SetDeadline(w.deadline)
}

// Unwrap lets http.ResponseController flush.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
