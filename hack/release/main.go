// Command release makes all that a release publishes, in bin/release/VERSION: binaries,
// archives of the tool, images for both architectures, install files, the chart, krew's
// manifest, a bill of materials for each binary, notes, and the sums of all. It needs
// nothing but Go modules, and the same commit gives the same bytes in any directory.
//
//	go run . [VERSION]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	module     = "github.com/agentsession/agentsession"
	repository = "https://" + module
	program    = "agentsession"
	licence    = "Apache-2.0"
)

// programs are those of a release: in cmd/, and what their files are called.
var programs = []struct{ name, file string }{
	{program, program},
	{"operator", program + "-operator"},
	{"gateway", program + "-gateway"},
}

type platform struct{ os, arch string }

var platforms = []platform{{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}}

// epoch is the time of all files in archives and images.
var epoch = time.Unix(0, 0).UTC()

// release is what is made.
type release struct {
	top       string // the repository
	dir       string // where the files go
	version   string
	platforms []platform
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	top, err := output(exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel"))
	if err != nil {
		return err
	}
	version, err := versionOf(ctx, top, args)
	if err != nil {
		return err
	}
	made := filepath.Join(top, "bin", "release", version)
	if err := os.MkdirAll(filepath.Dir(made), 0o755); err != nil {
		return err
	}
	making, err := os.MkdirTemp(filepath.Dir(made), "making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(making) //nolint:errcheck // in bin/
	r := release{top: top, dir: making, version: version, platforms: platforms}
	if err := r.make(ctx); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(made), os.Chmod(making, 0o755), os.Rename(making, made)); err != nil {
		return fmt.Errorf("put the release into its directory: %w", err)
	}
	_, err = fmt.Fprintln(os.Stdout, made)
	return err
}

// make makes all files, the sums last.
func (r release) make(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"build the binaries", r.buildBinaries},
		{"write the bills of materials", r.writeSBOMs},
		{"pack the archives", r.packArchives},
		{"make the images", r.makeImages},
		{"write the install files", r.writeInstallFiles},
		{"package the chart", r.packageChart},
		{"write krew's manifest", r.writeKrew},
		{"write the notes", r.writeNotes},
		{"write the sums", r.writeSums},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// path is where a file of the release goes.
func (r release) path(name string) string { return filepath.Join(r.dir, name) }

// binary is the name of a program's file for a platform.
func (r release) binary(file string, p platform) string {
	return strings.Join([]string{file, r.version, p.os, p.arch}, "_")
}

// output runs a command and returns what it prints, without the line's end.
func output(command *exec.Cmd) (string, error) {
	out, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(command.Args, " "), err)
	}
	return strings.TrimRight(string(out), "\n"), nil
}
