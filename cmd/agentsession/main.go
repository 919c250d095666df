// Command agentsession is AgentSession in the hand: `agentsession local` is the platform
// on a laptop.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
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
	root.AddCommand(newLocal())
	return root
}
