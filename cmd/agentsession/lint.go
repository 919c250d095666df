package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/lint"
)

const (
	// leastWatch is for how long an agent is watched at least: stamps count whole seconds,
	// and pings come every two.
	leastWatch = 10 * time.Second
	// notReached is for how long an agent must have answered that never did at its pod's
	// address: the operator asks it every 2 s.
	notReached = 10 * time.Second
)

// linter looks what of AgentCore's contract an agent breaks.
type linter struct {
	starter
	options          lint.Options
	payload          string
	protocol, output string
	out              io.Writer
}

var protocols = []v1alpha1.ServerProtocol{v1alpha1.ProtocolHTTP, v1alpha1.ProtocolMCP, v1alpha1.ProtocolA2A, v1alpha1.ProtocolAGUI}

func (t *connection) newLint() *cobra.Command { return (&linter{}).command(t) }

func (l *linter) command(t *connection) *cobra.Command {
	command := &cobra.Command{
		Use:   "lint {URL | NAME | --image IMAGE [-- ARGUMENT...] | -- COMMAND [ARGUMENT...]}",
		Short: "Tell what of AgentCore's contract an agent breaks",
		Long: "Ask an agent for a while, and tell what of AgentCore's container contract it breaks, what each costs on AWS, and how it is mended. " +
			"The agent is at a URL, or is that of a session, which is reached through the API server; or it is started here, from an image or by a command, as by local, and ended at the end. " +
			"It is called with --invoke only: twice, with the two spellings of the session's header that AWS's clients send.\n\n" +
			"Exit status: 0, 1 if an error was found (warnings and notes are none), 2 if nothing could be looked at, or if it was interrupted: what was seen until then is told.",
		Example: examples(t, "lint http://127.0.0.1:8080", "lint 127.0.0.1:8080 --invoke --payload '{\"prompt\":\"hello\"}' -o junit", "lint research -n team-a --for 1m",
			"lint --image my-agent:1 --env AWS_REGION=us-east-1", "lint --invoke --snapshot -- python my_agent.py"),
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, targets []string) error {
			l.out, l.err = command.OutOrStdout(), command.ErrOrStderr()
			return l.lint(command, t, targets)
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{notLooked, err} })
	flags := command.Flags()
	flags.DurationVar(&l.options.For, "for", 30*time.Second, "how long it is watched, 10s at least; after the last call if it is called, each of which may take as long")
	flags.BoolVar(&l.options.Invoke, "invoke", false, "call it, too: POST /invocations, or the path of its protocol")
	flags.StringVar(&l.payload, "payload", "{}", "`JSON` of the calls")
	flags.StringVar(&l.protocol, "protocol", "", "what it speaks: HTTP, MCP, A2A or AGUI; HTTP by default, and what its runtime says for a session")
	flags.StringVar(&l.image, "image", "", "`image` of an agent to start, by Docker or Podman (the first of docker and podman in $PATH); arguments after -- are the image's")
	flags.StringArrayVar(&l.env, "env", nil, "`NAME=VALUE` in the environment of an agent that is started, may be repeated; it wins over --env-file")
	flags.StringArrayVar(&l.envFiles, "env-file", nil, "`file` of such lines, may be repeated; the last that has a name wins")
	flags.BoolVar(&l.snapshot, "snapshot", false, "start the agent twice, and tell what its answers show that sessions restored from one snapshot would share; with --invoke")
	flags.StringVarP(&l.output, "output", "o", "text", "form of the report: text, json, junit or sarif")
	return command
}

func (l *linter) lint(command *cobra.Command, t *connection, targets []string) error {
	name, look, err := l.read(command, targets)
	if err != nil {
		return &exitError{notLooked, err}
	}
	if terminal(command.ErrOrStderr()) != nil {
		writeLines(command.ErrOrStderr(), printable(fmt.Sprintf("Looking at %s for %s ...", name, l.options.For)))
	}
	target, seen, err := look(command.Context(), t)
	if err != nil {
		return &exitError{notLooked, err}
	}
	report := lint.Judge(target, seen)
	text, err := lint.Formats[l.output](report)
	if err != nil {
		return &exitError{notLooked, err}
	}
	if _, err := io.WriteString(l.out, text); err != nil {
		return &exitError{notLooked, fmt.Errorf("write the report: %w", err)}
	}
	if seen.Incomplete {
		return &exitError{notLooked, errors.New("interrupted: what was seen until then is no whole result")}
	}
	if report.Count(lint.Error) > 0 {
		return &exitError{1, errors.New("the agent breaks AgentCore's container contract")}
	}
	return nil
}

// look watches an agent, and names it.
type look func(ctx context.Context, t *connection) (string, *lint.Observation, error)

// read says what is wrong with the arguments, names the agent, and says how it is looked at.
func (l *linter) read(command *cobra.Command, args []string) (name string, look look, err error) {
	if err := l.readFlags(command); err != nil {
		return "", nil, err
	}
	targets, words := args, []string(nil)
	if dash := command.ArgsLenAtDash(); dash >= 0 {
		targets, words = args[:dash], args[dash:]
	}
	if starts, err := l.starts(command, targets, words); err != nil {
		return "", nil, err
	} else if starts {
		name, err := l.prepare(words)
		return name, l.started(name), err
	}
	if len(targets) != 1 {
		return "", nil, fmt.Errorf("one agent is wanted, and not %d: a URL, the name of a session, --image IMAGE or -- COMMAND", len(targets))
	}
	name = targets[0]
	if strings.ContainsAny(name, ":/") {
		base, err := baseOf(name)
		return base, l.at(base), err
	}
	return name, func(ctx context.Context, t *connection) (string, *lint.Observation, error) {
		c, err := t.connect(command)
		if err != nil {
			return "", nil, err
		}
		return l.session(ctx, c, name)
	}, nil
}

