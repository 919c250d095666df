//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func build(ctx context.Context, binary string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/operator")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator (run this at the top of the repository): %w\n%s", err, out)
	}
	return nil
}

// process is the operator's.
type process struct {
	command *exec.Cmd
}

// startOperator starts the operator's own binary.
func startOperator(ctx context.Context, binary, kubeconfig string) (*process, error) {
	command := exec.CommandContext(ctx, binary, "--allow-loopback-agents", "--metrics-bind-address=0", "--health-probe-bind-address=0", "--zap-log-level=error")
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if this one is killed
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the operator: %w", err)
	}
	return &process{command}, nil
}

func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the operator: %w", err)
	}
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("the operator ended badly: %w", err)
	}
	return nil
}

// cpu is the time that it has used so far.
func (p *process) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the operator's CPU time: %w", err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ") // its name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("read the operator's CPU time: too few fields")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2) // Linux tells hundredths
}

// rss is the memory that it holds, in MiB.
func (p *process) rss() (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the operator's memory: %w", err)
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0, errors.New("read the operator's memory: too few fields")
	}
	pages, err := strconv.Atoi(fields[1])
	return round(float64(pages) * float64(os.Getpagesize()) / (1 << 20)), err
}

func round(x float64) float64 { return float64(int64(x*1e3+0.5)) / 1e3 }
