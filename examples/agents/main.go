// Command agents is the agents of the examples, the demo and the end-to-end
// tests, in one binary so that there is one image. The first argument chooses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// command is one of the agents, or a client of theirs. It returns when it is
// done or ctx ends.
type command func(ctx context.Context, args []string) error

var commands = map[string]command{
	"echo":       echo,
	"research":   research,
	"manual":     manual,
	"dependency": dependency,
	"throttle":   throttle,
	"journal":    journal,
	"stream":     stream,
	"forgetful":  forgetful,
	"faulty":     faulty,
	"plain":      plain,
	"invoke":     invoke,
	"ping":       ping,
	"tasks":      tasks,
	"events":     events,
}

func main() {
	// Kubernetes says SIGTERM and waits for the grace period.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "agents:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	names := strings.Join(slices.Sorted(maps.Keys(commands)), "|")
	if len(args) == 0 {
		return fmt.Errorf("usage: agents %s [flags]", names)
	}
	chosen, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("%q is none of %s", args[0], names)
	}
	return chosen(ctx, args[1:])
}

// server is what every agent of agent-runtime takes from the command line.
type server struct {
	*flag.FlagSet
	options agentruntime.Options
}

func newServer(name string) *server {
	s := &server{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	s.StringVar(&s.options.Addr, "addr", "0.0.0.0:8080", "`address` to listen on")
	s.DurationVar(&s.options.GracePeriod, "grace", 0, "`time` from SIGTERM to SIGKILL. Default: the pod's terminationGracePeriodSeconds, as the operator says it, else 15s")
	return s
}

// app makes the agent once the flags are known. What it logs with slog is in
// the same form as the agent's own log.
func (s *server) app() *agentruntime.App {
	app := agentruntime.New(s.options)
	slog.SetDefault(app.Logger())
	return app
}
