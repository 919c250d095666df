package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"
)

// stamps are the forms of time_of_last_update in which agents get it wrong, and
// the one in which they get it right.
var stamps = map[string]func(changed time.Time) string{
	"changed": func(t time.Time) string { return fmt.Sprintf(`,"time_of_last_update":%d`, t.Unix()) },
	"now":     func(time.Time) string { return fmt.Sprintf(`,"time_of_last_update":%d`, time.Now().Unix()) },
	"missing": func(time.Time) string { return "" },
	"ms":      func(t time.Time) string { return fmt.Sprintf(`,"time_of_last_update":%d`, t.UnixMilli()) },
	"iso": func(t time.Time) string {
		return fmt.Sprintf(`,"time_of_last_update":%q`, t.UTC().Format(time.RFC3339))
	},
}

// fault is how faulty misbehaves; durations are from the start, 0 is never.
type fault struct {
	addr           string
	exitAfter      time.Duration
	exitCode       int
	eatMemoryAfter time.Duration
	hangAfter      time.Duration
	neverHealthy   bool
	busy           bool
	stamp          string
}

// faulty misbehaves on order, for the end-to-end tests. It is written without
// agent-runtime, which would not let it.
func faulty(ctx context.Context, args []string) error {
	f, err := parseFault(args)
	if err != nil {
		return err
	}
	if f.exitAfter > 0 {
		time.AfterFunc(f.exitAfter, func() {
			slog.Error("Exiting as ordered", "code", f.exitCode)
			os.Exit(f.exitCode)
		})
	}
	if f.eatMemoryAfter > 0 {
		time.AfterFunc(f.eatMemoryAfter, eatMemory)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", f.ping(time.Now()))
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"faulty"}`, http.StatusInternalServerError)
	})
	return serve(ctx, f.addr, mux)
}

func parseFault(args []string) (fault, error) {
	var f fault
	flags := flag.NewFlagSet("faulty", flag.ContinueOnError)
	flags.StringVar(&f.addr, "addr", "0.0.0.0:8080", "`address` to listen on")
	flags.DurationVar(&f.exitAfter, "exit-after", 0, "exit after that `time`")
	flags.IntVar(&f.exitCode, "exit-code", 1, "the `code` to exit with")
	flags.DurationVar(&f.eatMemoryAfter, "eat-memory-after", 0, "eat memory without end after that `time`")
	flags.DurationVar(&f.hangAfter, "hang-after", 0, "accept pings and never answer them after that `time`")
	flags.BoolVar(&f.neverHealthy, "never-healthy", false, "answer pings with 503")
	flags.BoolVar(&f.busy, "busy", false, "answer pings with HealthyBusy")
	flags.StringVar(&f.stamp, "stamp", "changed", "`form` of time_of_last_update: changed (right), now, missing, ms or iso")
	if err := flags.Parse(args); err != nil {
		return fault{}, err
	}
	if stamps[f.stamp] == nil {
		return fault{}, fmt.Errorf("--stamp=%s is none of changed, now, missing, ms, iso", f.stamp)
	}
	return f, nil
}

func (f fault) ping(start time.Time) http.HandlerFunc {
	status := "Healthy"
	if f.busy {
		status = "HealthyBusy"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case f.hangAfter > 0 && time.Since(start) >= f.hangAfter:
			<-r.Context().Done()
			return
		case f.neverHealthy:
			http.Error(w, `{"status":"Unhealthy"}`, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"`+status+`"`+stamps[f.stamp](start)+`}`)
	}
}

// eatMemory ends when the kernel ends the process: 16 MiB every 50 ms, each
// page written to, since pages that are only asked for cost nothing.
func eatMemory() {
	slog.Error("Eating memory as ordered")
	var eaten [][]byte
	for {
		chunk := make([]byte, 16<<20)
		for i := 0; i < len(chunk); i += os.Getpagesize() {
			chunk[i] = 1
		}
		eaten = append(eaten, chunk)
		slog.Info("Ate", "mebibytes", 16*len(eaten))
		time.Sleep(50 * time.Millisecond)
	}
}
