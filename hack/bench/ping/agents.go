//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// portsEnv tells the askers where the agents listen; the kernel chooses.
	portsEnv = "BENCH_PING_PORTS"
	// What the agents are told on their standard input.
	commandBegin, commandEnd = "b", "e"
	// dripEvery is the time between two bytes of a hostile answer.
	dripEvery = 250 * time.Millisecond
)

// ports are those of the agents that answer, of MCP servers, of the agents that drip,
// and of those behind a black hole.
type ports struct {
	Healthy   uint16 `json:"healthy"`
	MCP       uint16 `json:"mcp"`
	Dripping  uint16 `json:"dripping"`
	BlackHole uint16 `json:"black_hole"`
}

// agent is the address of a healthy agent: all of 127.0.0.0/8 is this machine.
func (p ports) agent(i int) netip.AddrPort { return agentAddr(i, p.Healthy) }

// hostileAgent is the address of an agent of the hostile turns.
func (p ports) hostileAgent(i int) netip.AddrPort {
	switch i % 10 {
	case 0, 3, 6:
		return agentAddr(i, p.BlackHole)
	case 9:
		return agentAddr(i, p.Dripping)
	}
	return p.agent(i)
}

// healthyOf is how many of n agents answer in the hostile turns.
func healthyOf(n int) int {
	healthy := n / 10 * 6
	for i := n / 10 * 10; i < n; i++ {
		if i%10%3 != 0 {
			healthy++
		}
	}
	return healthy
}

func agentAddr(i int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1 + byte(i>>16), byte(i >> 8), byte(i)}), port)
}

// agentOf is the reverse of agentAddr.
func agentOf(addr [4]byte) int { return int(addr[1]-1)<<16 | int(addr[2])<<8 | int(addr[3]) }

// agents are all of them: one thread with epoll, since they must leave the
// machine to those who ask.
type agents struct {
	epoll    int
	healthy  int // the listeners
	mcp      int
	dripping int
	conns    map[int]*connection
	drips    []*connection // in the order of their next byte
	answers  answers
	log      arrivalLog
	buffer   [4096]byte
	control  [128]byte
}

// connection is one that an asker made.
type connection struct {
	fd     int
	agent  int
	mcp    bool
	drips  bool
	sent   int       // bytes of its dripping answer
	next   time.Time // when it drips
	closed bool
}

// serveAgents answers for all agents until it is killed, or its parent is gone.
func serveAgents() error {
	a := &agents{conns: map[int]*connection{}, answers: newAnswers(time.Now())}
	var p ports
	var err error
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if a.healthy, p.Healthy, err = listen(unix.SOMAXCONN); err != nil {
		return err
	}
	if a.mcp, p.MCP, err = listen(unix.SOMAXCONN); err != nil {
		return err
	}
	if a.dripping, p.Dripping, err = listen(unix.SOMAXCONN); err != nil {
		return err
	}
	if p.BlackHole, err = blackHole(); err != nil {
		return fmt.Errorf("make the black hole: %w", err)
	}
	for _, fd := range []int{a.healthy, a.mcp, a.dripping, unix.Stdin} {
		if err := a.watch(fd); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(p); err != nil {
		return err
	}
	return a.serve()
}

// listen listens on all addresses. The kernel is asked to stamp what arrives,
// so that a moment is not blurred by how late this process reads it.
func listen(backlog int) (fd int, port uint16, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("socket: %w", err)
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Bind(fd, &unix.SockaddrInet4{}),
		unix.Listen(fd, backlog),
	); err != nil {
		return 0, 0, fmt.Errorf("listen: %w", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, err
	}
	return fd, uint16(bound.(*unix.SockaddrInet4).Port), nil //nolint:forcetypeassert // of the same family
}

func (a *agents) watch(fd int) error {
	event := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, event); err != nil {
		return fmt.Errorf("watch a descriptor: %w", err)
	}
	return nil
}

func (a *agents) serve() error {
	events := make([]unix.EpollEvent, 512)
	for {
		ready, err := unix.EpollWait(a.epoll, events, a.drip(time.Now()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, event := range events[:max(ready, 0)] {
			if ended, err := a.handle(int(event.Fd)); ended || err != nil {
				return err
			}
		}
	}
}

func (a *agents) handle(fd int) (ended bool, err error) {
	switch fd {
	case unix.Stdin:
		return a.obey()
	case a.healthy, a.mcp, a.dripping:
		return false, a.accept(fd)
	}
	return false, a.read(a.conns[fd])
}

// obey does what the parent says.
func (a *agents) obey() (ended bool, err error) {
	n, err := unix.Read(unix.Stdin, a.buffer[:1])
	switch {
	case err != nil || n == 0:
		return true, err
	case string(a.buffer[:n]) == commandBegin:
		a.log.begin(time.Now())
		return false, nil
	}
	return false, json.NewEncoder(os.Stdout).Encode(a.log.end(time.Now()))
}

func (a *agents) accept(listener int) error {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return fmt.Errorf("accept a connection: %w", err)
		}
		local, err := unix.Getsockname(fd)
		if err != nil {
			return fmt.Errorf("ask a connection for its address: %w", err)
		}
		to := local.(*unix.SockaddrInet4) //nolint:forcetypeassert // of the listener's family
		a.conns[fd] = &connection{fd: fd, agent: agentOf(to.Addr), mcp: listener == a.mcp, drips: listener == a.dripping}
		if err := a.watch(fd); err != nil {
			return err
		}
	}
}

