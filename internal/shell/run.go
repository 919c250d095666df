package shell

import (
	"cmp"
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/remotecommand"
)

// script becomes a shell, whose terminal is the container runtime's.
//
//go:embed shell.sh
var script string

// guardScript ends a shell when its gateway has gone: a terminal does not tell it.
//
//go:embed guard.sh
var guardScript string

// guardPatience is how long a guard may take to hear that its shell has exited.
const guardPatience = 5 * time.Second

// Container is where a shell runs.
type Container struct {
	// Exec prepares a command. An error that is to end the shell for good is a Stop.
	Exec func(context.Context, *corev1.PodExecOptions) (remotecommand.Executor, error)
	// Watch has cut called, with a Stop, when the container's session ends, until done.
	Watch func(ctx context.Context, cut func(error)) (done func())
}

// Stop ends a shell for good: callers are told not to come back.
type Stop struct{ Err error }

func (s Stop) Error() string { return s.Err.Error() }

// Unwrap is why.
func (s Stop) Unwrap() error { return s.Err }

func stops(err error) bool {
	_, is := errors.AsType[Stop](err)
	return is
}

// start starts a shell. It runs on when ctx ends.
func (s *Shell) start(ctx context.Context, in Container) error {
	exec, err := in.Exec(ctx, &corev1.PodExecOptions{Command: []string{"/bin/sh", "-c", script}, Stdin: true, Stdout: true, TTY: true})
	if err != nil {
		s.finish(err)
		s.forget()
		close(s.over)
		return err
	}
	go s.run(context.WithoutCancel(ctx), in, exec)
	return nil
}

// run runs a shell until it exits, or is to end.
func (s *Shell) run(ctx context.Context, in Container, exec remotecommand.Executor) {
	defer in.Watch(ctx, s.finish)()
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	defer close(s.over)
	exited, guarded, stands := make(chan struct{}), make(chan struct{}), make(sign, 1)
	go func() {
		select {
		case <-exited:
		case <-s.done:
			awaitGuard(stands, guarded)
			kill()
		}
	}()
	go func() {
		defer close(guarded)
		s.guard(ctx, in, exited, stands)
	}()
	err := exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: &typed{shell: s}, Stdout: s, Tty: true, TerminalSizeQueue: s})
	if ctx.Err() == nil { // by itself
		close(exited)
		s.finish(cmp.Or(err, errExited))
		awaitGuard(nil, guarded)
	}
	if stops(s.reason()) && s.abandoned() { // the compute is gone, and so is who would come back
		s.forget()
	}
}

// awaitGuard waits until a guard stands, or is gone, for a while: a shell that is cut before
// its guard stands would be left behind.
func awaitGuard(stands sign, gone <-chan struct{}) {
	select {
	case <-stands:
	case <-gone:
	case <-time.After(guardPatience):
	}
}

// sign is written to by a guard that stands.
type sign chan struct{}

func (s sign) Write(b []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(b), nil
}

// guard ends the shell when the gateway cannot any more.
func (s *Shell) guard(ctx context.Context, in Container, exited <-chan struct{}, stands sign) {
	<-s.begun
	pid := s.process()
	if pid == 0 {
		return
	}
	exec, err := in.Exec(ctx, &corev1.PodExecOptions{Command: []string{"/bin/sh", "-c", guardScript, "sh", strconv.Itoa(pid)}, Stdin: true, Stdout: true})
	if err == nil {
		err = exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: &guardInput{exited, ctx.Done(), false}, Stdout: stands})
	}
	if err != nil && ctx.Err() == nil {
		s.finish(fmt.Errorf("guard the shell: %w", err))
	}
}

// guardInput is what a guard hears: a line when its shell has exited, the end if it is to
// be ended.
type guardInput struct {
	exited, killed <-chan struct{}
	sent           bool
}

func (f *guardInput) Read(b []byte) (int, error) {
	select {
	case <-f.exited:
		if f.sent {
			return 0, io.EOF
		}
		f.sent = true
		return copy(b, "\n"), nil
	case <-f.killed:
		return 0, io.EOF
	}
}
