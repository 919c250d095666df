package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

func newList() *cobra.Command {
	var (
		by     selected
		format string
	)
	command := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List sessions: their state, why, and what comes next",
		Example: "  {} list\n" +
			"  {} list -A --state Active\n" +
			"  {} list --runtime echo -o wide",
		Args: cobra.NoArgs,
	}
	at := newCluster(command.Flags())
	by.bind(command.Flags())
	by.bindState(command.Flags())
	command.Flags().StringVarP(&format, "output", "o", "", "wide, json, yaml or name")
	command.RunE = func(command *cobra.Command, _ []string) error {
		switch format {
		case "", "wide", "json", "yaml", "name":
		default:
			return fmt.Errorf("--output is %q: it must be wide, json, yaml or name", format)
		}
		if err := at.open(); err != nil {
			return err
		}
		list, err := at.list(command.Context(), by)
		if err != nil {
			return err
		}
		out := command.OutOrStdout()
		if len(list.Items) == 0 && (format == "" || format == "wide") {
			_, err = fmt.Fprintln(command.ErrOrStderr(), "No sessions found.")
			return err
		}
		return printList(out, list, format, by.all, time.Now())
	}
	return command
}

// printList prints sessions as kubectl does.
func printList(out io.Writer, list *v1alpha1.AgentSessionList, format string, all bool, now time.Time) error {
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSessionList"))
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSession"))
	}
	var text []byte
	var err error
	switch format {
	case "json":
		text, err = json.MarshalIndent(list, "", "    ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(list)
	case "name":
		for i := range list.Items {
			text = fmt.Appendf(text, "agentsession.%s/%s\n", v1alpha1.GroupVersion.Group, list.Items[i].Name)
		}
	default:
		return printTable(out, list.Items, all, format == "wide", now)
	}
	if err != nil {
		return fmt.Errorf("print the sessions: %w", err)
	}
	_, err = out.Write(text)
	return err
}

func printTable(out io.Writer, sessions []v1alpha1.AgentSession, all, wide bool, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.TrimRight(strings.Join(cells, "\t"), "\t ")) } // Flush has the error
	columns := []string{"NAME", "RUNTIME", "STATE", "PING", "SINCE", "NEXT", "WHY"}
	if wide {
		columns = append(columns, "ACTIVATION", "POD", "NODE", "AGE")
	}
	if all {
		columns = append([]string{"NAMESPACE"}, columns...)
	}
	row(columns...)
	for i := range sessions {
		s := &sessions[i]
		runtime, since := "-", "-"
		if s.Spec.RuntimeRef != nil {
			runtime = s.Spec.RuntimeRef.Name
		}
		if at := explain.Since(&s.Status); at != nil {
			since = duration.HumanDuration(now.Sub(at.Time))
		}
		cells := []string{s.Name, runtime, cmp.Or(string(s.Status.State), "-"), cmp.Or(s.Status.PingStatus, "-"), since, cmp.Or(explain.Next(&s.Status, now), "-"), cmp.Or(explain.Why(&s.Status), "-")}
		if wide {
			pod := v1alpha1.PodStatus{}
			if s.Status.Pod != nil {
				pod = *s.Status.Pod
			}
			cells = append(cells, strconv.Itoa(int(s.Status.Activation)), cmp.Or(pod.Name, "-"), cmp.Or(pod.Node, "-"), duration.HumanDuration(now.Sub(s.CreationTimestamp.Time)))
		}
		if all {
			cells = append([]string{s.Namespace}, cells...)
		}
		row(cells...)
	}
	return table.Flush()
}
