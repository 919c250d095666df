package main

import (
	"cmp"
	"regexp"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell which version this is",
		Args:  cobra.NoArgs,
		Run: func(command *cobra.Command, _ []string) {
			say(command.OutOrStdout(), program+" version "+builtOf())
		},
	}
}

// builtOf is what this program was built of.
func builtOf() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionOf(info)
}

// pseudo is a version that names a commit, and no tag.
var pseudo = regexp.MustCompile(`[-.]\d{14}-[0-9a-f]{12}(\+dirty)?$`)

// versionOf is the tag that a program was built of, else the commit.
func versionOf(info *debug.BuildInfo) string {
	var commit, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	tag := info.Main.Version
	if commit != "" && (tag == "" || tag == "(devel)" || pseudo.MatchString(tag)) {
		return commit + dirty
	}
	return cmp.Or(tag, "unknown")
}
