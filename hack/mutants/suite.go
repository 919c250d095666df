package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// suite is what the tests of a package are run with, in rounds: what is slow runs only with
// a mutant that has lived till then. One that makes them hang is noticed.
type suite struct {
	pkg    string
	rounds [][]string // arguments of the test binary
}

var (
	errBuild  = errors.New("the tests do not compile")
	errFailed = errors.New("a test failed")
)

// build makes the test binary of a package as an overlay has it.
func (s suite) build(ctx context.Context, overlay, binary string) error {
	return do(ctx, exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s", "-overlay="+overlay, "-o="+binary, "./"+s.pkg), errBuild)
}

// run runs round after round until a test fails, with one of the mutants that the binary
// can switch on.
func (s suite) run(ctx context.Context, binary string, number int) error {
	for _, args := range s.rounds {
		round := exec.CommandContext(ctx, binary, append([]string{"-test.failfast"}, args...)...)
		round.Dir, round.Env = s.pkg, append(os.Environ(), switchedOn+"="+strconv.Itoa(number))
		if err := do(ctx, round, errFailed); err != nil {
			return err
		}
	}
	return nil
}

// do runs a command, whose failure is the error that is given. It is interrupted where
// this program is, and then takes down the API server that it has started.
func do(ctx context.Context, command *exec.Cmd, failure error) error {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // or what it has started would end first
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGINT) }
	command.WaitDelay = time.Minute
	out, err := command.CombinedOutput()
	if _, is := errors.AsType[*exec.ExitError](err); is && ctx.Err() == nil {
		return fmt.Errorf("%w:\n%s", failure, out)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", command.Path, err, out)
	}
	return nil
}
