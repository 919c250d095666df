package prober

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// loopEvents is how many events are taken from the kernel at once.
	loopEvents = 1024
	// receiveBuffer bounds what the kernel keeps of an answer; it doubles it.
	receiveBuffer = 8 << 10
)

// loop asks all agents from the goroutine that calls wait, over epoll: no
// goroutine, timer or buffer for each, and a connection that an agent closes or
// sends on unasked is noticed at once.
type loop struct {
	answered func(e *entry, answer lifecycle.Answer, err error, due, begun time.Time)
	timeout  time.Duration

	epoll  int
	events []unix.EpollEvent
	buffer []byte // for the request, and then for the answer
	byFD   []*conn
	paced  []*conn    // no event tells of these
	out    []deadline // in the order in which they pass

	mu      sync.Mutex
	dropped []*conn // by other goroutines
	ended   bool
}

// deadline is that of a conn's ping number n.
type deadline struct {
	conn *conn
	n    uint32
}

type connState uint8

const (
	stateClosed connState = iota
	stateIdle             // connected, and nothing is out
	stateConnecting
	stateAsked
)

// conn is the loop's line to one agent.
type conn struct {
	loop       *loop
	entry      *entry
	due, begun time.Time     // of the ping that is out
	look       time.Duration // how long after begun a paced one is read next
	pings      uint32        // how many were begun
	fd         int32
	pieces     uint8 // in how many the answer has come so far
	state      connState
	out        bool // a ping is
	first      bool // no answer has come over this connection yet
	got        []byte

	memo       []byte // the body of the last good answer, and
	memoAnswer lifecycle.Answer

	beside beside
	trial  *trial // of it; nil but while it is made
}

// newLoop falls back on goroutines where there is no epoll to be had.
func newLoop(p *Prober) asker {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return newGoroutines(p, HTTPPinger{})
	}
	return &loop{
		answered: p.answered, timeout: p.opts.Timeout, epoll: epoll,
		events: make([]unix.EpollEvent, loopEvents),
		buffer: make([]byte, maxHeader+maxBody+1),
	}
}

func (l *loop) open(e *entry) line { return &conn{loop: l, entry: e} }

// wait handles what happens until a moment. At least one look is taken at what
// has happened: whoever is asked next has nothing unread.
func (l *loop) wait(ctx context.Context, until time.Time) bool {
	l.readPaced(time.Now())
	for {
		l.hangUpDropped()
		more := l.poll(until)
		if !more { // only who has said nothing is late
			l.expire(time.Now())
		}
		switch {
		case ctx.Err() != nil:
			return false
		case !time.Now().Before(until):
			return true
		}
	}
}

// poll waits for events until a moment, handles them, and tells whether there
// may be more.
func (l *loop) poll(until time.Time) (more bool) {
	left := max(time.Until(until), 0)
	n, err := unix.EpollWait(l.epoll, l.events, int((left+time.Millisecond-1)/time.Millisecond))
	if err != nil {
		return errors.Is(err, unix.EINTR) // nothing else can be
	}
	for _, event := range l.events[:n] {
		l.handle(event)
	}
	return n == len(l.events)
}

func (l *loop) handle(event unix.EpollEvent) {
	if c := l.byFD[event.Fd]; c != nil {
		c.ready(event.Events)
	}
}

// expire ends the pings whose time is over.
func (l *loop) expire(now time.Time) {
	for len(l.out) > 0 {
		c := l.out[0].conn
		if c.out && c.pings == l.out[0].n {
			if now.Sub(c.begun) < l.timeout {
				return
			}
			c.late()
		}
		l.out[0].conn = nil
		l.out = l.out[1:]
	}
}

// late ends a ping whose time is over.
func (c *conn) late() {
	how := lifecycle.FailureTimeout
	if c.state == stateConnecting {
		how = lifecycle.FailureConnect
	}
	for range 2 { // the rest may have come since the last look, and then the end
		if c.paced() {
			c.read(false)
		}
	}
	if c.out {
		c.finish(c.cut(c.got, failed(how, "")), nil, false)
	}
}

func (l *loop) hangUpDropped() {
	l.mu.Lock()
	dropped := l.dropped
	l.dropped = nil
	l.mu.Unlock()
	for _, c := range dropped {
		c.hangUp()
		if c.out {
			c.finish(lifecycle.Answer{}, context.Canceled, false)
		}
	}
}

// end cancels what is out and closes everything.
func (l *loop) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.hangUpDropped()
	for _, c := range l.byFD {
		if c != nil {
			c.hangUp()
			if c.out {
				c.finish(lifecycle.Answer{}, context.Canceled, false)
			}
		}
	}
	_ = unix.Close(l.epoll)
}

