package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// act is a verb that changes sessions.
type act struct {
	*cluster
	by          selected
	dryRun, yes bool
	busy        time.Duration

	// verb is what it does, and done what it says then.
	verb, done string
	// not says why a session needs or takes none of it; empty: it is done.
	not func(*v1alpha1.AgentSession) string
	// change is what it writes.
	change func(*v1alpha1.AgentSession)
}

func newStop() *cobra.Command {
	return newAct(&act{
		verb: "stop", done: "told to stop",
		not: func(s *v1alpha1.AgentSession) string {
			switch {
			case s.DeletionTimestamp != nil:
				return "it is being deleted"
			case s.Spec.DesiredState == v1alpha1.DesiredStopped:
				return "it was told to stop before"
			case lifecycle.PhaseOf(s) == lifecycle.PhaseStopped:
				return "it is stopped"
			}
			return ""
		},
		change: func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped },
	}, &cobra.Command{
		Use: "stop NAME... | --selector ... | --runtime ... | --state ...", Short: "Stop sessions: their pods go, and they can be woken",
		Example: "  {} stop research\n" +
			"  {} stop --runtime echo --busy-longer-than 2h --dry-run\n" +
			"  {} stop -l team=a --yes",
	})
}

func newWake() *cobra.Command {
	return newAct(&act{
		verb: "wake", done: "woken",
		not: func(s *v1alpha1.AgentSession) string {
			switch phase := lifecycle.PhaseOf(s); {
			case s.DeletionTimestamp != nil:
				return "it is being deleted"
			case phase == lifecycle.PhaseStarting, phase == lifecycle.PhaseReady:
				return "it runs"
			}
			return ""
		},
		change: func(s *v1alpha1.AgentSession) {
			s.Spec.DesiredState, s.Spec.Activation = v1alpha1.DesiredRunning, max(s.Spec.Activation, lifecycle.Wake(s))
		},
	}, &cobra.Command{
		Use: "wake NAME... | --selector ... | --runtime ... | --state ...", Short: "Wake sessions that are stopped, with a new pod and new memory",
		Example: "  {} wake research\n" +
			"  {} wake --runtime echo --state Stopped --dry-run",
	})
}

func newAct(a *act, command *cobra.Command) *cobra.Command {
	a.cluster = newCluster(command.Flags())
	a.flags(command.Flags())
	command.RunE = func(command *cobra.Command, names []string) error {
		if err := a.open(); err != nil {
			return err
		}
		sessions, err := a.chosen(command.Context(), names)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			if sure, err := a.sure(command, sessions); err != nil || !sure {
				return err
			}
		}
		return a.do(command, sessions)
	}
	return command
}

func (a *act) flags(flags *pflag.FlagSet) {
	a.by.bind(flags)
	a.by.bindState(flags)
	flags.DurationVar(&a.busy, "busy-longer-than", 0, "only sessions whose agent has answered HealthyBusy for longer, such as 2h")
	flags.BoolVar(&a.dryRun, "dry-run", false, "change nothing: say what would be done")
	flags.BoolVarP(&a.yes, "yes", "y", false, "ask nothing")
}

// chosen are the sessions that are named, or selected by a flag; none by neither.
func (a *act) chosen(ctx context.Context, names []string) ([]v1alpha1.AgentSession, error) {
	some := a.by != selected{all: a.by.all} || a.busy != 0
	switch {
	case a.busy < 0:
		return nil, fmt.Errorf("--busy-longer-than is %s: it must not be negative", a.busy)
	case len(names) > 0 && (some || a.by.all):
		return nil, errors.New("sessions are chosen by their names or by flags, not by both")
	case len(names) == 0 && !some:
		return nil, fmt.Errorf("which sessions? %s NAME..., or choose them with --selector, --runtime, --state or --busy-longer-than", a.verb)
	}
	if len(names) == 0 {
		list, err := a.list(ctx, a.by)
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(list.Items, func(one v1alpha1.AgentSession) bool { return a.busy != 0 && !busyFor(&one.Status, a.busy) }), nil
	}
	return a.named(ctx, names)
}

// busyFor tells whether an agent has answered HealthyBusy for longer.
func busyFor(status *v1alpha1.AgentSessionStatus, d time.Duration) bool {
	return status.PingStatus == string(contract.HealthyBusy) && status.PingStatusSince != nil && time.Since(status.PingStatusSince.Time) > d
}

func (a *act) named(ctx context.Context, names []string) ([]v1alpha1.AgentSession, error) {
	sessions := make([]v1alpha1.AgentSession, len(names))
	for i, name := range names {
		if err := a.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: name}, &sessions[i]); err != nil {
			return nil, advised(fmt.Errorf("read the session: %w", err))
		}
	}
	return sessions, nil
}

// sure asks before sessions are changed that nobody has named.
func (a *act) sure(command *cobra.Command, sessions []v1alpha1.AgentSession) (bool, error) {
	if len(sessions) == 0 {
		_, err := fmt.Fprintln(command.ErrOrStderr(), "No sessions found.")
		return false, err
	}
	if a.yes || a.dryRun {
		return true, nil
	}
	for i := range sessions {
		_, _ = fmt.Fprintf(command.ErrOrStderr(), "%s/%s, %s\n", sessions[i].Namespace, sessions[i].Name, sessions[i].Status.State)
	}
	_, _ = fmt.Fprintf(command.ErrOrStderr(), "%s these %d sessions? (yes/no) ", a.verb, len(sessions))
	answer, err := bufio.NewReader(command.InOrStdin()).ReadString('\n')
	switch answer = strings.TrimSpace(answer); {
	case answer == "yes" || answer == "y":
		return true, nil
	case err != nil && answer == "":
		return false, errors.New("nobody answered: nothing was done; --yes asks nothing")
	}
	return false, errors.New("nothing was done")
}

// do does it to each, and says what was done and what was not.
func (a *act) do(command *cobra.Command, sessions []v1alpha1.AgentSession) error {
	failed := 0
	for i := range sessions {
		s := &sessions[i]
		name := s.Namespace + "/" + s.Name
		said := "is " + a.done
		if a.dryRun {
			said = "would be " + a.done
		}
		if why := a.not(s); why != "" {
			said = "is left: " + why
		} else if !a.dryRun {
			base := s.DeepCopy()
			a.change(s)
			if err := a.Patch(command.Context(), s, client.MergeFrom(base)); err != nil {
				failed++
				_, _ = fmt.Fprintf(command.ErrOrStderr(), "%s is left: %v\n", name, advised(err))
				continue
			}
		}
		if _, err := fmt.Fprintln(command.OutOrStdout(), name, said); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d sessions could not be changed", failed, len(sessions))
	}
	return nil
}
