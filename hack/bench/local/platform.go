//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/local"
)

// settles is how long nothing happens before memory is read.
const settles = 5 * time.Second

// build makes a binary without symbols, and tells its size in MB.
func build(ctx context.Context, to, what string) (float64, error) {
	command := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", to, what)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("build %s: %w", what, err)
	}
	info, err := os.Stat(to)
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", to, err)
	}
	return round(float64(info.Size()) / 1e6), nil
}

// platform is a running `agentsession local`.
type platform struct {
	command             *exec.Cmd
	ready               local.Event
	readyMS, readyCPUMS float64
}

func start(ctx context.Context, tool, agents string) (*platform, error) {
	p := &platform{command: exec.CommandContext(ctx, tool, "local", "-o", "json", "--headless", "--", agents, "echo", "--addr", "127.0.0.1:{port}")}
	p.command.Stderr = os.Stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the platform: %w", err)
	}
	began := time.Now()
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start the platform: %w", err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadBytes('\n')
	p.readyMS = float64(time.Since(began).Milliseconds())
	if err == nil {
		err = json.Unmarshal(line, &p.ready)
	}
	if err == nil {
		p.readyCPUMS, err = p.cpuMS()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the platform: %w", err), p.end())
	}
	go io.Copy(io.Discard, lines) //nolint:errcheck // nothing more is to be known
	return p, nil
}

func (p *platform) end() error {
	if err := p.command.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("end the platform: %w", err)
	}
	_ = p.command.Wait() // it was told to
	return nil
}

func (p *platform) cpuMS() (float64, error) {
	process, err := procfs.NewProc(p.command.Process.Pid)
	if err != nil {
		return 0, err
	}
	stat, err := process.Stat()
	return round(stat.CPUTime() * 1000), err
}

// rss is resident memory in bytes, and what of it are pages of the program's file.
type rss struct{ all, file uint64 }

func (p *platform) rss() (rss, error) {
	process, err := procfs.NewProc(p.command.Process.Pid)
	if err != nil {
		return rss{}, fmt.Errorf("read the platform's memory: %w", err)
	}
	status, err := process.NewStatus()
	if err != nil {
		return rss{}, fmt.Errorf("read the platform's memory: %w", err)
	}
	return rss{all: status.VmRSS, file: status.RssFile}, nil
}

// call calls the n-th session.
func (p *platform) call(ctx context.Context, n int) error {
	to := p.ready.Endpoint + "/runtimes/" + url.PathEscape(p.ready.Runtimes[0].AgentRuntimeArn) + "/invocations"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader("{}"))
	if err != nil {
		return fmt.Errorf("make a call: %w", err)
	}
	r.Header.Set(contract.HeaderSessionID, fmt.Sprintf("bench-local-%033d", n))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("call session %d: %w", n, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("call session %d: answered %s", n, answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func mib(bytes uint64) float64 { return round(float64(bytes) / (1 << 20)) }

func round(x float64) float64 { return math.Round(x*10) / 10 }
