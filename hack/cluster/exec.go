package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

func onPath(tool string) bool {
	_, err := exec.LookPath(tool)
	return err == nil
}

// hasDocker tells whether a Docker engine answers; the client alone is no help.
func hasDocker(ctx context.Context) bool {
	if !onPath("docker") {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "info", "--format", "{{.ServerVersion}}").Run() == nil
}

// output runs a command and returns what it printed. An error carries its last
// words.
func output(ctx context.Context, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, tail(stderr.String()+stdout.String(), 5))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// try runs a command of which it does not matter whether it succeeds: what it
// takes away may be gone already.
func try(ctx context.Context, name string, args ...string) {
	_ = exec.CommandContext(ctx, name, args...).Run()
}

// slowly runs a command that takes long, and says so while it does.
func slowly(ctx context.Context, what string, command *exec.Cmd) error {
	progress("%s ...", what)
	var words bytes.Buffer
	command.Stdout, command.Stderr = &words, &words
	if err := command.Start(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	started, ticker := time.Now(), time.NewTicker(15*time.Second)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil {
				return fmt.Errorf("%s: %w", what, context.Cause(ctx))
			}
			if err != nil {
				return fmt.Errorf("%s: %w:\n%s", what, err, tail(words.String(), 20))
			}
			return nil
		case <-ticker.C:
			progress("%s, for %d s", what, int(time.Since(started).Seconds()))
		}
	}
}

// shown runs a command whose own words are for the user.
func shown(ctx context.Context, what string, command *exec.Cmd) error {
	progress("%s ...", what)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", what, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// tail is the end of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// packages are Debian's, by a file that each brings.
var packages = map[string]string{
	"containerd":                  "/usr/bin/containerd",
	"runc":                        "/usr/sbin/runc",
	"containernetworking-plugins": "/usr/lib/cni/bridge",
	"iptables":                    "/usr/sbin/iptables",
	"conntrack":                   "/usr/sbin/conntrack",
	"buildah":                     "/usr/bin/buildah",
	"debootstrap":                 "/usr/sbin/debootstrap",
}

// needPackages installs what is missing of the named packages.
func needPackages(ctx context.Context, names ...string) error {
	var missing []string
	for _, name := range names {
		if _, err := os.Stat(packages[name]); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing, " ")
	if os.Geteuid() != 0 || !onPath("apt-get") {
		return fmt.Errorf("%s missing on this machine: install Docker and kind, or run as root on Debian, where they are installed by apt-get", list)
	}
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-qy", "--no-install-recommends"}, missing...)} {
		install := exec.CommandContext(ctx, "apt-get", args...)
		install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := slowly(ctx, "apt-get "+strings.Join(args, " "), install); err != nil {
			return err
		}
	}
	return nil
}