func (c *conn) cancel() { c.close() }

// close leaves the rest to the loop, whose the connection is.
func (c *conn) close() {
	c.loop.mu.Lock()
	if !c.loop.ended {
		c.loop.dropped = append(c.loop.dropped, c)
	}
	c.loop.mu.Unlock()
}

func (c *conn) ask(due time.Time) {
	c.due, c.begun, c.out = due, time.Now(), true
	c.pings++
	c.loop.out = append(c.loop.out, deadline{c, c.pings})
	if c.state == stateIdle {
		c.send()
	} else {
		c.connect()
	}
}

// connect begins a connection. It becomes writable when it is made, or failed.
func (c *conn) connect() {
	addr := c.entry.target.Addr
	if noPod(addr.Addr()) {
		c.finish(notAPod(addr.Addr()), nil, false)
		return
	}
	if err := c.dial(unmapped(addr)); err != nil {
		c.unconnected(err)
	}
}

func (c *conn) dial(addr netip.AddrPort) error {
	family, to := sockaddr(addr)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	for len(c.loop.byFD) <= fd {
		c.loop.byFD = append(c.loop.byFD, nil)
	}
	c.fd, c.state, c.first = int32(fd), stateConnecting, true //nolint:gosec // descriptors are small
	c.loop.byFD[fd] = c
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // it works without
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	watch := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.fd}
	return unix.EpollCtl(c.loop.epoll, unix.EPOLL_CTL_ADD, fd, &watch)
}

func sockaddr(addr netip.AddrPort) (family int, to unix.Sockaddr) {
	if addr.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

// unconnected ends a ping for which there is no connection.
func (c *conn) unconnected(err error) {
	if isLocalError(err) {
		c.finish(lifecycle.Answer{}, fmt.Errorf("connect: %w", err), false)
		return
	}
	c.finish(lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: connectDetail(err)}, nil, false)
}

// ready handles an event, which is a hint and not a fact: what it tells of may
// be read already, or be of an earlier connection with the same descriptor.
func (c *conn) ready(events uint32) {
	hungUp := events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	switch c.state {
	case stateIdle:
		if !c.untouched() {
			c.hangUp()
		}
	case stateConnecting:
		if code, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			c.unconnected(errors.Join(err, unix.Errno(code)))
			return
		}
		c.send()
		if c.state == stateAsked && events&unix.EPOLLIN != 0 { // it spoke, or closed, first
			c.read(hungUp)
		}
	case stateAsked:
		c.read(hungUp)
	case stateClosed:
	}
}

// untouched tells whether the agent neither closed an idle connection nor sent on
// it.
func (c *conn) untouched() bool {
	_, err := unix.Read(int(c.fd), c.loop.buffer[:1])
	return errors.Is(err, unix.EAGAIN)
}

func (c *conn) send() {
	request := appendRequest(c.loop.buffer[:0], c.question(), c.entry.target.Addr)
	n, err := unix.Write(int(c.fd), request)
	if c.state == stateConnecting && errors.Is(err, unix.EAGAIN) {
		return // it is not made yet
	}
	if c.state = stateAsked; err != nil || n < len(request) {
		c.isLost()
	}
}

// isLost is a connection that brought not one byte: if it was kept from before,
// the agent may have closed it at any time, and is asked on another.
func (c *conn) isLost() {
	if !c.first {
		c.hangUp()
		c.connect()
		return
	}
	c.finish(closedUnanswered, nil, false)
}

// finish ends the ping that is out. The connection stays only if it is fit for
// another one, and the agent serves another beside it.
func (c *conn) finish(answer lifecycle.Answer, err error, keep bool) {
	switch {
	case c.trial != nil:
		answer, err, keep = c.endTrial(answer, err, keep)
	case keep && c.beside.tries(answer, time.Since(c.begun), c.loop.timeout):
		c.try(answer)
		return
	}
	if keep && c.beside == besideServed {
		c.state, c.first = stateIdle, false
	} else {
		c.hangUp()
	}
	c.out, c.got, c.pieces = false, nil, 0
	answer.Connections = c.beside.connections()
	c.loop.answered(c.entry, answer, err, c.due, c.begun)
}

func (c *conn) question() lifecycle.Question { return c.entry.target.Question }

func (c *conn) hangUp() {
	if c.state != stateClosed {
		c.loop.byFD[c.fd] = nil
		_ = unix.Close(int(c.fd))
		c.state = stateClosed
	}
}
