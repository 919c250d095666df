package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// agent is our subject: the twin of agent.py, with the same modes, the same
// orders in the payload, and the same use of the standard input and output.
type agent struct {
	app      *agentruntime.App
	released chan struct{}
	stdout   sync.Mutex

	mu           sync.Mutex
	tasks        map[string]agentruntime.TaskID
	customStatus atomic.Value // what the ping handler "variable" answers
}

// serveAgent is the subject's process.
func serveAgent(ctx context.Context, mode, port string) error {
	options, err := optionsOf(mode, port)
	if err != nil {
		return err
	}
	a := &agent{
		app:      agentruntime.New(options),
		released: make(chan struct{}),
		tasks:    map[string]agentruntime.TaskID{},
	}
	a.customStatus.Store(agentruntime.Healthy)
	if mode != "bare" && mode != "address" {
		a.app.Entrypoint(a.invoke)
	}
	go a.listenToRunner(os.Stdin)
	return a.app.Run(ctx)
}

func optionsOf(mode, port string) (agentruntime.Options, error) {
	switch mode {
	case "default", "async", "bare":
		return agentruntime.Options{Addr: "127.0.0.1:" + port}, nil
	case "debug":
		return agentruntime.Options{Addr: "127.0.0.1:" + port, Debug: true}, nil
	case "address": // the default one, whose port is that of the protocol
		for protocol, itsPort := range defaultPorts {
			if itsPort == port {
				return agentruntime.Options{Protocol: protocol}, nil
			}
		}
		return agentruntime.Options{}, fmt.Errorf("%s is the port of no protocol", port)
	}
	return agentruntime.Options{}, fmt.Errorf("unknown mode %q", mode)
}

func (a *agent) listenToRunner(stdin io.Reader) {
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if lines.Text() == "release" {
			close(a.released)
		}
	}
	os.Exit(0)
}

func (a *agent) giveSign() {
	a.stdout.Lock()
	defer a.stdout.Unlock()
	fmt.Println("sign")
}

func (a *agent) waitForRelease() {
	a.giveSign()
	<-a.released
}

type chunk struct {
	Chunk int `json:"chunk"`
}

// stream yields the first chunk, and the others when they are released.
func (a *agent) stream(chunks int, failure error) agentruntime.Stream {
	return func(yield func(any, error) bool) {
		if !yield(chunk{1}, nil) {
			return
		}
		if failure == nil {
			a.waitForRelease()
		}
		for number := 2; number <= chunks; number++ {
			if !yield(chunk{number}, nil) {
				return
			}
		}
		if failure != nil {
			yield(nil, failure)
		}
	}
}

func (a *agent) streamEndless() agentruntime.Stream {
	return func(yield func(any, error) bool) {
		defer a.giveSign()
		for yield(chunk{0}, nil) {
			runtime.Gosched()
		}
	}
}

// contextOf is what the handler is told of the request. Empty is null: what
// Python calls None.
func contextOf(ctx context.Context) any {
	headers := map[string]string{}
	for name := range agentruntime.Headers(ctx) {
		headers[name] = agentruntime.Headers(ctx).Get(name)
	}
	return map[string]any{
		"session":  orNull(agentruntime.SessionID(ctx)),
		"request":  orNull(agentruntime.RequestID(ctx)),
		"headers":  headers,
		"token":    orNull(agentruntime.WorkloadAccessToken(ctx)),
		"callback": orNull(agentruntime.OAuth2CallbackURL(ctx)),
	}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (a *agent) pingHandler(kind string) agentruntime.PingHandler {
	return func(context.Context) (agentruntime.Status, error) {
		switch kind {
		case "junk":
			return "bogus", nil
		case "error":
			return "", errors.New("no idea")
		case "panic":
			panic("no idea")
		case "block":
			<-a.released
		}
		return a.customStatus.Load().(agentruntime.Status), nil
	}
}

// runWrapper runs a task that fails and tells what was seen.
func (a *agent) runWrapper(ctx context.Context, text string) any {
	seen := map[string]any{}
	err := a.app.AsyncTask(ctx, "work", func(context.Context) error {
		seen["inside"] = a.app.GetCurrentPingStatus()
		return errors.New(text)
	})
	if err != nil {
		seen["error"] = err.Error()
	}
	seen["active_count"] = a.app.TaskInfo().ActiveCount
	return seen
}

// storm adds and completes tasks from many goroutines; tells how many
// completions were true.
func (a *agent) storm(count int) any {
	var completed atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for range count {
		all.Go(func() {
			<-start
			if a.app.CompleteAsyncTask(a.app.AddAsyncTask("storm", nil)) {
				completed.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	return map[string]any{"completed": completed.Load(), "active_count": a.app.TaskInfo().ActiveCount}
}

func talk(ctx context.Context, conn *websocket.Conn) error {
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		switch string(message) {
		case "raise":
			return errors.New("boom")
		case "close":
			return nil
		case "session":
			message = []byte(agentruntime.SessionID(ctx))
		}
		if err := conn.Write(ctx, websocket.MessageText, message); err != nil {
			return err
		}
	}
}

// defaultPorts are where an agent listens that says nothing of an address.
var defaultPorts = map[agentruntime.Protocol]string{
	agentruntime.HTTP: "8080", agentruntime.MCP: "8000", agentruntime.A2A: "9000",
}
