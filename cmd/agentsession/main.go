// Command agentsession is AgentSession in the hand: `agentsession local` is the platform
// on a laptop, and the other verbs list, watch, explain, stop and wake sessions of a cluster. As
// kubectl-agentsession on the PATH it is `kubectl agentsession`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // the second signal ends it at once
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// newCommand is the tree of commands.
func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "agentsession",
		Short:         "AWS Bedrock AgentCore's sessions, on Kubernetes and on a laptop",
		SilenceErrors: true, SilenceUsage: true,
	}
	name := root.Use
	if strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl-") {
		name = "kubectl agentsession" // as a plugin
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: name}
	}
	root.AddCommand(newLocal(), newList(), newWatch(), newExplain(), newStop(), newWake())
	for _, one := range root.Commands() {
		one.Example = strings.ReplaceAll(one.Example, "{}", name)
	}
	return root
}
