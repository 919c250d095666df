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

// process is the operator, or what asks the agents of a node.
type process struct {
	name    string
	command *exec.Cmd
}

// operate starts the operator's own binary, and once more for each node.
func (b *bench) operate(ctx context.Context) error {
	if b.nodes == 0 {
		return b.start(ctx, "the operator", "--probe=central")
	}
	if err := b.start(ctx, "the operator", "--probe=none"); err != nil {
		return err
	}
	for i := range b.nodes {
		if err := b.start(ctx, "the process on "+nodeName(i), "--probe=node", "--node-name="+nodeName(i)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) start(ctx context.Context, name string, args ...string) error {
	args = append(args, "--allow-loopback-agents", "--metrics-bind-address=0", "--health-probe-bind-address=0", "--zap-log-level=error")
	command := exec.CommandContext(ctx, b.binary, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+b.Kubeconfig)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if this one is killed
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	b.processes = append(b.processes, process{name, command})
	return nil
}

// stop stops all that operate has started.
func (b *bench) stop() (err error) {
	for _, p := range b.processes {
		_ = p.command.Process.Signal(syscall.SIGTERM) // if it has ended, Wait says how
	}
	for _, p := range b.processes {
		if waitErr := p.command.Wait(); waitErr != nil {
			err = errors.Join(err, fmt.Errorf("%s ended badly: %w", p.name, waitErr))
		}
	}
	return err
}

// use is the CPU time that was used so far, and the memory that is held, in MiB.
type use struct {
	cpu time.Duration
	rss float64
}

// used tells what the operator uses, and the processes on nodes: the CPU time of
// all, and the memory of one.
func (b *bench) used() (operator, nodes use, err error) {
	for i, p := range b.processes {
		u, err := p.used()
		switch {
		case err != nil:
			return operator, nodes, fmt.Errorf("read what %s uses: %w", p.name, err)
		case i == 0:
			operator = u
		default:
			nodes.cpu += u.cpu
			nodes.rss += u.rss / float64(b.nodes)
		}
	}
	return operator, nodes, nil
}

func (p process) used() (use, error) {
	stat, err1 := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	statm, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	_, rest, _ := strings.Cut(string(stat), ") ") // its name may hold anything
	times, sizes := strings.Fields(rest), strings.Fields(string(statm))
	if err := errors.Join(err1, err2); err != nil {
		return use{}, err
	}
	if len(times) < 13 || len(sizes) < 2 {
		return use{}, errors.New("too few fields")
	}
	user, err1 := strconv.Atoi(times[11])
	system, err2 := strconv.Atoi(times[12])
	pages, err3 := strconv.Atoi(sizes[1])
	return use{
		cpu: time.Duration(user+system) * 10 * time.Millisecond, // Linux tells hundredths
		rss: float64(pages) * float64(os.Getpagesize()) / (1 << 20),
	}, errors.Join(err1, err2, err3)
}

func round(x float64) float64 { return float64(int64(x*1e3+0.5)) / 1e3 }
