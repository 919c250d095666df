// Command hello is the smallest agent that can be measured: it greets, and on
// demand it blocks or burns.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

type question struct {
	Name  string  `json:"name"`
	Block bool    `json:"block"` // until the client goes
	Burn  float64 `json:"burn"`  // seconds of work that never pauses
}

type answer struct {
	Text   string `json:"text"`
	Inside int64  `json:"inside"` // how many block or burn
}

var inside atomic.Int64

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	bare := flag.Bool("bare", false, "answer with net/http alone: the yardstick")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, *addr, *bare)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, bare bool) error {
	if bare {
		http.HandleFunc("POST /invocations", serveBare)
		http.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"status":"Healthy"}`)
		})
		server := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		return server.ListenAndServe()
	}
	app := agentruntime.New(agentruntime.Options{Addr: addr, Logger: slog.New(slog.DiscardHandler)})
	app.Entrypoint(agentruntime.JSON(greet))
	return app.Run(ctx)
}

func greet(ctx context.Context, in question) (answer, error) {
	if in.Block || in.Burn > 0 {
		inside.Add(1)
		defer inside.Add(-1)
	}
	if in.Block {
		<-ctx.Done()
	}
	for end := time.Now().Add(time.Duration(in.Burn * float64(time.Second))); time.Now().Before(end); {
	}
	return answer{"Hello, " + in.Name, inside.Load()}, nil
}

// serveBare is what a handler written by hand does for the same answer.
func serveBare(w http.ResponseWriter, r *http.Request) {
	var in question
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, err := greet(r.Context(), in)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}
