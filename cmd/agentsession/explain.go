package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

func newExplain() *cobra.Command {
	command := &cobra.Command{
		Use:   "explain NAME | runtime/NAME",
		Short: "Say what a session or a runtime is, why, and what comes next",
		Long: "Say in sentences what a session is, why, what happened before, what comes next and when, what would change that, and what AgentCore would do. " +
			"Of a session that is gone it tells what its events say.",
		Example: "  {} explain research\n" +
			"  {} explain runtime/echo -n team",
		Args: cobra.ExactArgs(1),
	}
	at := newCluster(command.Flags())
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := at.open(); err != nil {
			return err
		}
		kind, name, found := strings.Cut(args[0], "/")
		if !found {
			kind, name = "session", args[0]
		}
		var text string
		var err error
		switch kind {
		case "session", "agentsession", "ags":
			text, err = at.explainSession(command.Context(), name)
		case "runtime", "agentruntime", "agr":
			text, err = at.explainRuntime(command.Context(), name)
		default:
			return fmt.Errorf("%q is neither session/NAME nor runtime/NAME", args[0])
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(command.OutOrStdout(), text)
		return err
	}
	return command
}

func (c *cluster) explainSession(ctx context.Context, name string) (string, error) {
	events, err := c.events(ctx, "AgentSession", name)
	if err != nil {
		return "", err
	}
	var session v1alpha1.AgentSession
	switch err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, &session); {
	case apierrors.IsNotFound(err) && len(events) > 0:
		return explain.Gone(c.namespace, name, events, time.Now()), nil
	case err != nil:
		return "", advised(fmt.Errorf("read the session: %w", err))
	}
	return explain.Session(&session, events, time.Now()), nil
}

func (c *cluster) explainRuntime(ctx context.Context, name string) (string, error) {
	var agent v1alpha1.AgentRuntime
	if err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, &agent); err != nil {
		return "", advised(fmt.Errorf("read the runtime: %w", err))
	}
	sessions, err := c.list(ctx, selected{runtime: name})
	if err != nil {
		return "", err
	}
	events, err := c.events(ctx, "AgentRuntime", name)
	if err != nil {
		return "", err
	}
	return explain.Runtime(&agent, sessions.Items, events, time.Now()), nil
}

// events are those of an object of a kind. Who may not read them is told without.
func (c *cluster) events(ctx context.Context, kind, name string) ([]explain.Event, error) {
	var list corev1.EventList
	its := fields.Set{"involvedObject.kind": kind, "involvedObject.name": name}.AsSelector()
	switch err := c.List(ctx, &list, client.InNamespace(c.namespace), client.MatchingFieldsSelector{Selector: its}); {
	case apierrors.IsForbidden(err):
		return nil, nil
	case err != nil:
		return nil, advised(fmt.Errorf("list the events: %w", err))
	}
	events := make([]explain.Event, 0, len(list.Items))
	for i := range list.Items {
		e := &list.Items[i]
		at := cmp.Or(e.LastTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time)
		if e.Series != nil {
			at = e.Series.LastObservedTime.Time
		}
		events = append(events, explain.Event{At: at, Reason: e.Reason, Note: e.Message})
	}
	return events, nil
}