// read takes a question. Questions are small and come one at a time.
func (a *agents) read(c *connection) error {
	n, control, _, _, err := unix.Recvmsg(c.fd, a.buffer[:], a.control[:], 0)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if n <= 0 { // it ended, or was reset
		a.close(c)
		return nil
	}
	if c.drips {
		if c.next.IsZero() {
			c.next = time.Now().Add(dripEvery)
			a.drips = append(a.drips, c)
		}
		return nil
	}
	arrived, err := stampOf(a.control[:control])
	if err != nil {
		return err
	}
	a.log.note(c.agent, arrived)
	answer := a.answers.of(c.agent, time.Now())
	if c.mcp {
		answer = a.answers.ofMCP(c.agent, time.Now())
	}
	if _, err := unix.Write(c.fd, answer); err != nil {
		a.close(c)
	}
	return nil
}

// stampOf is when the kernel got what was read.
func stampOf(control []byte) (time.Time, error) {
	header, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || header.Type != unix.SCM_TIMESTAMPNS || len(data) < int(unsafe.Sizeof(unix.Timespec{})) {
		return time.Time{}, errors.Join(errors.New("the kernel did not stamp what arrived"), err)
	}
	return time.Unix((*unix.Timespec)(unsafe.Pointer(&data[0])).Unix()), nil
}

func (a *agents) close(c *connection) {
	c.closed = true
	delete(a.conns, c.fd)
	_ = unix.Close(c.fd)
}

// drip sends the bytes that are due, and returns how many milliseconds there
// are to the next, or -1. All drip at the same pace: the first is always next.
func (a *agents) drip(now time.Time) int {
	for len(a.drips) > 0 {
		c := a.drips[0]
		if !c.closed && now.Before(c.next) {
			return int(c.next.Sub(now).Milliseconds()) + 1
		}
		a.drips = a.drips[1:]
		answer := a.answers.of(c.agent, now)
		if c.closed || c.sent == len(answer) {
			continue
		}
		if _, err := unix.Write(c.fd, answer[c.sent:c.sent+1]); err != nil {
			a.close(c)
			continue
		}
		c.sent, c.next = c.sent+1, now.Add(dripEvery)
		a.drips = append(a.drips, c)
	}
	return -1
}

// answers are as servers give them: net/http's for agents with an even number,
// and uvicorn's for the others. The date is another one each second, and the
// status of each agent last changed at another time. Of MCP servers, those with an
// even number have state and refuse whoever has no session, and the others have none
// and answer with an event.
type answers struct {
	stamps  int64 // of the first agent
	date    int64 // in seconds
	made    [2][]byte
	stampAt [2]int
	mcp     [2][]byte
}

func newAnswers(now time.Time) answers { return answers{stamps: now.Unix() - 3600} }

func (a *answers) of(agent int, now time.Time) []byte {
	a.keep(now)
	kind := agent % 2
	stamp := strconv.AppendInt(a.made[kind][:a.stampAt[kind]], a.stamps+int64(agent%3600), 10)
	return append(stamp, '}')
}

func (a *answers) ofMCP(agent int, now time.Time) []byte {
	a.keep(now)
	return a.mcp[agent%2]
}

// keep makes the answers of this second.
func (a *answers) keep(now time.Time) {
	if now.Unix() != a.date {
		a.date = now.Unix()
		a.make(now.UTC().Format(http.TimeFormat))
	}
}

func (a *answers) make(date string) {
	const body, length = `{"status":"Healthy","time_of_last_update":`, 53
	a.made = [2][]byte{
		fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %s\r\nContent-Length: %d\r\n\r\n%s", date, length, body),
		fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ndate: %s\r\nserver: uvicorn\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%s", date, length, body),
	}
	for kind := range a.made {
		a.stampAt[kind] = len(a.made[kind])
		a.made[kind] = append(a.made[kind], make([]byte, 11)...) // so that of allocates nothing
	}
	const refusal = `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}`
	const event = "event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n\r\n"
	a.mcp = [2][]byte{
		fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\ndate: %s\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", date, len(refusal), refusal),
		fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ndate: %s\r\nserver: uvicorn\r\ncache-control: no-cache, no-transform\r\nconnection: keep-alive\r\n"+
			"content-type: text/event-stream\r\nx-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", date, len(event), event),
	}
}
