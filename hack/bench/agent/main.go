//go:build linux

// Command agent measures an agent written with agent-runtime, as a process of
// its own: how fast /ping is while 1,000 invocations block, and while one of
// them burns the only CPU that the agent has; how many invocations it answers
// in a second, beside a handler written with net/http alone (baseline, in the
// same run, in turns); how much memory it has while nothing happens; and how
// large its binary is, which is all that its image holds.
//
// The last line is JSON:
//
//	{"ping_p99_ms_blocked": 1.2, "invocations_per_s": 20000, "rss_idle_mib": 9.5}
//
// The program exits with 1 if the idle agent has 15 MiB or more, or its binary
// 10 MB or more. Times are shown and not judged: they are those of a machine
// that may have other work.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	blocked     = 1000
	pings       = 1000
	burningPing = 200
	burnSeconds = 600 // longer than the limit, so that it outlasts the pings on any machine
	invocations = 20_000
	connections = 16
	turns       = 3
	limit       = 5 * time.Minute // of all that is measured: an agent that hangs ends it

	maxRSS    = 15       // MiB
	maxBinary = 10 * 1e6 // bytes
)

// result is the last line.
type result struct {
	PingBlocked  float64 `json:"ping_p99_ms_blocked"`
	Invocations  float64 `json:"invocations_per_s"`
	RSS          float64 `json:"rss_idle_mib"`
	PingBurning  float64 `json:"ping_p99_ms_burning"`
	PingIdle     float64 `json:"ping_p99_ms_idle"`
	Baseline     float64 `json:"baseline_invocations_per_s"`
	OverBaseline float64 `json:"invocations_over_baseline"`
	Binary       float64 `json:"binary_mb"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers
	}
	fmt.Println(string(line))
	if err := r.judge(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func (r result) judge() error {
	var broken []error
	if r.RSS >= maxRSS {
		broken = append(broken, fmt.Errorf("the idle agent has %.1f MiB, and should have less than %d", r.RSS, maxRSS))
	}
	if r.Binary*1e6 >= maxBinary {
		broken = append(broken, fmt.Errorf("the binary has %.1f MB, and should have less than %.0f", r.Binary, maxBinary/1e6))
	}
	return errors.Join(broken...)
}

func run(ctx context.Context) (r result, err error) {
	dir, err := os.MkdirTemp("", "bench-agent-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hello := filepath.Join(dir, "hello")
	say("Building the agent")
	if r.Binary, err = build(ctx, hello); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	steps := []struct {
		what    string
		measure func(context.Context, string, *result) error
	}{
		{"An idle agent", measureIdle},
		{fmt.Sprintf("%d pings while %d invocations block", pings, blocked), measureBlocked},
		{fmt.Sprintf("%d pings while an invocation burns the agent's only CPU", burningPing), measureBurning},
		{fmt.Sprintf("%d turns of %d invocations, and of the baseline", turns, invocations), measureInvocations},
	}
	for _, step := range steps {
		say(step.what)
		if err := step.measure(ctx, hello, &r); err != nil {
			return r, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return r, nil
}

func say(what string) { fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), what) }

func measureIdle(ctx context.Context, hello string, r *result) error {
	a, err := start(ctx, hello)
	if err != nil {
		return err
	}
	defer a.stop()
	took, err := a.ping(ctx, pings)
	if err != nil {
		return err
	}
	r.PingIdle = p99(took)
	r.RSS, err = a.rss()
	return err
}

func measureBlocked(ctx context.Context, hello string, r *result) error {
	a, err := start(ctx, hello)
	if err != nil {
		return err
	}
	defer a.stop()
	stop, err := a.invokeAndWait(ctx, blocked, `{"block":true}`)
	if err != nil {
		return err
	}
	defer stop()
	took, err := a.ping(ctx, pings)
	r.PingBlocked = p99(took)
	return errors.Join(err, a.worksOn(ctx, blocked)) // until the end
}

func measureBurning(ctx context.Context, hello string, r *result) error {
	a, err := start(ctx, hello, "GOMAXPROCS=1")
	if err != nil {
		return err
	}
	defer a.stop()
	stop, err := a.invokeAndWait(ctx, 1, fmt.Sprintf(`{"burn":%d}`, burnSeconds))
	if err != nil {
		return err
	}
	defer stop()
	took, err := a.ping(ctx, burningPing)
	r.PingBurning = p99(took)
	return errors.Join(err, a.worksOn(ctx, 1)) // until the end
}

// measureInvocations takes the best of the turns of each: what disturbs them is
// not theirs.
func measureInvocations(ctx context.Context, hello string, r *result) error {
	for range turns {
		for _, turn := range []struct {
			rate *float64
			args []string
		}{{&r.Invocations, nil}, {&r.Baseline, []string{"--bare"}}} {
			rate, err := invocationRate(ctx, hello, turn.args)
			if err != nil {
				return err
			}
			*turn.rate = max(*turn.rate, rate)
		}
	}
	r.OverBaseline = round(r.Invocations / r.Baseline)
	return nil
}

func p99(took []time.Duration) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return round(float64(took[len(took)*99/100].Microseconds()) / 1e3)
}

func round(x float64) float64 { return float64(int64(x*1e3+0.5)) / 1e3 }
