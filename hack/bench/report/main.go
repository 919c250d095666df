// Command report runs the benchmarks and writes docs/benchmarks.md with its
// plots. Both steps meet in docs/benchmarks/results.jsonl only: each run adds
// what it measured to it, a line for each line of JSON that the benchmark
// ended with, in the place of what the same command measured before; the page
// and the plots are made of that file and of nothing else. What is not in it is
// shown as not measured.
//
// A benchmark that fails leaves what was measured before, with its date; the
// others are run all the same, and the program exits with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	dir := flag.String("docs", "docs", "the `folder` of benchmarks.md")
	only := flag.String("only", "", "run only these `benchmarks`, such as ping,writes")
	render := flag.Bool("render", false, "run nothing: make the page of what was measured before")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := report(ctx, *dir, *only, *render)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, dir, only string, renderOnly bool) error {
	path := filepath.Join(dir, "benchmarks", "results.jsonl")
	var failed error
	if !renderOnly {
		steps, err := choose(only)
		if err != nil {
			return err
		}
		for _, s := range steps {
			if err := s.run(ctx, path); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", s.command, err))
			}
			if ctx.Err() != nil {
				return failed
			}
		}
	}
	lines, err := load(path)
	if err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, render(dir, lines))
}

// choose returns the steps of the benchmarks in only, or all.
func choose(only string) ([]step, error) {
	if only == "" {
		return steps, nil
	}
	var chosen []step
	for bench := range strings.SplitSeq(only, ",") {
		before := len(chosen)
		for _, s := range steps {
			if s.bench == bench {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("-only has %q, which is no benchmark", bench)
		}
	}
	return chosen, nil
}
