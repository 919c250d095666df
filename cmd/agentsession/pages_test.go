package main

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/test/docs"
)

// TestPages: the commands that the documentation shows are this tool's, with its flags and
// as many arguments as it takes; and each command of the tool is shown.
func TestPages(t *testing.T) {
	g, seen := NewWithT(t), map[string]bool{}
	pages, err := docs.Pages("../..")
	g.Expect(err).NotTo(HaveOccurred())
	commands, err := docs.Commands(t.Context(), pages)
	g.Expect(err).NotTo(HaveOccurred())
	for _, c := range commands {
		args, ok := c.Tool()
		if !ok || len(args) == 0 { // its name
			continue
		}
		command, rest, err := newConnection("x").command().Find(args)
		g.Expect(err).NotTo(HaveOccurred(), c.String())
		g.Expect(command.HasParent()).To(BeTrue(), c.String())
		command.InitDefaultHelpFlag()
		g.Expect(command.ParseFlags(rest)).To(Succeed(), c.String())
		if !c.Inline {
			g.Expect(command.ValidateArgs(command.Flags().Args())).To(Succeed(), c.String())
		}
		seen[command.Name()] = true
	}
	for _, command := range newConnection("x").command().Commands() {
		g.Expect(seen).To(HaveKey(command.Name()))
	}
}
