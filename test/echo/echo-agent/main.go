// Command echo-agent is the agent of the checks with AWS's clients on a node.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/test/echo"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	addr := flag.String("addr", ":8080", "where it listens")
	flag.Parse()
	gone := make(chan string)
	go func() {
		for range gone { // nobody asks
		}
	}()
	began := time.Now().Unix()
	var hangs sync.RWMutex
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		hangs.RLock()
		defer hangs.RUnlock()
		_, _ = fmt.Fprintf(w, `{"status":"Healthy","time_of_last_update":%d}`, began) // the operator asks again
	})
	mux.Handle("/", &echo.Agent{Pod: os.Getenv(contract.EnvRuntimeSessionID) + "-" + os.Getenv(contract.EnvActivation), Gone: gone, Hang: hangs.Lock, Resume: hangs.Unlock, Exit: func() { os.Exit(1) }})
	server := &http.Server{Addr: *addr, Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // it is thrown away
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}
