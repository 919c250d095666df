package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processes runs the cluster's programs in the background and remembers each by
// its id and its start time: an id may be given to somebody else one day.
type processes struct {
	pids, logs string // directories
}

// start runs a program of its own session, so that it outlives this one.
func (p processes) start(name string, command *exec.Cmd) error {
	for _, dir := range []string{p.pids, p.logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	log, err := os.OpenFile(p.log(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the program has it now
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	pid := command.Process.Pid
	started, err := startTime(pid)
	if err != nil {
		return fmt.Errorf("start %s: it ended at once:\n%s", name, p.lastWords(name))
	}
	go command.Wait() //nolint:errcheck // so that it is no zombie if it dies while we wait for it
	if err := os.WriteFile(p.file(name), fmt.Appendf(nil, "%d %s", pid, started), 0o600); err != nil {
		return fmt.Errorf("remember %s: %w", name, err)
	}
	return nil
}

func (p processes) file(name string) string { return filepath.Join(p.pids, name) }
func (p processes) log(name string) string  { return filepath.Join(p.logs, name+".log") }

// pid returns the process id; 0 if the process is no more.
func (p processes) pid(name string) int {
	raw, err := os.ReadFile(p.file(name))
	if err != nil {
		return 0
	}
	id, started, _ := strings.Cut(string(raw), " ")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return 0
	}
	if now, err := startTime(pid); err != nil || now != started {
		return 0
	}
	return pid
}

// stop ends a process, and kills it if it does not end.
func (p processes) stop(name string) error {
	for _, attempt := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGTERM, 20 * time.Second}, {syscall.SIGKILL, 10 * time.Second}} {
		for deadline := time.Now().Add(attempt.patience); ; time.Sleep(50 * time.Millisecond) {
			pid := p.pid(name)
			if pid == 0 {
				_ = os.Remove(p.file(name)) // it may not be there
				return nil
			}
			_ = syscall.Kill(pid, attempt.signal) // gone: the next look tells
			if time.Now().After(deadline) {
				break
			}
		}
	}
	return fmt.Errorf("stop %s: process %d does not end", name, p.pid(name))
}

func (p processes) lastWords(name string) string {
	raw, err := os.ReadFile(p.log(name))
	if err != nil {
		return err.Error()
	}
	return tail(string(raw), 15)
}

// await waits until ready says so, and gives up when the process dies or after
// three minutes.
func (p processes) await(ctx context.Context, name string, ready func() error) error {
	deadline := time.Now().Add(3 * time.Minute)
	for {
		err := ready()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("wait for %s: %w", name, context.Cause(ctx))
		case p.pid(name) == 0:
			return fmt.Errorf("%s has ended; its last words:\n%s", name, p.lastWords(name))
		case time.Now().After(deadline):
			return fmt.Errorf("wait for %s: %w; its last words:\n%s", name, err, p.lastWords(name))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// startTime is when a process began, in ticks since the machine did.
func startTime(pid int) (string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name in parentheses may hold anything; the fields behind it count.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", errors.New("the process has ended")
	}
	return fields[19], nil
}
