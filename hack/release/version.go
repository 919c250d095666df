package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// versionOf is the version that is given, else the tag of the commit, which must be fit
// for everybody then.
func versionOf(ctx context.Context, top string, given []string) (string, error) {
	switch {
	case len(given) > 1:
		return "", fmt.Errorf("one version is wanted, not %q", given)
	case len(given) == 1 && given[0] != "":
		return given[0], checkVersion(given[0])
	}
	tag, err := output(exec.CommandContext(ctx, "git", "-C", top, "describe", "--tags", "--exact-match", "--match=v[0-9]*"))
	if err != nil {
		return "", fmt.Errorf("this commit has no tag of a version; for a trial, say which: make release VERSION=v0.1.0 (%w)", err)
	}
	if err := checkVersion(tag); err != nil {
		return "", err
	}
	return tag, checkTagged(ctx, top, tag)
}

// checkVersion: it is in tags of images too, which know no plus.
func checkVersion(version string) error {
	if !semver.IsValid(version) || semver.Canonical(version) != version || len(version) > 64 {
		return fmt.Errorf("VERSION is %q: it must be a semantic version of three numbers with a v before it and no build metadata, 64 characters at most, as v0.1.0 or v0.2.0-rc.1", version)
	}
	return nil
}

// checkTagged: what is published as a tag is that commit, and go install takes it.
func checkTagged(ctx context.Context, top, tag string) error {
	changed, err := output(exec.CommandContext(ctx, "git", "-C", top, "status", "--porcelain"))
	if err != nil {
		return err
	}
	if changed != "" {
		return fmt.Errorf("%s is not what is here; commit, remove or stash first:\n%s", tag, changed)
	}
	raw, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		return err
	}
	mod, err := modfile.Parse("go.mod", raw, nil)
	if err != nil {
		return err
	}
	if len(mod.Replace) > 0 {
		return errors.New("go.mod has a replace, with which go install refuses the module: docs/releasing.md says what to tag first")
	}
	return nil
}
