package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// buildBinaries builds all programs for all platforms. The build ID stays: it depends on
// no directory either, and is what macOS has its UUID of, by which it knows a program.
func (r release) buildBinaries(ctx context.Context) error {
	built, err := os.MkdirTemp(r.dir, "built-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(built) //nolint:errcheck // in the directory of what is made
	flags := "-s -w -X " + module + "/internal/buildinfo.release=" + r.version
	for _, p := range r.platforms {
		args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=" + flags, "-o", built + "/"}
		for _, program := range programs {
			args = append(args, "./cmd/"+program.name)
		}
		command := exec.CommandContext(ctx, "go", args...)
		command.Dir = r.top
		command.Stderr = os.Stderr
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0",
			"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOFIPS140=off")
		if err := command.Run(); err != nil {
			return err
		}
		for _, program := range programs {
			name := r.path(r.binary(program.file, p))
			if err := errors.Join(os.Rename(filepath.Join(built, program.name), name), os.Chmod(name, 0o755)); err != nil {
				return err
			}
		}
	}
	return nil
}
