// Command conformance holds our library for agents, agentruntime, against the
// one of AWS that it takes after: bedrock-agentcore for Python, unchanged, in a
// virtual environment of its own. Each check is played over HTTP on a fresh
// agent in either language. The table says of each: same, or differs on purpose
// and why. Whatever differs otherwise, or no longer differs, is a failure, and
// the program exits with 1.
//
// It needs a python3 (3.11 or later) that can make virtual environments, and
// PyPI the first time. PYTHON chooses another interpreter. "conformance python"
// only makes the environment, and prints its interpreter: test/awsclients calls
// with the boto3 that is in it.
//
//	checks.go        what a row is, and how it is judged
//	contract.go      rows 1 to 19: what an agent serves
//	tasks.go         rows 20 to 36: tasks and the ping status
//	edges.go         rows 5a and so on: what is beside the checks
//	concurrency.go   what takes more than one request at a time
//	agent.go         the agent on our library, this program started as "agent MODE PORT",
//	orders.go        and what it can be told to do
//	agent.py         its twin on AWS's
//	subject.go       an agent in a process of its own
//	observe.go       what is seen of it over HTTP
//	environment.go   the virtual environment
package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	// bound is for all, a Python environment that is made included.
	bound = 10 * time.Minute
	// checkBound is for one check on one subject; the longest takes 11 s.
	checkBound = 2 * time.Minute
)

//go:embed agent.py
var agentPy string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok, err := start(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, table, progress io.Writer) (ok bool, err error) {
	if len(args) == 3 && args[0] == "agent" {
		return true, serveAgent(ctx, args[1], args[2])
	}
	onlyPython := len(args) == 1 && args[0] == "python"
	if len(args) > 0 && !onlyPython {
		return false, fmt.Errorf("unexpected argument %q", args[0])
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	python, err := sdkPython(ctx, progress)
	if err == nil && onlyPython {
		_, err = fmt.Fprintln(table, python)
		return true, err
	}
	if err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	golang := language{name: "Go", command: []string{self, "agent"}, choosePort: freeDefaultPort}
	// 40 is the number of threads that Starlette has for handlers.
	peer := language{name: "Python", command: []string{python, "-c", agentPy}, choosePort: freePort, handlersAtOnce: 40}
	ok = report(table, runAll(ctx, checks(), golang, peer, progress))
	if ctx.Err() != nil {
		return false, fmt.Errorf("ended before all was compared: %w", context.Cause(ctx))
	}
	return ok, nil
}

// runAll plays each check on both at the same time, and as many checks at a time
// as there are processors: who waits for one of those is late with his answers.
func runAll(ctx context.Context, checks []check, golang, python language, progress io.Writer) []result {
	results := make([]result, len(checks))
	slots := make(chan struct{}, runtime.NumCPU())
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ours := make(chan seen, 1)
			go func() { ours <- see(ctx, c, golang) }()
			theirs := see(ctx, c, python)
			results[i] = judge(c, <-ours, theirs)
			if results[i].failure != "" {
				say(progress, "check %s failed", c.id)
			}
		})
	}
	all.Wait()
	return results
}

// see plays a check on a fresh subject.
func see(ctx context.Context, c check, l language) seen {
	ctx, cancel := context.WithTimeout(ctx, checkBound)
	defer cancel()
	mode := c.mode
	if mode == "" {
		mode = "default"
	}
	s, err := startSubject(ctx, l, mode)
	if err != nil {
		return seen{err: err}
	}
	defer s.stop()
	text, err := c.observe(ctx, s)
	if err != nil {
		err = fmt.Errorf("%w; the last of its log:\n%s", err, s.log.tail())
	}
	return seen{text, err}
}
