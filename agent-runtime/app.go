package agentruntime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

const (
	// DefaultGracePeriod is how long AgentCore, and AgentSession unless the pod
	// template says otherwise, waits between SIGTERM and SIGKILL.
	DefaultGracePeriod = 15 * time.Second

	// readHeaderTimeout ends connections that send no request, or half of one.
	readHeaderTimeout = 10 * time.Second
	// idleTimeout is far beyond the 2 seconds between pings, which share one
	// connection.
	idleTimeout = 2 * time.Minute
)

// Options of an App. The zero value is right for an agent on AgentCore.
type Options struct {
	// Addr is where Run listens. Default: all addresses (0.0.0.0) at the port
	// of the Protocol.
	Addr string
	// Protocol is the one that the agent is deployed with. Default: HTTP.
	Protocol Protocol
	// GracePeriod is how long whoever sends SIGTERM waits before SIGKILL: the
	// pod's terminationGracePeriodSeconds. Run returns before it is over.
	// Default: what AGENTSESSION_TERMINATION_GRACE_PERIOD says in seconds, which
	// AgentSession's operator sets, else DefaultGracePeriod.
	GracePeriod time.Duration
	// BusyWhileInvoking makes the automatic ping status HealthyBusy while an
	// invocation is in flight too. It is for clusters without a gateway, where
	// nobody but the agent knows of invocations. AWS's SDKs do not do it:
	// AgentCore knows by itself.
	BusyWhileInvoking bool
	// Introspection serves GET /tasks (TaskInfo) and GET /events (the journal),
	// to askers inside the pod's network (127.0.0.1 and ::1, so kubectl
	// port-forward and exec too) and to those who have the Token.
	Introspection bool
	// Debug serves the debug actions of AWS's SDK for Python, to the same
	// askers: POST /invocations with {"_agent_core_app_action": ACTION}, where
	// ACTION is ping_status, job_status, force_healthy, force_busy or
	// clear_forced_status.
	Debug bool
	// Token is what askers from outside the pod's network show as
	// "Authorization: Bearer TOKEN". Default: the environment's
	// AGENTSESSION_TOKEN, which AgentSession's operator sets and asks with.
	Token string
	// Events takes what RecordEvent records. Default: the Logger.
	Events EventSink
	// Logger takes the App's log. Session and request ids are added to its
	// lines. Default: JSON lines on standard error, from level Info.
	Logger *slog.Logger
}

// App is an agent. Make one with New. All methods may be called at any time
// and from any goroutine, inside handlers and tasks too.
type App struct {
	options Options
	log     *slog.Logger
	maxBody int64
	board   *board
	journal journal
	custom  custom

	handler   atomic.Pointer[Handler]
	raw       atomic.Pointer[http.Handler]
	webSocket atomic.Pointer[WebSocketHandler]
}

// New makes an App. It starts nothing. A Protocol that is none of the four
// panics: it is a mistake in the program.
func New(o Options) *App {
	o.Protocol = cmp.Or(o.Protocol, HTTP)
	endpoint, known := endpoints[o.Protocol]
	if !known {
		panic(fmt.Sprintf("agentruntime.New: Options.Protocol is %q, and must be HTTP, MCP, A2A or AGUI", o.Protocol))
	}
	o.Addr = cmp.Or(o.Addr, "0.0.0.0:"+strconv.Itoa(endpoint.port))
	if seconds, err := strconv.ParseUint(os.Getenv(contract.EnvGracePeriod), 10, 16); err == nil {
		o.GracePeriod = cmp.Or(o.GracePeriod, time.Duration(seconds)*time.Second)
	}
	o.GracePeriod = cmp.Or(o.GracePeriod, DefaultGracePeriod)
	o.Token = cmp.Or(o.Token, os.Getenv(contract.EnvToken))
	if o.Logger == nil {
		o.Logger = slog.New(jsonLines(os.Stderr))
	}
	log := slog.New(idHandler{o.Logger.Handler()})
	if o.Events == nil {
		o.Events = logSink{log}
	}
	return &App{
		options: o,
		log:     log,
		maxBody: contract.MaxPayloadBytes,
		board:   newBoard(o.BusyWhileInvoking),
	}
}

// Entrypoint makes h answer the invocations from now on, in place of an earlier
// one. An App without entrypoint answers them with 500.
func (a *App) Entrypoint(h Handler) { a.handler.Store(&h) }

// Run listens and serves until ctx ends, and then stops gracefully, as Drain
// does. The context is most often that of signal.NotifyContext, with SIGTERM.
//
// It returns nil after a stop in which all work ended by itself or when told
// to, ErrUnfinished if some did not, or why it could not serve.
func (a *App) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.options.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return a.Serve(ctx, listener)
}

// Serve is Run on a listener that the caller made. It closes the listener.
func (a *App) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		// No ReadTimeout and no WriteTimeout: an invocation may take 15 minutes,
		// a stream an hour.
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	a.log.InfoContext(ctx, "Agent started", "address", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drained := a.Drain()
	// What is left of the grace period is for the last answers to leave.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.options.GracePeriod/30)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return errors.Join(drained, server.Close())
	}
	return drained
}
