package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// maxMessage is how many bytes of a message stand in a table.
const maxMessage = 800

func (t *connection) newDescribe() *cobra.Command {
	return &cobra.Command{
		Use:               "describe NAME...",
		Short:             "Show all that is known of a session",
		Example:           examples(t, "describe research"),
		Args:              t.requireNames,
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) error {
			c, err := t.connect(command)
			if err != nil {
				return err
			}
			e := explainer{cluster: c, out: command.OutOrStdout(), err: command.ErrOrStderr()}
			return errors.Join(c.each(command.Context(), names, e.describe)...)
		},
	}
}

func (e *explainer) describe(ctx context.Context, given string) error {
	name, err := sessionName(given)
	if err != nil {
		return err
	}
	f, err := e.get(ctx, name)
	if apierrors.IsNotFound(err) {
		return e.missing(ctx, name, err)
	} else if err != nil {
		return e.inWords(err)
	}
	e.next()
	describe(e.out, e.now(), f.AgentSession, e.events(ctx, "AgentSession", f.Name, f.UID))
	return nil
}

// describe writes what is known of a session, in kubectl's way.
func describe(out io.Writer, now time.Time, session *v1alpha1.AgentSession, events []corev1.Event) {
	r, s, zone := explain.RowOf(now, session), &session.Status, now.Location()
	var rows [][]cell
	add := func(key, value string) {
		if value != "" && value != "-" && value != "<none>" {
			rows = append(rows, plain(key+":", value))
		}
	}
	add("Name", session.Name)
	add("Namespace", session.Namespace)
	add("Session id", r.SessionID)
	add("Runtime", r.Runtime+version(session))
	add("Made", moment(zone, &session.CreationTimestamp))
	add("Labels", labelsOf(session))
	add("Desired state", fmt.Sprintf("%s, activation %d", session.Spec.DesiredState, max(session.Spec.Activation, 1)))
	add("State", fmt.Sprintf("%s for %s, activation %s", r.State, r.Since, r.Activation))
	add("Why", r.Why)
	add("Next", r.Next)
	add("Ping", r.Ping+at(" since ", zone, s.PingStatusSince))
	add("Healthy at", moment(zone, s.HealthyAt))
	add("Idle since", moment(zone, s.IdleSince))
	if l := s.LifecycleConfiguration; l != nil {
		add("Lifecycle", fmt.Sprintf("idle %d s, max %d s%s", l.IdleRuntimeSessionTimeout, l.MaxLifetime, scaled(s.TimeScale)))
	}
	add("Pod", r.Pod+on(r.Node))
	if t := s.Traffic; t != nil {
		add("Last call ended", micro(zone, t.LastInvocationAt))
		add("In use until", micro(zone, t.InUseUntil))
	}
	if l := s.LastTermination; l != nil {
		add("Last stop", fmt.Sprintf("%s%s: %s", l.Reason, at(" at ", zone, l.At), lifecycle.Line(l.Message, maxMessage)))
	}
	p := paintFor(out)
	writeLines(out, table(rows, p)...)
	section(out, p, "Conditions", "TYPE STATUS REASON SINCE MESSAGE", conditions(now, s.Conditions))
	section(out, p, "History", "ACTIVATION REASON FROM UNTIL ACTIVE IDLE MESSAGE", history(zone, s.History))
	section(out, p, "Events", "TIME TYPE REASON MESSAGE", eventRows(zone, events))
}

func section(out io.Writer, p paint, name, head string, rows [][]cell) {
	if len(rows) == 0 {
		writeLines(out, "", p(bold, name+":")+" none")
		return
	}
	writeLines(out, "", p(bold, name+":"))
	for _, line := range table(append([][]cell{plain(strings.Fields(head)...)}, rows...), p) {
		writeLines(out, "  "+line)
	}
}

func conditions(now time.Time, all []metav1.Condition) (rows [][]cell) {
	for _, c := range all {
		rows = append(rows, plain(c.Type, string(c.Status), c.Reason, moment(now.Location(), &c.LastTransitionTime), lifecycle.Line(c.Message, maxMessage)))
	}
	return rows
}

func history(zone *time.Location, all []v1alpha1.PastActivation) (rows [][]cell) {
	for _, past := range all {
		rows = append(rows, plain(fmt.Sprint(past.Activation), string(past.Reason), moment(zone, past.From), moment(zone, &past.Until),
			fmt.Sprintf("%ds", past.ActiveSeconds), fmt.Sprintf("%ds", past.IdleSeconds), lifecycle.Line(past.Message, maxMessage)))
	}
	return rows
}

func eventRows(zone *time.Location, all []corev1.Event) (rows [][]cell) {
	for i := range all {
		e := &all[i]
		rows = append(rows, plain(moment(zone, new(metav1.NewTime(apiserver.EventTime(e)))), e.Type, lifecycle.Printable(e.Reason), lifecycle.Line(e.Message, maxMessage)))
	}
	return rows
}

// moment is a time as it is shown; empty if there is none.
func moment(zone *time.Location, t *metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.DateTime)
}

func micro(zone *time.Location, t *metav1.MicroTime) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.DateTime)
}

func at(word string, zone *time.Location, t *metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return word + moment(zone, t)
}

func on(node string) string {
	if node == "-" {
		return ""
	}
	return " on " + node
}

func scaled(scale int32) string {
	if scale < 2 {
		return ""
	}
	return fmt.Sprintf(", each divided by %d", scale)
}

func version(session *v1alpha1.AgentSession) string {
	if session.Spec.RuntimeRef == nil || session.Status.Runtime == nil {
		return ""
	}
	return fmt.Sprintf(", version %d", session.Status.Runtime.AgentRuntimeVersion)
}

func labelsOf(session *v1alpha1.AgentSession) string { return labels.FormatLabels(session.Labels) }
