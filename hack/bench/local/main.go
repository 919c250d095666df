//go:build linux

// Command local measures `agentsession local`: how large its binary is, how long it takes
// until it is ready, what memory it takes without a session and with some, and which part of it
// holds what. Its last line is JSON.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	sessions := flag.Int("n", 20, "sessions that are called")
	starts := flag.Int("starts", 5, "starts that are timed")
	inside := flag.Bool("inside", false, "be the platform whose heap is looked at")
	flag.Parse()
	run := func(ctx context.Context) error { return measure(ctx, *sessions, *starts) }
	if *inside {
		run = lookInside
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench-local:", err)
		os.Exit(1)
	}
}

// result is the last line.
type result struct {
	Bench         string             `json:"bench"`
	BinaryMB      float64            `json:"binary_mb"`
	ReadyMS       float64            `json:"ready_ms_p50"`
	ReadyCPUMS    float64            `json:"ready_cpu_ms_p50"`
	RSSMiB        float64            `json:"rss_mib"`
	PagesMiB      float64            `json:"rss_program_mib"`
	Sessions      int                `json:"sessions"`
	SessionsMiB   float64            `json:"rss_mib_with_sessions"`
	SessionKiB    float64            `json:"rss_kib_per_session"`
	HeapMiB       float64            `json:"heap_mib"`
	HeapOfPartMiB map[string]float64 `json:"heap_mib_by_part"`
}

func measure(ctx context.Context, sessions, starts int) error {
	dir, err := os.MkdirTemp("", "bench-local-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary one
	r := result{Bench: "local", Sessions: sessions}
	tool, agents := filepath.Join(dir, "agentsession"), filepath.Join(dir, "agents")
	if r.BinaryMB, err = build(ctx, tool, "./cmd/agentsession"); err != nil {
		return err
	}
	if _, err := build(ctx, agents, "./examples/agents"); err != nil {
		return err
	}
	var ready, cpu []float64
	for range starts {
		p, err := start(ctx, tool, agents)
		if err != nil {
			return err
		}
		ready, cpu = append(ready, p.readyMS), append(cpu, p.readyCPUMS)
		if err := p.end(); err != nil {
			return err
		}
	}
	r.ReadyMS, r.ReadyCPUMS = median(ready), median(cpu)
	if err := r.memory(ctx, tool, agents); err != nil {
		return err
	}
	if err := r.heap(ctx); err != nil {
		return err
	}
	return r.write(os.Stdout)
}

// memory is that of the real program.
func (r *result) memory(ctx context.Context, tool, agents string) error {
	p, err := start(ctx, tool, agents)
	if err != nil {
		return err
	}
	defer p.end() //nolint:errcheck // what it was for is known
	time.Sleep(settles)
	idle, err := p.rss()
	if err != nil {
		return err
	}
	for n := range r.Sessions {
		if err := p.call(ctx, n); err != nil {
			return err
		}
	}
	time.Sleep(settles)
	full, err := p.rss()
	if err != nil {
		return err
	}
	r.RSSMiB, r.PagesMiB, r.SessionsMiB = mib(idle.all), mib(idle.file), mib(full.all)
	r.SessionKiB = round(float64(full.all-idle.all) / 1024 / float64(r.Sessions))
	return nil
}

// heap has another process of this program say what its heap holds, of which each allocation
// is written down from the first on.
func (r *result) heap(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	command := exec.CommandContext(ctx, self, "-inside")
	command.Env, command.Stderr = append(os.Environ(), "GODEBUG=memprofilerate=1"), os.Stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("look at the heap: %w", err)
	}
	if err := json.Unmarshal(out, &r.HeapOfPartMiB); err != nil {
		return fmt.Errorf("look at the heap: %w", err)
	}
	for _, held := range r.HeapOfPartMiB {
		r.HeapMiB = round(r.HeapMiB + held)
	}
	return nil
}

func (r *result) write(out io.Writer) error {
	var page strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&page, format+"\n", args...) }
	say("binary, without symbols           %6.1f MB", r.BinaryMB)
	say("ready after                       %6.0f ms, of which the program computes %.0f", r.ReadyMS, r.ReadyCPUMS)
	say("memory, no session                %6.1f MiB, of which the program's own pages %.1f", r.RSSMiB, r.PagesMiB)
	say("memory, %3d sessions              %6.1f MiB: %.0f KiB each, without their agents", r.Sessions, r.SessionsMiB, r.SessionKiB)
	say("live heap, no session             %6.1f MiB, and of it", r.HeapMiB)
	for _, name := range slices.SortedFunc(keys(r.HeapOfPartMiB), func(a, b string) int { return cmp.Compare(r.HeapOfPartMiB[b], r.HeapOfPartMiB[a]) }) {
		say("  %-31s %6.1f", name, r.HeapOfPartMiB[name])
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s%s\n", page.String(), line)
	return err
}
