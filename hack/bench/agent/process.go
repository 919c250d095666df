//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// build makes the binary as the Dockerfile does, and tells its size in MB.
func build(ctx context.Context, to string) (float64, error) {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, "./hack/bench/agent/hello")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("build the agent: %w", err)
	}
	info, err := os.Stat(to)
	if err != nil {
		return 0, err
	}
	return round(float64(info.Size()) / 1e6), nil
}

// agent is a running hello.
type agent struct {
	url     string
	process *os.Process
	client  *http.Client
	stop    func()
}

// start runs the agent and waits until it answers. Of what follows the binary's
// name, what has a "=" is environment, and the rest are arguments.
func start(ctx context.Context, hello string, more ...string) (*agent, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, hello, "--addr="+addr)
	command.Env, command.Stderr = os.Environ(), os.Stderr
	for _, word := range more {
		if strings.Contains(word, "=") {
			command.Env = append(command.Env, word)
		} else {
			command.Args = append(command.Args, word)
		}
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if this program is killed
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	a := &agent{
		url:     "http://" + addr,
		process: command.Process,
		client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: blocked + connections}},
		stop: func() {
			_ = command.Process.Kill()
			_ = command.Wait()
		},
	}
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if _, err = a.ping(starting, 1); err == nil {
			return a, nil
		}
		if starting.Err() != nil {
			a.stop()
			return nil, fmt.Errorf("the agent did not begin to answer: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ping asks n times, one after the other, over one connection.
func (a *agent) ping(ctx context.Context, n int) ([]time.Duration, error) {
	took := make([]time.Duration, 0, n)
	for range n {
		asked := time.Now()
		if _, err := a.ask(ctx, http.MethodGet, "/ping", ""); err != nil {
			return nil, err
		}
		took = append(took, time.Since(asked))
	}
	return took, nil
}

func (a *agent) ask(ctx context.Context, method, path, body string) (answer string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s answered %s", method, path, response.Status)
	}
	return string(read), err
}

// invokeAndWait begins n invocations that do not end by themselves, and returns
// when the agent works on all of them. stop ends them.
func (a *agent) invokeAndWait(ctx context.Context, n int, payload string) (stop func(), err error) {
	begun, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	stop = func() {
		cancel()
		running.Wait()
	}
	for range n {
		running.Go(func() { _, _ = a.ask(begun, http.MethodPost, "/invocations", payload) }) // until stop
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err = a.worksOn(ctx, n); err == nil {
			return stop, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			stop()
			return nil, err
		}
	}
}

// worksOn fails unless the agent works on n invocations.
func (a *agent) worksOn(ctx context.Context, n int) error {
	body, err := a.ask(ctx, http.MethodPost, "/invocations", "{}")
	if err == nil && !strings.Contains(body, fmt.Sprintf(`"inside":%d}`, n)) {
		err = fmt.Errorf("the agent does not work on %d invocations: %s", n, body)
	}
	return err
}

// invocationRate is how many invocations in a second the agent answers.
func invocationRate(ctx context.Context, hello string, args []string) (float64, error) {
	a, err := start(ctx, hello, args...)
	if err != nil {
		return 0, err
	}
	defer a.stop()
	var left atomic.Int64
	left.Store(invocations)
	failed := make([]error, connections)
	began := time.Now()
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() {
			for left.Add(-1) >= 0 && failed[i] == nil {
				_, failed[i] = a.ask(ctx, http.MethodPost, "/invocations", `{"name":"world"}`)
			}
		})
	}
	all.Wait()
	return round(invocations / time.Since(began).Seconds()), errors.Join(failed...)
}

// rss is the memory that the process has, in MiB.
func (a *agent) rss() (float64, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(a.process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var kib float64
		if n, _ := fmt.Sscanf(scanner.Text(), "VmRSS: %f kB", &kib); n == 1 {
			return round(kib / 1024), nil
		}
	}
	return 0, errors.New("no VmRSS in /proc/PID/status")
}
