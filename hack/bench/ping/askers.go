//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// The askers, as -ask names them.
const (
	limit    = "limit"
	engine   = "engine"
	baseline = "baseline"
	hostile  = "hostile" // the engine, with hostile agents among the targets
	mcp      = "mcp"     // the engine, and all agents are MCP servers
)

// rotation is the order of a turn, which begins with another one each time.
var rotation = []string{limit, engine, mcp, hostile, baseline}

// askers are the roles that are measured.
var askers = map[string]func(ctx context.Context, n int, to ports, t *tally) error{
	limit:    askAsLimit,
	engine:   askAsEngine,
	baseline: askAsBaseline,
	hostile: func(ctx context.Context, n int, to ports, t *tally) error {
		return runEngine(ctx, n, lifecycle.Question{}, to.hostileAgent, t)
	},
	mcp: func(ctx context.Context, n int, to ports, t *tally) error {
		server := func(i int) netip.AddrPort { return agentAddr(i, to.MCP) }
		return runEngine(ctx, n, lifecycle.Question{MCP: contract.MCPPath}, server, t)
	},
}

func askAsEngine(ctx context.Context, n int, to ports, t *tally) error {
	return runEngine(ctx, n, lifecycle.Question{}, to.agent, t)
}

// runEngine is the operator's heartbeat as it is.
func runEngine(ctx context.Context, n int, q lifecycle.Question, addr func(int) netip.AddrPort, t *tally) error {
	engine := prober.New(prober.Options{
		MaxInFlight: n,
		Observe: func(e prober.Event) {
			if e.Missed > 0 {
				t.miss(e.Missed)
				return
			}
			t.asked(e.Late, e.Failure == "")
		},
	})
	for i := range n {
		engine.Track(prober.Target{
			Key:              types.NamespacedName{Namespace: "bench", Name: strconv.Itoa(i)},
			UID:              types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)),
			Addr:             addr(i),
			Question:         q,
			FailureThreshold: 15,
		}, lifecycle.Pulse{})
	}
	return engine.Start(ctx, func(types.NamespacedName) {})
}

// askAsBaseline is the straightforward prober.
func askAsBaseline(ctx context.Context, n int, to ports, t *tally) error {
	client := &http.Client{
		Timeout:   period * 3 / 4,
		Transport: &http.Transport{MaxIdleConnsPerHost: 1, MaxIdleConns: n},
	}
	var all sync.WaitGroup
	start := time.Now()
	for i := range n {
		url := "http://" + to.agent(i).String() + "/ping"
		all.Go(func() {
			first := start.Add(period * time.Duration(i) / time.Duration(n))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(first)):
			}
			ticker := time.NewTicker(period)
			defer ticker.Stop()
			for due := first; ; due = due.Add(period) {
				late := time.Since(due)
				t.asked(late, get(ctx, client, url) == nil)
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
			}
		})
	}
	all.Wait()
	return nil
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && (response.StatusCode != http.StatusOK || len(body) == 0) {
		err = errors.New(response.Status)
	}
	return err
}

// limitSlot is how often the limit writes.
const limitSlot = 5 * time.Millisecond

// askAsLimit does what cannot be left out, and nothing else.
func askAsLimit(ctx context.Context, n int, to ports, t *tally) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	defer func() { _ = unix.Close(epoll) }()
	conns := make([]int, n)
	for i := range conns {
		if conns[i], err = connect(epoll, to.agent(i)); err != nil {
			return fmt.Errorf("connect to agent %d: %w", i, err)
		}
	}
	request := []byte("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
	events := make([]unix.EpollEvent, 1024)
	buffer := make([]byte, 4096)
	slots := int(period / limitSlot)
	start := time.Now()
	for slot := 0; ctx.Err() == nil; slot++ {
		due := start.Add(time.Duration(slot) * limitSlot)
		if err := readUntil(epoll, due, events, buffer); err != nil {
			return err
		}
		for i := slot % slots; i < n; i += slots {
			_, err := unix.Write(conns[i], request)
			t.asked(time.Since(due), err == nil)
		}
	}
	return nil
}

// connect makes a connection that does not block and is watched for answers.
func connect(epoll int, to netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return 0, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return 0, err
	}
	return fd, unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// readUntil takes answers off the connections until a moment.
func readUntil(epoll int, due time.Time, events []unix.EpollEvent, buffer []byte) error {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		ready, err := unix.EpollWait(epoll, events, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, event := range events[:max(ready, 0)] {
			if _, err := unix.Read(int(event.Fd), buffer); err != nil {
				return fmt.Errorf("read an answer: %w", err)
			}
		}
	}
	return nil
}
