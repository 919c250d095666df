//go:build linux

// Command ping measures what it costs to ask N agents GET /ping every 2
// seconds: the operator's engine (internal/prober), and in the same run, in
// turns whose order rotates, two yardsticks. The baseline is the straightforward
// prober: an http.Client with kept connections, a goroutine and a ticker for
// each agent. The limit is the least that the kernel allows: one thread with
// epoll, a prebuilt request written in slots of 5 ms, one read, nothing parsed.
// The engine asks a second time with hostile agents among the N: 30 % are
// behind a black hole (no answer to a SYN), and 10 % drip their answer, a byte
// each 250 ms. What is measured then is what they cost the others. And it asks MCP
// servers MCP's ping, half of which have state and refuse whoever has no session, while
// the others answer with a stream of one event: mcp_cpu_over_http is what that costs
// beside GET /ping.
//
// The agents are one process on 127.0.0.0/8, an address each; each asker is a
// process of its own, so that CPU time and memory are its own. What the kernel
// keeps for its connections is in no process's memory. The black hole is a
// listener with a full queue: nothing of the machine is changed for it.
//
// The last line is JSON, one line for each N if -n lists several:
//
//	{"targets": 10000, "probes": 300000, "missed": 0, "cadence_error_ms_p50": 0.2, "cadence_error_ms_p99": 9.1, ...}
//
// The cadence error is measured by the agents: how far the time between two
// questions, as the kernel stamped their arrival, was from 2 s. late_ms is the
// asker's own view: how long after its moment it made a ping. missed is the
// engine's own count, missed_at_agents and hostile_missed are what the healthy
// agents found missing. Counts are sums over the turns, all else is the median
// of the turns. Nothing is judged: what a machine with other work shows is not
// the engine's, so compare what ran in turns.
//
// How the engine alone grows, in a minute or two:
//
//	ping -n 1000,2000,5000,10000,50000 -ask engine -turns 1 -length 10s
//
// Both processes need a descriptor for each agent: what the limit (ulimit -Hn)
// has no room for is said and left out.
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
	"strconv"
	"strings"
	"syscall"
	"time"
)

// period is the contract's.
const period = 2 * time.Second

// options are what the command line says.
type options struct {
	sizes      []int
	turns      int
	length     time.Duration
	askers     []string
	profile    string
	memProfile string
}

func main() {
	sizes := flag.String("n", "10000", "how many `agents`; several, such as 1000,5000, are measured one after the other")
	asked := flag.String("ask", strings.Join(rotation, ","), "`who` asks")
	role := flag.String("role", "", "what a child process does: agents, or one of those who ask")
	o := options{}
	flag.IntVar(&o.turns, "turns", 3, "how many `turns` each asker gets")
	flag.DurationVar(&o.length, "length", 20*time.Second, "how `long` a turn is")
	flag.StringVar(&o.profile, "profile", "", "write the engine's CPU profile of its last turn to this `file` (costs CPU time that is counted)")
	flag.StringVar(&o.memProfile, "memprofile", "", "write the engine's memory profile of its last turn to this `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.parse(*sizes, *asked)
	if err == nil {
		err = run(ctx, *role, o)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // what that broke off does not matter
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ping:", err)
		os.Exit(1)
	}
}

func (o *options) parse(sizes, asked string) error {
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 10 || n > 1_000_000 {
			return fmt.Errorf("-n has %q, and must have numbers from 10 to 1000000", size)
		}
		o.sizes = append(o.sizes, n)
	}
	o.askers = strings.Split(asked, ",")
	for _, name := range o.askers {
		if !slices.Contains(rotation, name) {
			return fmt.Errorf("-ask has %q, and may have %s", name, strings.Join(rotation, ", "))
		}
	}
	switch {
	case !slices.Contains(o.askers, engine):
		return fmt.Errorf("-ask is %q, and must have %s", asked, engine)
	case o.turns < 1 || o.length < 3*period:
		return fmt.Errorf("-turns is %d and -length is %s: there must be a turn, and three periods in it", o.turns, o.length)
	}
	return nil
}

func run(ctx context.Context, role string, o options) error {
	switch role {
	case "":
	case "agents":
		return serveAgents()
	default:
		return ask(ctx, role, o)
	}
	var results []result
	for _, n := range o.sizes {
		if err := enoughDescriptors(n); err != nil {
			if len(o.sizes) == 1 {
				return err
			}
			say("skipped: %v", err)
			continue
		}
		r, err := compare(ctx, n, o)
		if err != nil {
			return fmt.Errorf("%d agents: %w", n, err)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return errors.New("each -n is more than the descriptors allow")
	}
	out := json.NewEncoder(os.Stdout)
	for _, r := range results {
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// enoughDescriptors tells whether there can be n connections: the asker needs
// one for each agent, and so do the agents, which are another process.
func enoughDescriptors(n int) error {
	const spare = 64
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of descriptors: %w", err)
	}
	if limit.Cur < uint64(n+spare) {
		return fmt.Errorf("%d agents need %d descriptors in a process, and it may have %d (ulimit -Hn)", n, n+spare, limit.Cur)
	}
	return nil
}

// compare lets the askers ask n agents in turns.
func compare(ctx context.Context, n int, o options) (result, error) {
	say("%d agents on 127.0.0.0/8", n)
	seen := map[string][]report{}
	for turn := range o.turns {
		for i := range o.askers {
			name := o.askers[(turn+i)%len(o.askers)]
			got, err := measure(ctx, name, n, o)
			if err != nil {
				return result{}, fmt.Errorf("turn %d of %s: %w", turn+1, name, err)
			}
			say("%-8s turn %d: %6.1f us a probe, %6.1f MiB; %d probes, %d failed, %d missed, %d missed at the agents; cadence error %.1f ms, late by %.1f ms (p99)",
				name, turn+1, got.CPU, got.RSS, got.Probes, got.Failed, got.Missed, got.MissedAtAgents, got.CadenceP99, got.LateP99)
			seen[name] = append(seen[name], got)
		}
	}
	return sum(n, o, seen), nil
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
