package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/lint"
	"github.com/agentsession/agentsession/internal/local"
	"github.com/agentsession/agentsession/internal/local/node"
)

// starter starts the agent that is looked at.
type starter struct {
	image         string
	env, envFiles []string
	snapshot      bool

	variables []corev1.EnvVar
	runtime   local.Runtime
	err       io.Writer
}

// starts tells whether the agent is one that is started for this, and what is wrong with the
// arguments that say so. words are those after --.
func (l *linter) starts(command *cobra.Command, targets, words []string) (bool, error) {
	given := command.Flags().Changed
	start := l.image != "" || len(words) > 0
	for _, one := range []struct {
		is   bool
		says string
	}{
		{start && len(targets) > 0, "an agent that runs is given, and one to start: it must be one of URL, NAME, --image IMAGE and -- COMMAND"},
		{given("image") && l.image == "", "--image is empty: it must be the name of an image"},
		{!start && (given("env") || given("env-file")), "--env and --env-file are for an agent that is started here, by --image IMAGE or -- COMMAND"},
		{!start && l.snapshot, "--snapshot starts the agent twice: it is for one that is started here, by --image IMAGE or -- COMMAND"},
		{l.snapshot && !l.options.Invoke, "--snapshot compares answers to calls, which are made with --invoke only"},
	} {
		if one.is {
			return false, errors.New(one.says)
		}
	}
	return start, nil
}

// prepare reads how the agent is started, and names it.
func (l *linter) prepare(words []string) (name string, err error) {
	if l.variables, err = readEnv(l.envFiles, l.env); err != nil {
		return "", err
	}
	agent := corev1.Container{Name: "agent", Command: words}
	if name = strings.Join(words, " "); l.image != "" {
		agent = corev1.Container{Name: "agent", Image: l.image, Args: words}
		name = l.image
	}
	l.runtime = local.RuntimeOf(agent, nil, cmp.Or(l.options.Protocol, v1alpha1.ProtocolHTTP), nil)
	return name, nil
}

// started starts an agent, and looks at it; then it is started again, if that is wanted.
func (l *linter) started(name string) look {
	return func(ctx context.Context, _ *connection) (string, *lint.Observation, error) {
		var seen *lint.Observation
		err := l.while(ctx, func(o lint.Options) (err error) {
			seen, err = l.watch(ctx, o)
			return err
		})
		if err != nil || !l.snapshot || seen.Incomplete {
			return name, seen, err
		}
		if err := l.while(ctx, func(o lint.Options) error {
			lint.Again(ctx, seen, o)
			return nil
		}); err != nil {
			seen.NotAgain, seen.Incomplete = err.Error(), ctx.Err() != nil
		}
		return name, seen, nil
	}
}

// while starts the agent, has it be looked at, and ends it, however that went. What it wrote is
// shown if it did not start, or ended by itself.
func (l *linter) while(ctx context.Context, look func(lint.Options) error) error {
	o := l.options
	o.Started = time.Now()
	said := &lastLines{}
	agent, err := l.launch(ctx, &o, said.add)
	if err == nil {
		err = look(o)
		if ended := agent.Err(); ended != nil {
			writeLines(l.err, "note: "+printable(ended.Error()))
		} else if err == nil {
			said = &lastLines{}
		}
		err = errors.Join(err, agent.Stop())
	}
	said.show(l.err)
	return err
}

// launch starts the agent, waits until it answers, and says how it is looked at.
func (l *linter) launch(ctx context.Context, o *lint.Options, say func(node.Line)) (*node.Agent, error) {
	ctx, stop := context.WithTimeoutCause(ctx, lifecycle.StartTimeout, fmt.Errorf("it did not answer within %s of its start, which is all that AgentCore gives it", lifecycle.StartTimeout))
	defer stop()
	agent, err := local.StartAgent(ctx, l.runtime, l.variables, say)
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	o.Base = "http://" + agent.At().String()
	o.SessionID, o.SecondID = newSessionID(), newSessionID()
	if l.image == "" {
		return agent, nil
	}
	// The engine takes connections before the agent does, on loopback only.
	o.Forwarded, o.Elsewhere = true, []netip.Addr{}
	waiting, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	go func() {
		select {
		case <-agent.Ended():
			gone(agent.Err())
		case <-waiting.Done():
		}
	}()
	err = lint.Await(waiting, *o)
	switch ended := agent.Err(); {
	case err == nil:
		return agent, nil
	case ended != nil:
		err = fmt.Errorf("start the agent: %w", ended)
	default:
		err = fmt.Errorf("start the agent: %w. In a container it must listen on all addresses, and not on loopback", err)
	}
	return nil, errors.Join(err, agent.Stop())
}

func newSessionID() string { return program + "-lint-" + string(uuid.NewUUID()) }

// lastLines are the last that an agent wrote.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *lastLines) add(line node.Line) {
	const most = 100
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, printable(line.Text))
	l.lines = slices.Clone(l.lines[max(0, len(l.lines)-most):])
}

func (l *lastLines) show(out io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) > 0 {
		writeLines(out, "The agent wrote:\n  "+strings.Join(l.lines, "\n  "))
	}
}
