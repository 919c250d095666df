package main

import (
	"github.com/spf13/cobra"

	"github.com/agentsession/agentsession/internal/buildinfo"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell which version this is",
		Args:  cobra.NoArgs,
		Run: func(command *cobra.Command, _ []string) {
			writeLines(command.OutOrStdout(), program+" version "+buildinfo.Version())
		},
	}
}
