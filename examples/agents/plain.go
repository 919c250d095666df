package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"time"
)

// plain is an agent without agent-runtime, as one writes it in any language
// after a look at the contract: it is always Healthy and does not know of
// time_of_last_update. It has no tasks, so that is all it needs.
func plain(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("plain", flag.ContinueOnError)
	addr := flags.String("addr", "0.0.0.0:8080", "`address` to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"Healthy"}`)
	})
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"answer":"42"}`)
	})
	return serve(ctx, *addr, mux)
}

// serve serves until ctx ends, and gives requests some seconds to end.
func serve(ctx context.Context, addr string, handler http.Handler) error {
	server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}
