package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func (t *connection) newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain NAME|SESSION-ID... | runtime/NAME...",
		Short: "Tell in sentences what a session is, why, and what comes next",
		Long: "Tell in sentences what state a session is in and by which rule, what happened before, what comes next and when, " +
			"what would change that, what AgentCore would do differently, and what to type next. Of a session that is gone its Events tell; " +
			"of a runtime whether its sessions start, and why the last ones ended.",
		Example:           examples(t, "explain research", "explain runtime/echo -n team-a"),
		Args:              t.requireNames,
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) error {
			c, err := t.connect(command)
			if err != nil {
				return err
			}
			e := explainer{cluster: c, out: command.OutOrStdout(), err: command.ErrOrStderr()}
			return errors.Join(c.each(command.Context(), names, e.explain)...)
		},
	}
}

// requireNames wants a name at least.
func (t *connection) requireNames(_ *cobra.Command, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("a name is missing: `%s list` shows those that are there", t.tools().Self)
	}
	return nil
}

type explainer struct {
	*cluster
	out, err io.Writer
	wrote    bool
}

// next begins a text about another object.
func (e *explainer) next() {
	if e.wrote {
		writeLines(e.out, "")
	}
	e.wrote = true
}

func (e *explainer) explain(ctx context.Context, given string) error {
	kind, name, ok := strings.Cut(given, "/")
	if !ok {
		return e.session(ctx, given)
	}
	switch kind := strings.ToLower(kind); {
	case slices.Contains(sessionKinds, kind):
		return e.session(ctx, name)
	case slices.Contains(runtimeKinds, kind):
		return e.runtime(ctx, name)
	}
	return fmt.Errorf("%q is neither of what is explained: session/NAME (or NAME alone) and runtime/NAME", given)
}

func (e *explainer) print(s explain.Story) {
	e.next()
	p := paintFor(e.out)
	_, _ = io.WriteString(e.out, s.Text(func(heading string) string { return p(bold, heading) })) // as say
}

func (e *explainer) session(ctx context.Context, name string) error {
	f, err := e.get(ctx, name)
	if apierrors.IsNotFound(err) {
		return e.explainDeleted(ctx, name, err)
	} else if err != nil {
		return e.inWords(err)
	}
	k := explain.Known{Session: f.AgentSession, Tools: e.tools, Events: e.events(ctx, "AgentSession", f.Name, f.UID)}
	if pod := f.Status.Pod; pod != nil {
		k.Pod = &corev1.Pod{}
		if err := e.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: pod.Name}, k.Pod); err != nil {
			k.Pod = nil // it is gone, or not for this user to see
		}
	}
	e.print(explain.Session(e.now(), k))
	return nil
}

// explainDeleted tells what the Events of a session tell that is not there. If there are none, it
// may never have been.
func (e *explainer) explainDeleted(ctx context.Context, name string, err error) error {
	if words := e.inWords(err); words != err { //nolint:errorlint // the same error, not one like it
		return words
	}
	events := e.events(ctx, "AgentSession", name, "")
	if len(events) == 0 && e.isRuntime(ctx, name) {
		return e.missing(ctx, name, err)
	}
	e.print(explain.Gone(e.now(), e.namespace, name, events, e.tools))
	if len(events) == 0 {
		return fmt.Errorf("there is no AgentSession %q in namespace %s", lifecycle.Printable(name), e.namespace)
	}
	return nil
}

func (e *explainer) runtime(ctx context.Context, name string) error {
	a := explain.Agent{Runtime: &v1alpha1.AgentRuntime{}, Tools: e.tools}
	if err := e.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: name}, a.Runtime); err != nil {
		if words := e.inWords(err); words != err || !apierrors.IsNotFound(err) { //nolint:errorlint // as above
			return words
		}
		return fmt.Errorf("there is no AgentRuntime %q in namespace %s: `%s get agr -A` shows those that are there", lifecycle.Printable(name), e.namespace, e.tools.Kubectl)
	}
	var sessions v1alpha1.AgentSessionList
	if err := e.List(ctx, &sessions, client.InNamespace(e.namespace), client.MatchingFields{"spec.runtimeRef.name": name}); err != nil {
		return e.inWords(err)
	}
	a.Sessions, a.Events = sessions.Items, e.events(ctx, "AgentRuntime", name, a.Runtime.UID)
	e.print(explain.Runtime(e.now(), a))
	return nil
}
