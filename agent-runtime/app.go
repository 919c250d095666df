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
	// Addr is where Run listens. Default: 0.0.0.0:8080, all addresses of the
	// contract's port.
	Addr string
	// GracePeriod is how long whoever sends SIGTERM waits before SIGKILL: the
	// pod's terminationGracePeriodSeconds. Run returns before it is over.
	// Default: DefaultGracePeriod.
	GracePeriod time.Duration
	// Logger takes the App's log. Session and request ids are added to its
	// lines. Default: JSON lines on standard error, from level Info.
	Logger *slog.Logger
}

// App is an agent. Make one with New. All methods may be called at any time
// and from any goroutine, inside handlers and tasks too.
type App struct {
	addr    string
	grace   time.Duration
	log     *slog.Logger
	maxBody int64
	handler atomic.Pointer[Handler]
	board   *board
}

// New makes an App. It starts nothing.
func New(o Options) *App {
	logger := o.Logger
	if logger == nil {
		logger = slog.New(jsonLines(os.Stderr))
	}
	return &App{
		addr:    cmp.Or(o.Addr, "0.0.0.0:"+strconv.Itoa(contract.Port)),
		grace:   cmp.Or(o.GracePeriod, DefaultGracePeriod),
		log:     slog.New(idHandler{logger.Handler()}),
		maxBody: defaultMaxBody,
		board:   newBoard(),
	}
}

// Entrypoint makes h answer the invocations from now on, in place of an earlier
// one. An App without entrypoint answers them with 500.
func (a *App) Entrypoint(h Handler) { a.handler.Store(&h) }

// Handler serves the contract for those who bring their own server. They call
// Drain before they close it, and set no timeout that would cut an invocation.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+contract.PingPath, a.servePing)
	mux.HandleFunc("POST "+contract.InvocationsPath, a.serveInvocation)
	return mux
}

// Run listens and serves until ctx ends, and then stops gracefully, as Drain
// does. The context is most often that of signal.NotifyContext, with SIGTERM.
//
// It returns nil after a stop in which all work ended by itself or when told
// to, ErrUnfinished if some did not, or why it could not serve.
func (a *App) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.addr)
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
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.grace/30)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return errors.Join(drained, server.Close())
	}
	return drained
}

func (a *App) servePing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.board.ping().AppendJSON(nil)) // an asker that is gone asks again
}
