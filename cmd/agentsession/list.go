package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// resource is how -o name names a session.
const resource = "agentsession.runtime.agentsession.dev/"

func (t *connection) newList() *cobra.Command {
	var s selection
	var output string
	command := &cobra.Command{
		Use: "list [NAME...]", Aliases: []string{"ls"},
		Short: "List sessions, with what comes next for each and why",
		Example: examples(t, "list", "list -A -o wide", "list --state Active --ping HealthyBusy",
			"list --runtime echo --busy-longer-than 2h -o name"),
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) error {
			if err := s.read(names); err != nil {
				return err
			}
			output, err := oneOf("--output", output, outputs)
			if err != nil {
				return err
			}
			c, err := t.connect(command)
			if err != nil {
				return err
			}
			all, missing := c.find(command.Context(), &s)
			if missing != nil && all == nil {
				return missing
			}
			if len(all) == 0 && (output == "" || output == "wide" || output == "name") {
				writeLines(command.ErrOrStderr(), "No sessions found"+podLocation(c, &s)+".")
				return nil
			}
			if err := list(command.OutOrStdout(), output, c.now(), &s, all); err != nil {
				return err
			}
			return missing
		},
	}
	s.bind(command.Flags())
	command.Flags().StringVarP(&output, "output", "o", "", "`format`: wide, json, yaml or name")
	return command
}

var outputs = []string{"wide", "json", "yaml", "name"}

func podLocation(c *cluster, s *selection) string {
	if s.all {
		return ""
	}
	return fmt.Sprintf(" in %s namespace", c.namespace)
}

// list writes sessions in a format.
func list(out io.Writer, output string, now time.Time, s *selection, all []found) error {
	switch output {
	case "name":
		for _, f := range all {
			writeLines(out, resource+f.Name)
		}
		return nil
	case "json", "yaml":
		return raw(out, output, len(s.names) == 1, all)
	}
	writeLines(out, table(tableOf(now, s.all, output == "wide", all), paintFor(out))...)
	return nil
}

// raw writes sessions as the API server gave them, but for managedFields, which kubectl
// leaves out too. One that was asked for by its name is no list, as with kubectl.
func raw(out io.Writer, output string, one bool, all []found) error {
	items := make([]any, 0, len(all))
	for _, f := range all {
		f.raw.SetManagedFields(nil)
		items = append(items, f.raw.Object)
	}
	var what any = map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": ""}, "items": items}
	if one && len(items) == 1 {
		what = items[0]
	}
	return encode(out, output, what)
}

// encode writes what programs read.
func encode(out io.Writer, output string, what any) error {
	text, err := json.MarshalIndent(what, "", "    ")
	if err == nil && output == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("write the sessions: %w", err)
	}
	if text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	_, err = out.Write(text)
	return err //nolint:wrapcheck // of the user's own stream
}

// tableOf is sessions as a table, with its head.
func tableOf(now time.Time, namespaces, wide bool, all []found) [][]cell {
	head := []string{"NAME", "RUNTIME", "STATE", "PING", "SINCE", "NEXT", "WHY"}
	if namespaces {
		head = append([]string{"NAMESPACE"}, head...)
	}
	if wide {
		head = append(head, "ACTIVATION", "POD", "NODE", "AGE", "CPU-S", "CPU-S-ACTIVE", "CPU-S-IDLE", "GB-S", "SESSION-ID")
	}
	rows := [][]cell{plain(head...)}
	for _, f := range all {
		r := explain.RowOf(now, f.AgentSession)
		row := []cell{{r.Name, ""}, {r.Runtime, ""}, {r.State, colours[f.Status.State]}, {r.Ping, ""}, {r.Since, ""}, {r.Next, ""}, {r.Why, alarmColour(&r)}}
		if namespaces {
			row = append(plain(r.Namespace), row...)
		}
		if wide {
			row = append(row, plain(r.Activation, r.Pod, r.Node, r.Age, r.CPUSeconds, r.ActiveCPUSeconds, r.IdleCPUSeconds, r.GBSeconds, r.SessionID)...)
		}
		rows = append(rows, row)
	}
	return rows
}

var colours = map[v1alpha1.SessionState]string{
	v1alpha1.StateStarting: yellow, v1alpha1.StateActive: green, v1alpha1.StateStopping: yellow, v1alpha1.StateStopped: dim,
}

// alarmColour is the colour of what somebody should look at.
func alarmColour(r *explain.Row) string {
	if r.Alarming {
		return red
	}
	return ""
}

// examples are command lines as help shows them.
func examples(t *connection, lines ...string) (text string) {
	for i, line := range lines {
		if i > 0 {
			text += "\n"
		}
		text += "  " + t.name + " " + line
	}
	return text
}

// each calls a function for the named sessions, and goes on where one fails.
func (c *cluster) each(ctx context.Context, names []string, do func(context.Context, string) error) (errs []error) {
	for _, name := range names {
		if err := do(ctx, name); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
