//go:build linux

// Command operator measures the whole operator with N sessions: its own binary,
// with its own rights, on a real API server and etcd (KUBEBUILDER_ASSETS), with
// the stand-in node and agents of agentsessiontest/node on loopback.
//
// In one run, one after the other:
//
//   - the physical limits: 16 workers of a bare client create pods, which the
//     stand-in node starts, and delete them; and they make the operator's writes
//     of a start and of a stop, Events too, with nothing to decide or wait for;
//   - N sessions are created by as many workers, and become Ready;
//   - a minute in which nothing happens;
//   - a minute in which up to 1,000 agents change their status at every ping;
//   - up to 100 sessions that fall due one after the other, and up to 2,000 that
//     fall due in the same second.
//
// With -nodes the operator asks nobody: a process for each node asks the agents
// there, and the pods are spread over the nodes.
//
// CPU time and memory are the operator's process's own; those of the processes on
// nodes stand apart, the CPU time of all and the memory of one. Writes are what
// the API server's audit log names as theirs, Events counted apart; watches are
// what its metrics tell of, beyond those that were open before. Agents, node, API
// server and etcd share the machine with it: rates are to be compared with the
// rates of the bare client in the same run, which has the same company.
//
// The last line is JSON. It judges nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/hack/bench/plane"
)

// result is the last line.
type result struct {
	Sessions              int     `json:"sessions"`
	Nodes                 int     `json:"nodes"`
	CreateToPodP50        float64 `json:"create_to_pod_p50_ms"`
	CreateToPodP99        float64 `json:"create_to_pod_p99_ms"`
	CreateToReadyP50      float64 `json:"create_to_ready_p50_ms"`
	CreateToReadyP99      float64 `json:"create_to_ready_p99_ms"`
	ReadyPerSecond        float64 `json:"sessions_ready_per_s"`
	RawPodsPerSecond      float64 `json:"raw_pods_per_s"`
	ReadyOverRaw          float64 `json:"ready_over_raw"`
	RawSessionsPerS       float64 `json:"raw_sessions_per_s"`
	ReadyOverRawSessions  float64 `json:"ready_over_raw_sessions"`
	Writes                float64 `json:"writes_per_session"`
	Events                float64 `json:"events_per_session"`
	IdleWrites            float64 `json:"idle_writes_per_session_minute"`
	IdleCPU               float64 `json:"cpu_cores_idle"`
	RSS                   float64 `json:"rss_mib"`
	EmptyRSS              float64 `json:"empty_rss_mib"`
	RSSPerSession         float64 `json:"rss_kib_per_session"`
	Watches               int     `json:"watches"`
	Flapping              int     `json:"flapping"`
	FlappingWrites        float64 `json:"flapping_writes_per_session_minute"`
	FlappingEvents        float64 `json:"flapping_events_per_session_minute"`
	FlappingClockOff      float64 `json:"flapping_idle_clock_off_s"`
	StopLatenessP50       float64 `json:"stop_lateness_ms_p50"`
	StopLatenessP99       float64 `json:"stop_lateness_ms_p99"`
	MassStops             int     `json:"mass_stops"`
	MassStopLast          float64 `json:"mass_stop_last_s"`
	MassStopsPerS         float64 `json:"mass_stops_per_s"`
	RawDeletesPerS        float64 `json:"raw_deletes_per_s"`
	MassStopsOverRaw      float64 `json:"mass_stops_over_raw"`
	RawStopsPerS          float64 `json:"raw_stops_per_s"`
	MassStopsOverRawStops float64 `json:"mass_stops_over_raw_stops"`
	Refused               int     `json:"refused_writes"`
	*ofNodes
}

// ofNodes is there if there are nodes.
type ofNodes struct {
	NodeIdleCPU  float64 `json:"node_cpu_cores_idle"` // of all
	NodeRSS      float64 `json:"node_rss_mib"`        // the mean
	NodeEmptyRSS float64 `json:"node_empty_rss_mib"`
}

func main() {
	n := flag.Int("n", 5000, "how many `sessions`")
	nodes := flag.Int("nodes", 0, "how many `nodes` have a process that asks the agents there; 0: the operator asks all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx, *n, *nodes)
	stop()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func validate(n, nodes int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of descriptors: %w", err)
	}
	if n < 100 || uint64(n)+500 > limit.Cur {
		return fmt.Errorf("-n is %d: it must be from 100 to %d, since each agent needs a descriptor and the limit is %d (ulimit -n)", n, limit.Cur-500, limit.Cur)
	}
	if nodes < 0 || nodes > n {
		return fmt.Errorf("-nodes is %d: it must be from 0 to %d, which -n is", nodes, n)
	}
	return nil
}

// run measures.
func run(ctx context.Context, n, nodes int) (r result, err error) {
	if err := validate(n, nodes); err != nil {
		return r, err
	}
	ctrl.SetLogger(logr.Discard())
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	dir, err := os.MkdirTemp("", "agentsession-operator-")
	if err != nil {
		return r, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)                          //nolint:errcheck // in the temporary directory
	if err := os.Setenv("TMPDIR", dir); err != nil { // envtest leaves files behind when it fails
		return r, fmt.Errorf("make a place for the API server: %w", err)
	}
	binary := filepath.Join(dir, "operator")
	say("Building the operator, starting an API server and etcd")
	if err := build(ctx, binary); err != nil {
		return r, err
	}
	agents := newFarm()
	p, err := plane.Start(ctx, dir, func(standIn *node.Node) {
		standIn.Prepare = agents.agentFor
		if nodes > 0 {
			standIn.Place = spread(nodes)
		}
	}, fail)
	defer func() {
		if stopErr := p.Stop(); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stop what was started: %w", stopErr))
		}
	}()
	if err == nil {
		b := &bench{Plane: p, agents: agents, binary: binary, n: n, nodes: nodes, r: &r}
		err = b.measure(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // what was interrupted does not matter
	}
	return r, err
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