// readFlags says what is wrong with the flags that hold for every agent.
func (l *linter) readFlags(command *cobra.Command) error {
	protocol, err := oneOf("--protocol", l.protocol, protocols)
	if err != nil {
		return err
	}
	l.options.Protocol = v1alpha1.ServerProtocol(protocol)
	if l.output, err = oneOf("--output", cmp.Or(l.output, "?"), slices.Sorted(maps.Keys(lint.Formats))); err != nil {
		return err
	}
	if l.options.For < leastWatch {
		return fmt.Errorf("--for is %s: it must be %s at least, or the result means nothing", l.options.For, leastWatch)
	}
	switch given := command.Flags().Changed("payload"); {
	case given && !l.options.Invoke:
		return errors.New("--payload is for calls, which are made with --invoke only")
	case given:
		l.options.Payload = []byte(l.payload)
	}
	return nil
}

// baseOf is where an agent is that is named by a URL, or by its host and port.
func baseOf(given string) (string, error) {
	full := given
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not where an agent is: it must be http://HOST:PORT, since agents serve plain HTTP, at the root; an image is started by --image", given)
	}
	return "http://" + u.Host, nil
}

// at looks at an agent at a URL.
func (l *linter) at(base string) look {
	return func(ctx context.Context, _ *connection) (string, *lint.Observation, error) {
		o := l.options
		o.Base, o.SessionID = base, newSessionID()
		seen, err := l.watch(ctx, o)
		return base, seen, err
	}
}

func (l *linter) watch(ctx context.Context, o lint.Options) (*lint.Observation, error) {
	if o.Invoke && o.Payload == nil && (o.Protocol == v1alpha1.ProtocolMCP || o.Protocol == v1alpha1.ProtocolA2A) {
		return nil, fmt.Errorf("--payload is {}, which is no call of %s: say with it what the agent is to be called with", o.Protocol)
	}
	seen, err := lint.Watch(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("look at the agent: %w", err)
	}
	return &seen, nil
}

// session looks at the agent of a session.
func (l *linter) session(ctx context.Context, c *cluster, name string) (string, *lint.Observation, error) {
	f, err := c.get(ctx, name)
	if apierrors.IsNotFound(err) {
		return "", nil, c.missing(ctx, name, err)
	} else if err != nil {
		return "", nil, c.inWords(err)
	}
	pod, err := c.podOf(ctx, f)
	if err != nil {
		return "", nil, err
	}
	if pod == nil {
		return "", nil, fmt.Errorf("AgentSession %q has no compute, so there is no agent to look at: `%s wake %s -n %s` starts one", f.Name, c.tools.Self, f.Name, f.Namespace)
	}
	o := l.ofSession(f.AgentSession)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	at, err := c.reach(ctx, pod, o.port)
	if err != nil {
		return "", nil, err
	}
	o.Base, o.Forwarded = "http://"+at.String(), at.Addr().String() != pod.Status.PodIP
	seen, err := l.watch(ctx, o.Options)
	if err != nil {
		return "", nil, fmt.Errorf("port %d of pod %s: %w", o.port, pod.Name, err)
	}
	seen.Listens = c.listens(ctx, f, seen)
	return f.Namespace + "/" + f.Name, seen, nil
}

// sessionOptions are for the agent of a session.
type sessionOptions struct {
	lint.Options
	port int32
}

// ofSession are the options for a session's agent: what its runtime says, unless the user does.
func (l *linter) ofSession(s *v1alpha1.AgentSession) sessionOptions {
	o := sessionOptions{Options: l.options}
	spec := lifecycle.Govern(s.Spec, s.Status.Runtime)
	if o.Protocol == "" && s.Status.Runtime != nil && s.Spec.RuntimeRef != nil {
		o.Protocol, o.Path = s.Status.Runtime.ProtocolConfiguration.ServerProtocol, s.Status.Runtime.ProtocolConfiguration.Path
	}
	if o.Question = lifecycle.QuestionOf(&spec, s.Status.Runtime); o.Question.MCP != "" && o.Protocol == "" {
		o.Protocol = v1alpha1.ProtocolMCP
	}
	o.Question.Strict = false // what is odd is a finding of its own
	o.port = lifecycle.AgentPort(s)
	o.Host = fmt.Sprintf("localhost:%d", o.port)
	o.SessionID = cmp.Or(s.Spec.RuntimeSessionID, s.Status.RuntimeSessionID)
	return o
}

// listens tells whether the operator reaches an agent that answers within its pod.
func (c *cluster) listens(ctx context.Context, before found, seen *lint.Observation) lint.Listens {
	now, err := c.get(ctx, before.Name)
	if err != nil || now.Status.Pod == nil || now.Status.Pod.UID != before.Status.Pod.UID {
		return lint.ListensUnknown
	}
	switch {
	case now.Status.HealthyAt != nil:
		return lint.ListensWide
	case seen.Answered() >= notReached:
		return lint.ListensNotToPod
	}
	return lint.ListensUnknown
}
