// Package buildinfo says what the running program was built of.
package buildinfo

import (
	"cmp"
	"regexp"
	"runtime/debug"
)

// release is the version of a release: hack/release has the linker set it.
var release string

// Version is that of the release, else the tag that the program was built of, else the commit.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return cmp.Or(release, versionOf(info))
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
