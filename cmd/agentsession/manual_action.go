package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/byhand"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// manualAction stops or wakes sessions.
type manualAction struct {
	*cluster
	selection
	// verb and past name what is done, and warning what it costs.
	verb, past, warning string
	rule                func(*v1alpha1.AgentSession) lifecycle.Hand
	dryRun              string
	yes                 bool
	in                  io.Reader
	out, err            io.Writer
}

func stopping() *manualAction {
	return &manualAction{verb: "stop", past: "asked to stop", warning: "Their agents lose their memory.", rule: lifecycle.StopByHand}
}

func waking() *manualAction {
	return &manualAction{verb: "wake", past: "asked to start", warning: "Each starts a pod.", rule: lifecycle.WakeByHand}
}

func (t *connection) newStop() *cobra.Command {
	return t.newHand(stopping(), &cobra.Command{
		Short: "Stop sessions",
		Long: "Stop sessions, by names or by selectors: their computes are removed. The sessions stay and can be woken; their agents' memory is lost. " +
			"It asks first, and says of each session what was done.",
		Example: examples(t, "stop research", "stop --runtime echo --state Idle --dry-run", "stop -A --busy-longer-than 2h --yes"),
	})
}

func (t *connection) newWake() *cobra.Command {
	return t.newHand(waking(), &cobra.Command{
		Short: "Start sessions again that have stopped",
		Long: "Start sessions again that have stopped, with fresh memory: by spec.desiredState Running where that alone had stopped it, " +
			"and by the next activation else.",
		Example: examples(t, "wake research", "wake --runtime echo --state Stopped --dry-run", "wake -l team=a --yes"),
	})
}

func (t *connection) newHand(h *manualAction, command *cobra.Command) *cobra.Command {
	command.Use = h.verb + " NAME... | FLAGS"
	command.ValidArgsFunction = t.complete
	command.RunE = func(command *cobra.Command, names []string) (err error) {
		if err := h.read(names); err != nil {
			return err
		}
		if err := notEmpty(command.Flags()); err != nil {
			return err
		}
		if !h.narrow() {
			return fmt.Errorf("which sessions? Give names, or one of -l, --runtime, --state, --ping and --busy-longer-than")
		}
		if h.dryRun, err = oneOf("--dry-run", h.dryRun, []string{"none", "client", "server"}); err != nil {
			return err
		}
		if h.cluster, err = t.connect(command); err != nil {
			return err
		}
		h.in, h.out, h.err = command.InOrStdin(), command.OutOrStdout(), command.ErrOrStderr()
		return h.run(command.Context())
	}
	flags := command.Flags()
	h.bind(flags)
	flags.StringVar(&h.dryRun, "dry-run", "none", "say what would be done, and do nothing: client, or server to have the API server check it")
	flags.Lookup("dry-run").NoOptDefVal = "client"
	flags.BoolVarP(&h.yes, "yes", "y", false, "do not ask first")
	return command
}

// notEmpty refuses flags that were given without a value, as by a variable that is not set: what
// they were to leave out would be stopped too.
func notEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "selector", "runtime", "state", "ping", "busy-longer-than", "dry-run":
			if value := flag.Value.String(); value == "" || value == "0s" {
				err = fmt.Errorf("--%s is %q: give it a value, or leave it out", flag.Name, value)
			}
		}
	})
	return err
}

// run does it, and says of each session what was done and what was not.
func (h *manualAction) run(ctx context.Context) error {
	all, missing := h.find(ctx, &h.selection)
	if missing != nil && len(all) == 0 {
		return missing
	}
	var due []found
	for _, f := range all {
		if not := h.rule(f.AgentSession).Not; not != "" {
			h.printResult(f, fmt.Sprintf("not asked to %s: %s", h.verb, not))
			continue
		}
		due = append(due, f)
	}
	if len(due) == 0 {
		writeLines(h.err, fmt.Sprintf("No session to %s%s.", h.verb, podLocation(h.cluster, &h.selection)))
		return missing
	}
	if h.dryRun == "client" {
		for _, f := range due {
			h.printResult(f, fmt.Sprintf("would be %s (%s)", h.past, summaryOf(h.cluster, f)))
		}
		return missing
	}
	if ok, err := h.confirmed(ctx, due); err != nil || !ok {
		return errors.Join(err, missing)
	}
	errs := []error{missing}
	for _, f := range due {
		errs = append(errs, h.do(ctx, f))
	}
	return errors.Join(errs...)
}

// summaryOf is what a session is, in few words.
func summaryOf(c *cluster, f found) string {
	r := explain.RowOf(c.now(), f.AgentSession)
	return fmt.Sprintf("%s for %s, %s", r.State, r.Since, r.Why)
}

func (h *manualAction) printResult(f found, what string) {
	name := f.Name
	if h.all {
		name = f.Namespace + "/" + name
	}
	writeLines(h.out, "agentsession/"+name+" "+what)
}

// confirmed asks whether it is to be done.
func (h *manualAction) confirmed(ctx context.Context, due []found) (bool, error) {
	if h.yes || h.dryRun == "server" {
		return true, nil
	}
	if file, ok := h.in.(*os.File); ok && (terminal(file) == nil || terminal(h.err) == nil) {
		return false, fmt.Errorf("%s would be %s, and nobody can be asked here: give --yes, or see with --dry-run what would be done", count(len(due)), h.past)
	}
	for _, f := range due {
		writeLines(h.err, fmt.Sprintf("  %s/%s  %s", f.Namespace, f.Name, summaryOf(h.cluster, f)))
	}
	_, _ = fmt.Fprintf(h.err, "%s%s %s? %s [y/N] ", strings.ToUpper(h.verb[:1]), h.verb[1:], count(len(due)), h.warning) // as say
	answers := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(h.in).ReadString('\n') // one that cannot be read is none
		answers <- answer
	}()
	select {
	case <-ctx.Done():
		writeLines(h.err, "")
		return false, errors.New("nothing was done")
	case answer := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return true, nil
		}
	}
	writeLines(h.err, "Nothing was done.")
	return false, nil
}

// do writes onto the version of a session that was looked at. One that changed meanwhile
// is looked at anew, and left alone where it is none of those that are meant any more.
func (h *manualAction) do(ctx context.Context, f found) error {
	var to client.Client = h
	done := h.past
	if h.dryRun == "server" {
		to, done = client.NewDryRunClient(h), fmt.Sprintf("would be %s (server dry run)", h.past)
	}
	not, err := byhand.Write(ctx, to, f.AgentSession, func(session *v1alpha1.AgentSession) lifecycle.Hand {
		rule := h.rule(session)
		if session != f.AgentSession && (rule.Not != "" || !h.has(h.now(), session)) {
			rule.Not = fmt.Sprintf("it has changed meanwhile (%s)", summaryOf(h.cluster, found{AgentSession: session}))
		}
		return rule
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s agentsession/%s: %w", h.verb, f.Name, h.inWords(err))
	case not != "":
		done = fmt.Sprintf("not asked to %s: %s", h.verb, not)
	}
	h.printResult(f, done)
	return nil
}
