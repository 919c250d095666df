package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// askTimeout is how long an agent may take to tell its tasks, through the API server.
const askTimeout = 10 * time.Second

// tasker shows the tasks of sessions' agents.
type tasker struct {
	*cluster
	out, err io.Writer
}

func (t *connection) newTasks() *cobra.Command {
	return &cobra.Command{
		Use:   "tasks SESSION...",
		Short: "Show what an agent works on in the background",
		Long: "Show what an agent works on in the background: the names of its tasks, and for how long each has run. The agent is asked itself, " +
			"at its pod and with its token, so you need the rights to read pods and to forward ports. Agents of agent-runtime tell with Options.Introspection; those of AWS's SDKs have nothing that could be asked.",
		Example:           examples(t, "tasks research", "tasks -n team-a research"),
		Args:              t.requireNames,
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) error {
			c, err := t.connect(command)
			if err != nil {
				return err
			}
			k := &tasker{c, command.OutOrStdout(), command.ErrOrStderr()}
			return errors.Join(c.each(command.Context(), names, k.show)...)
		},
	}
}

func (k *tasker) show(ctx context.Context, given string) error {
	ctx, cancel := context.WithCancel(ctx) // which ends what is forwarded
	defer cancel()
	name, err := sessionName(given)
	if err != nil {
		return err
	}
	f, err := k.get(ctx, name)
	if apierrors.IsNotFound(err) {
		return k.missing(ctx, name, err)
	} else if err != nil {
		return k.inWords(err)
	}
	tasks, err := k.ask(ctx, f)
	if err != nil {
		return err
	}
	switch unnamed := tasks.ActiveCount - len(tasks.RunningJobs); {
	case tasks.ActiveCount < 0:
		return fmt.Errorf("the agent of AgentSession %q says that it has %d tasks", f.Name, tasks.ActiveCount)
	case unnamed > 0:
		writeLines(k.err, fmt.Sprintf("AgentSession %q has %d tasks that its agent does not name.", f.Name, unnamed))
	case len(tasks.RunningJobs) == 0:
		writeLines(k.err, fmt.Sprintf("No tasks run in AgentSession %q.", f.Name))
	}
	if len(tasks.RunningJobs) == 0 {
		return nil
	}
	writeLines(k.out, table(taskRows(f.Name, tasks.RunningJobs), paintFor(k.out))...)
	return nil
}

func (k *tasker) ask(ctx context.Context, f found) (contract.Tasks, error) {
	pod, err := k.answering(ctx, f)
	if err != nil {
		return contract.Tasks{}, err
	}
	token := lifecycle.AgentToken(pod)
	if token == "" {
		return contract.Tasks{}, fmt.Errorf("pod %s has no token by which its agent would tell its tasks", pod.Name)
	}
	at, err := k.reach(ctx, pod, lifecycle.AgentPort(f.AgentSession))
	if err != nil {
		return contract.Tasks{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	tasks, err := prober.FetchTasks(ctx, prober.Target{Addr: at}, token)
	if _, answered := errors.AsType[prober.NotTold](err); answered {
		return contract.Tasks{}, fmt.Errorf("the agent of AgentSession %q does not tell its tasks (GET %s: %w)%s. An agent of agent-runtime tells them with Options.Introspection. "+
			"One of AWS's SDKs has no such path: look into its log; that for Python, if it runs with debug=True, answers to a call with %s, which any other agent takes for work",
			f.Name, contract.TasksPath, err, k.pinged(f), `{"_agent_core_app_action":"job_status"}`)
	} else if err != nil {
		return contract.Tasks{}, fmt.Errorf("ask the agent of AgentSession %q for its tasks (GET %s): %w", f.Name, contract.TasksPath, err)
	}
	return tasks, nil
}

// pinged is what is known of an agent's work from its pings.
func (k *tasker) pinged(f found) string {
	if f.Status.PingStatus == "" || f.Status.PingStatusSince == nil {
		return ""
	}
	return fmt.Sprintf(": of its work it is known that it has said %s for %s", lifecycle.Printable(f.Status.PingStatus), duration.HumanDuration(k.now().Sub(f.Status.PingStatusSince.Time)))
}

// taskRows are tasks as a table. One that has ended, by the agent's journal, was forgotten.
func taskRows(session string, all []contract.RunningTask) [][]cell {
	rows := [][]cell{plain("SESSION", "TASK", "AGE", "ENDED")}
	for _, task := range all {
		ended := cell{text: "-"}
		if task.Ended != nil {
			ended = cell{duration.HumanDuration(*task.Ended) + " ago", red}
		}
		rows = append(rows, append(plain(session, lifecycle.Line(task.Name, maxMessage), duration.HumanDuration(task.Duration)), ended))
	}
	return rows
}
