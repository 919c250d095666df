// Command agentsession is AgentSession in the hand: `agentsession local` is the platform
// on a laptop, and the other verbs list, explain, watch, stop and wake sessions, there and
// on clusters. On PATH as kubectl-agentsession it is `kubectl agentsession`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/agentsession/agentsession/internal/buildinfo"
)

const (
	program = "agentsession"
	// plugin is its name as a plugin of kubectl, and completer that by which kubectl asks a
	// plugin what completes a word.
	plugin, completer = "kubectl-" + program, "kubectl_complete-" + program
)

// ends are the signals that tell a program to end.
var ends = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

func main() {
	klog.SetLogger(logr.Discard()) // client-go's: what is wrong is an error of the command
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // the second signal ends it at once
	command := newCommand()
	if calledAs(completer) {
		command.SetArgs(append([]string{cobra.ShellCompRequestCmd}, os.Args[1:]...))
	}
	err := command.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", printable(err.Error()))
		os.Exit(statusOf(err))
	}
}

func calledAs(name string) bool {
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == name
}

// newCommand is the tree of commands.
func newCommand() *cobra.Command {
	t := newConnection(program)
	if calledAs(plugin) || calledAs(completer) {
		t.name = "kubectl " + program
	}
	return t.command()
}

func (t *connection) command() *cobra.Command {
	root := &cobra.Command{
		Use:         program,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: t.name},
		Short:       "AWS Bedrock AgentCore's sessions, on Kubernetes and on a laptop",
		Long: "AWS Bedrock AgentCore's sessions, on Kubernetes and on a laptop.\n\n" +
			"Which cluster is meant, and as whom, is said by kubectl's flags, all of which work; help shows the usual ones.",
		SilenceErrors: true, SilenceUsage: true,
	}
	t.bind(root.PersistentFlags())
	root.Version = buildinfo.Version()
	root.AddCommand(withoutCluster(newVersion()), withoutCluster(newLocal()), t.newList(), t.newDescribe(), t.newExplain(), t.newWatch(), t.newLogs(), t.newLint(), t.newInvoke(), t.newTasks(), t.newTop(), t.newStop(), t.newWake(), t.newCheck(), t.newReport(), t.newDashboard())
	return root
}

// withoutCluster is a command that talks to no cluster: its help leaves out how one is reached.
func withoutCluster(command *cobra.Command) *cobra.Command {
	command.SetHelpFunc(func(c *cobra.Command, args []string) {
		c.InheritedFlags().VisitAll(hide)
		c.Root().HelpFunc()(c, args)
	})
	return command
}
