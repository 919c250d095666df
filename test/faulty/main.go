// Command faulty is an agent with one fault, for `agentsession lint`, which has to find it:
//
//	faulty -fault stamp-moves -addr 127.0.0.1:8080
//
// Without a fault it keeps the contract. It is written without agent-runtime, which would
// not let it.
//
//	main.go    what agents share: the flags, a status, a stamp
//	faults.go  the faults, and what each of them breaks
//	wire.go    what net/http would not say, and hides
package main

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "faulty:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and says where.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("faulty", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on")
	name := flags.String("fault", "", "the `name` of the fault: "+strings.Join(slices.Sorted(maps.Keys(faults)), ", ")+"; none by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fault, ok := faults[*name]
	if !ok && *name != "" {
		return fmt.Errorf("-fault is %q, and there is none of that name", *name)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "listening on", listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	return newAgent(fault).serve(ctx, listener)
}

// agent is what all of them are made of.
type agent struct {
	fault

	mu      sync.Mutex
	pings   int
	tasks   int
	changed time.Time // the status
	ever    bool      // it did
	id      string    // of this start
	random  *rand.Rand
}

func newAgent(f fault) *agent {
	return &agent{fault: f, changed: time.Now().Add(-time.Hour), id: fmt.Sprintf("%x", sha256.Sum256([]byte(cryptorand.Text()))), random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // one of the faults
}

func (a *agent) serve(ctx context.Context, listener net.Listener) error {
	if a.raw != "" {
		return serveRaw(ctx, listener, a.raw)
	}
	ctx, die := context.WithCancel(ctx)
	defer die()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, r *http.Request) {
		if pings := a.count(); a.dies > 0 && pings > a.dies {
			die()
			panic(http.ErrAbortHandler)
		}
		if a.ping != nil {
			a.ping(a, w, r)
			return
		}
		a.answer(w)
	})
	invoke := a.invoke
	if invoke == nil {
		invoke = work
	}
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) { invoke(a, w, r) })
	if a.breaks != "mcp-ping-refused" {
		mux.HandleFunc("POST /mcp", func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, `{"jsonrpc":"2.0","id":1,"result":{}}`)
		})
	}
	server := &http.Server{Handler: a.only(mux), ReadHeaderTimeout: 10 * time.Second, ConnContext: withHead}
	closed := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer closed()
	if err := server.Serve(heads{listener}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// only refuses requests that name a host that is not served.
func (a *agent) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		if a.hosts != nil && !slices.Contains(a.hosts, host) {
			http.Error(w, "Invalid Host header", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// count counts the pings.
func (a *agent) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pings++
	return a.pings
}

// add adds to the tasks, and takes the time of a change.
func (a *agent) add(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.tasks
	if a.tasks += n; (before == 0) != (a.tasks == 0) {
		a.changed, a.ever = time.Now(), true
	}
}

// state is the status, and when it changed; ever is false before the first time.
func (a *agent) state() (status string, changed time.Time, ever bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	status = "Healthy"
	if a.tasks > 0 || a.busy {
		status = "HealthyBusy"
	}
	if a.word != "" {
		status = a.word
	}
	return status, a.changed, a.ever
}

// body is the answer to a ping.
func (a *agent) body() string {
	status, changed, ever := a.state()
	stamp := fmt.Sprintf(`,"time_of_last_update":%d`, changed.Unix())
	if a.stamp != nil {
		stamp = a.stamp(a, changed, ever)
	}
	return fmt.Sprintf(`{"status":%q%s}`, status, stamp)
}

func (a *agent) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, a.body())
}

// work begins a task that outlives the call, and says which session it was called for.
func work(a *agent, w http.ResponseWriter, r *http.Request) {
	a.add(1)
	if !a.forgets {
		time.AfterFunc(taskTime, func() { a.add(-1) })
	}
	reply(w, http.StatusOK, fmt.Sprintf(`{"sessionId":%q}`, r.Header.Get(sessionHeader)))
}

func reply(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) //nolint:gosec // JSON, for a test
}
