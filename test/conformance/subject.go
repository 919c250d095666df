package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// language makes subjects of one kind.
type language struct {
	name string
	// command is the program and the arguments that come before mode and port.
	command []string
	// handlersAtOnce is how many blocking handlers it runs at the same time; 0
	// is no limit.
	handlersAtOnce int
	// choosePort is for the mode "address".
	choosePort func(ctx context.Context) (string, error)
}

// subject is an agent in a process of its own.
type subject struct {
	language
	port    string
	url     string
	started time.Time // before the process was
	ready   time.Time // after it listened

	stdin  io.WriteCloser
	signs  chan struct{} // gets one for each line of the standard output
	log    *logLines
	exited chan struct{} // closed when the process has
}

// startSubject returns when the agent accepts connections. The process ends
// with the context, or when this one ends, whose end of the pipe it reads.
func startSubject(ctx context.Context, l language, mode string) (*subject, error) {
	const tries = 3 // somebody may take the port before the agent does
	var failed error
	for range tries {
		s, err := trySubject(ctx, l, mode)
		if err == nil {
			return s, nil
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("start the agent in %s, mode %s: %w", l.name, mode, failed)
}

func trySubject(ctx context.Context, l language, mode string) (*subject, error) {
	choose := freePort
	if mode == "address" {
		choose = l.choosePort
	}
	port, err := choose(ctx)
	if err != nil {
		return nil, err
	}
	s := &subject{
		language: l, port: port, url: "http://127.0.0.1:" + port, started: time.Now(),
		signs: make(chan struct{}, 1000), log: &logLines{}, exited: make(chan struct{}),
	}
	process := command(ctx, l.command[0], slices.Concat(l.command[1:], []string{mode, port})...)
	process.Env = environment()
	process.Stderr = s.log
	process.WaitDelay = time.Second
	if s.stdin, err = process.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			s.signs <- struct{}{}
		}
		_ = process.Wait() // killed, most often
	}()
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// environment is the least that processes need: a variable of this machine must
// not decide about a row.
func environment() []string {
	env := []string{"PYTHONUNBUFFERED=1", "PYTHONNOUSERSITE=1"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// waitReady connects, and does not ping: the first ping is an observation.
func (s *subject) waitReady(ctx context.Context) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := dialLoopback(ctx, s.port)
		if err == nil {
			s.ready = time.Now()
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-s.exited:
			return fmt.Errorf("it ended before it listened on port %s; its last words:\n%s", s.port, s.log.tail())
		case <-ctx.Done():
			return fmt.Errorf("it does not listen on port %s: %w; its last words:\n%s", s.port, context.Cause(ctx), s.log.tail())
		}
	}
}

// stop ends the process and waits until it has.
func (s *subject) stop() {
	_ = s.stdin.Close() // which the agent takes for its end
	<-s.exited
}

// release lets go of all that blocks, now and from now on.
func (s *subject) release() error {
	_, err := io.WriteString(s.stdin, "release\n")
	return err
}

// awaitSigns waits for n more signs of the agent: that an invocation blocks, or
// that a stream has ended.
func (s *subject) awaitSigns(ctx context.Context, n int) error {
	for i := range n {
		select {
		case <-s.signs:
		case <-s.exited:
			return errors.New("the agent has ended")
		case <-ctx.Done():
			return fmt.Errorf("the agent gave %d signs, not %d: %w", i, n, context.Cause(ctx))
		}
	}
	return nil
}

// lastPort is the last one that freePort gave away, or tried.
var lastPort atomic.Int32

func init() { lastPort.Store(20000 + int32(os.Getpid()%10000)) }

// freePort never gives the same port twice, nor one of those that systems give
// to outgoing connections: between the choice of a port and its use by the
// agent, nobody else comes by it.
func freePort(ctx context.Context) (string, error) {
	for range 100 {
		if port := strconv.Itoa(int(lastPort.Add(1))); isFree(ctx, port) {
			return port, nil
		}
	}
	return "", errors.New("no free port among a hundred")
}

// freeDefaultPort is one of those where agents listen by themselves.
func freeDefaultPort(ctx context.Context) (string, error) {
	for _, port := range defaultPorts {
		if isFree(ctx, port) {
			return port, nil
		}
	}
	return "", fmt.Errorf("none of an agent's default ports is free here, end what listens on one of them: %v", defaultPorts)
}

// isFree connects, and does not listen to find out: a process that is being
// forked at that moment has the listener for a while too.
func isFree(ctx context.Context, port string) bool {
	conn, err := dialLoopback(ctx, port)
	if err != nil {
		return true
	}
	_ = conn.Close()
	return false
}

func dialLoopback(ctx context.Context, port string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
}

// logLines collects the log of a subject.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logLines) tail() string {
	lines := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// logLine is a line of either library: the keys are the same.
type logLine struct {
	Level     string `json:"level"`
	Message   string `json:"message"`
	RequestID string `json:"requestId"`
	SessionID string `json:"sessionId"`
}

// upTo waits for a line with that message and returns all lines until then.
func (l *logLines) upTo(ctx context.Context, message string) ([]logLine, error) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		var lines []logLine
		for text := range strings.Lines(l.String()) {
			var line logLine
			if json.Unmarshal([]byte(text), &line) != nil {
				continue // not of the library, or not whole yet
			}
			if lines = append(lines, line); line.Message == message {
				return lines, nil
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("no line %q in the log: %w; its end:\n%s", message, context.Cause(ctx), l.tail())
		}
	}
}
