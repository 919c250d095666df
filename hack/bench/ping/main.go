//go:build linux

// Command ping measures what it costs to ask N agents GET /ping every 2
// seconds: the operator's engine (internal/prober), and in the same run, in
// turns, two yardsticks. The baseline is the straightforward prober: an
// http.Client with kept connections, a goroutine and a ticker for each agent.
// The limit is the least that the kernel allows: one thread with epoll, a
// prebuilt request written in slots of 5 ms, one read, nothing parsed.
//
// The agents are one process on 127.0.0.0/8, an address each; each asker is a
// process of its own, so that CPU time and memory are its own.
//
// The last line is JSON:
//
//	{"targets": 10000, "probes": 600000, "missed": 0, "cadence_error_ms_p50": 0.2, "cadence_error_ms_p99": 9.1, ...}
//
// probes, missed and the cadence errors are the engine's; CPU times are the
// medians of the turns. It judges nothing: what a machine with other work shows
// is not the engine's, so compare what ran in turns.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// result is the last line.
type result struct {
	Targets      int     `json:"targets"`
	Probes       int     `json:"probes"`
	Missed       int     `json:"missed"`
	CadenceP50   float64 `json:"cadence_error_ms_p50"`
	CadenceP99   float64 `json:"cadence_error_ms_p99"`
	CPU          float64 `json:"cpu_us_per_probe"`
	RSS          float64 `json:"rss_mib"`
	RSSPerTarget float64 `json:"rss_kib_per_target"`
	BaselineCPU  float64 `json:"baseline_cpu_us_per_probe"`
	BaselineRSS  float64 `json:"baseline_rss_mib"`
	LimitCPU     float64 `json:"limit_cpu_us_per_probe"`
	OverBaseline float64 `json:"cpu_over_baseline"`
	OverLimit    float64 `json:"cpu_over_limit"`
	Turns        int     `json:"turns"`
}

// period is the contract's.
const period = 2 * time.Second

// askers are the roles that are measured.
var askers = map[string]func(ctx context.Context, n int, t *tally) error{
	"engine":   askAsEngine,
	"baseline": askAsBaseline,
	"limit":    askAsLimit,
}

func main() {
	n := flag.Int("n", 10_000, "how many `agents`")
	turns := flag.Int("turns", 3, "how many `turns` each asker gets")
	length := flag.Duration("length", 20*time.Second, "how `long` a turn is")
	role := flag.String("role", "", "what a child process does: agents, engine, baseline or limit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *role, *n, *turns, *length)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ping:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, role string, n, turns int, length time.Duration) error {
	switch {
	case n < 1 || n > 60_000:
		return fmt.Errorf("-n is %d, and must be from 1 to 60000", n)
	case turns < 1 || length < 3*period:
		return fmt.Errorf("-turns is %d and -length is %s: there must be a turn, and three periods in it", turns, length)
	case role == "agents":
		return serveAgents(ctx)
	case role != "":
		return ask(ctx, role, n, length)
	}
	r, err := compare(ctx, n, turns, length)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// compare lets the askers ask in turns.
func compare(ctx context.Context, n, turns int, length time.Duration) (r result, err error) {
	say("%d agents on 127.0.0.0/8", n)
	stop, err := startAgents(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	seen := map[string][]report{}
	for turn := range turns {
		for _, role := range []string{"limit", "engine", "baseline"} {
			got, err := startAsker(ctx, role, n, length)
			if err != nil {
				return r, fmt.Errorf("turn %d of the %s: %w", turn+1, role, err)
			}
			say("%-8s turn %d: %6.1f us a probe, %6.1f MiB, %d probes, %d missed, %d failed, late by %.1f ms (p99)",
				role, turn+1, got.CPU, got.RSS, got.Probes, got.Missed, got.Failed, got.CadenceP99)
			seen[role] = append(seen[role], got)
		}
	}
	return sum(n, turns, seen), nil
}

func sum(n, turns int, seen map[string][]report) result {
	engine := seen["engine"]
	r := result{Targets: n, Turns: turns}
	for _, e := range engine {
		r.Probes, r.Missed = r.Probes+e.Probes, r.Missed+e.Missed
	}
	r.CadenceP50, r.CadenceP99 = median(engine, cadenceP50), median(engine, cadenceP99)
	r.CPU, r.RSS = median(engine, cpu), median(engine, rss)
	r.RSSPerTarget = round((r.RSS - median(engine, emptyRSS)) * 1024 / float64(n))
	r.BaselineCPU, r.BaselineRSS = median(seen["baseline"], cpu), median(seen["baseline"], rss)
	r.LimitCPU = median(seen["limit"], cpu)
	r.OverBaseline, r.OverLimit = round(r.CPU/r.BaselineCPU), round(r.CPU/r.LimitCPU)
	return r
}

func cpu(r report) float64        { return r.CPU }
func rss(r report) float64        { return r.RSS }
func emptyRSS(r report) float64   { return r.EmptyRSS }
func cadenceP50(r report) float64 { return r.CadenceP50 }
func cadenceP99(r report) float64 { return r.CadenceP99 }

func median(of []report, value func(report) float64) float64 {
	values := make([]float64, len(of))
	for i, r := range of {
		values[i] = value(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func round(x float64) float64 { return float64(int64(x*1e3+0.5)) / 1e3 }
