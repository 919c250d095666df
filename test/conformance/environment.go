package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// requirements are all pinned, with the hashes of what may be installed.
//
//go:embed requirements.txt
var requirements []byte

// sdkPython is the Python of a virtual environment that has the SDK. The first
// time it makes one, in the user's cache; it is found again by what it was made
// of: the requirements and the interpreter.
func sdkPython(ctx context.Context, progress io.Writer) (string, error) {
	python, version, err := systemPython(ctx)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "agentsession", "conformance")
	made := filepath.Join(parent, fmt.Sprintf("%x", sha256.Sum256(append(version, requirements...)))[:16])
	if _, err := os.Stat(made); errors.Is(err, fs.ErrNotExist) {
		say(progress, "making the Python environment %s, once", made)
		if err := makeEnvironment(ctx, python, parent, made, progress); err != nil {
			return "", err
		}
	}
	return filepath.Join(made, "bin", "python"), nil
}

// systemPython is the interpreter named by PYTHON, or else python3, and what it
// says of itself.
func systemPython(ctx context.Context) (path string, version []byte, err error) {
	name := os.Getenv("PYTHON")
	if name == "" {
		name = "python3"
	}
	path, err = exec.LookPath(name)
	if err != nil {
		return "", nil, fmt.Errorf("%s is missing: it runs AWS's SDK, with which ours is compared "+
			"(apt-get install python3 python3-venv, or set PYTHON)", name)
	}
	// ensurepip is what Debian leaves out of python3 without python3-venv.
	version, err = run(command(ctx, path, "-c",
		"import sys, ensurepip; print(sys.executable, sys.version); sys.exit(sys.version_info < (3, 11))"))
	if err != nil {
		return "", nil, fmt.Errorf("%s is no Python 3.11 or later that can make virtual environments "+
			"(apt-get install python3 python3-venv, or set PYTHON): %w", path, err)
	}
	return path, version, nil
}

// makeEnvironment works in a directory of its own and links to it when all is
// there: an environment cannot be moved. Whoever is second at that uses what the
// first has made.
func makeEnvironment(ctx context.Context, python, parent, made string, progress io.Writer) (err error) {
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "making-")
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if _, err := run(command(ctx, python, "-m", "venv", dir)); err != nil {
		return fmt.Errorf("make a virtual environment: %w", err)
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o600); err != nil {
		return err
	}
	say(progress, "installing bedrock-agentcore and what it needs from PyPI")
	pip := command(ctx, filepath.Join(dir, "bin", "python"), "-m", "pip", "install",
		"--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", list)
	if _, err := run(pip); err != nil {
		return fmt.Errorf("install the SDK: %w", err)
	}
	switch err := os.Symlink(dir, made); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	keep = true
	return nil
}

// command is one that this program starts: a Python of the developer's choice,
// or itself.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...) //nolint:gosec // it runs on the developer's machine, for him
}

// run returns what the command prints, and what it complains of as an error.
func run(c *exec.Cmd) ([]byte, error) {
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return out, err
}
