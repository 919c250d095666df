package prober

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// HTTPPinger asks in HTTP/1.1, over one connection for each Line, which is kept
// where the agent serves another beside it. It is written on the connection, not on http.Client, because the agent
// is hostile: the client's own deadlines do not hold against 101 Switching
// Protocols, its pool goes by address, and it logs what an agent sends unasked.
//
// There is no redirect, no proxy, no decompression and no name to resolve. It
// refuses addresses that no pod has: unspecified ones (which dial to this very
// host), multicast and link-local (where clouds keep their metadata).
type HTTPPinger struct{}

// userAgent is what the operator calls itself.
const userAgent = "agentsession-prober"

// Open returns a Line to the address of t.
func (p HTTPPinger) Open(t Target) Line { return p.open(t) }

func (HTTPPinger) open(t Target) *httpLine {
	return &httpLine{addr: unmapped(t.Addr), question: t.Question}
}

// unmapped is an address as IPv4 if it is one in IPv6's clothes.
func unmapped(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// appendRequest appends the question to b. Servers that look at the host for fear of
// DNS rebinding, as those of MCP do, take localhost.
func appendRequest(b []byte, q lifecycle.Question, addr netip.AddrPort) []byte {
	method, path := http.MethodGet, contract.PingPath
	if q.MCP != "" {
		method, path = http.MethodPost, q.MCP
	}
	b = append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: localhost:"...)
	b = strconv.AppendUint(b, uint64(addr.Port()), 10)
	b = append(b, "\r\nUser-Agent: "+userAgent+"\r\n"...)
	if q.MCP != "" {
		b = append(b, "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(contract.MCPPing)), 10)
		return append(b, "\r\n\r\n"+contract.MCPPing...)
	}
	return append(b, crlf...)
}

type httpLine struct {
	addr     netip.AddrPort
	question lifecycle.Question
	conn     *net.TCPConn // nil if there is none; nothing is outstanding on it
	beside   beside
}

// Ping asks on the kept connection, if the agent did not close it or send on
// it meanwhile, and else on a new one.
func (l *httpLine) Ping(ctx context.Context) (lifecycle.Answer, error) {
	begun := time.Now()
	answer, lost := lifecycle.Answer{}, true
	if l.kept(ctx) {
		answer, lost = l.exchange(ctx)
	}
	if lost { // a server may close an idle connection at any time: that is no failure
		var err error
		if answer, err = l.dial(ctx); err != nil {
			return lifecycle.Answer{}, err
		}
		if answer.Failure == "" {
			answer, _ = l.exchange(ctx)
		}
	}
	if l.conn != nil && l.beside != besideServed {
		l.release(ctx, answer, begun)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return lifecycle.Answer{}, context.Cause(ctx)
	}
	answer.Connections = l.beside.connections()
	return answer, nil
}

// release gives a connection back that may be the only one that the agent serves,
// or finds out whether it is.
func (l *httpLine) release(ctx context.Context, answer lifecycle.Answer, begun time.Time) {
	deadline, _ := ctx.Deadline()
	if !l.beside.tries(answer, time.Since(begun), deadline.Sub(begun)) {
		l.Close()
		return
	}
	held := l.conn
	l.conn = nil
	second, err := l.dial(ctx)
	if err == nil && second.Failure == "" {
		second, _ = l.exchange(ctx)
	}
	_ = held.Close()
	if err == nil && !errors.Is(ctx.Err(), context.Canceled) {
		l.beside = l.beside.after(second)
	}
	if l.beside != besideServed {
		l.Close()
	}
}

// Close drops the connection.
func (l *httpLine) Close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// kept tells whether there is a connection that is fit for another question.
func (l *httpLine) kept(ctx context.Context) bool {
	if l.conn == nil {
		return false
	}
	setDeadline(ctx, l.conn) // before the look: nothing can be read after the last one
	if !untouched(l.conn) {
		l.Close()
	}
	return l.conn != nil
}

// dial connects. It fails as the agent's fault with an Answer, and as our own
// with an error.
func (l *httpLine) dial(ctx context.Context) (lifecycle.Answer, error) {
	if ip := l.addr.Addr(); noPod(ip) {
		return notAPod(ip), nil
	}
	dialer := net.Dialer{KeepAlive: -1} // a ping every period tells more than TCP's probes do
	// DialTCP would bind to a local port first, which then is of no use for
	// another agent.
	conn, err := dialer.DialContext(ctx, "tcp", l.addr.String())
	if err != nil {
		if isLocalError(err) {
			return lifecycle.Answer{}, fmt.Errorf("connect: %w", err)
		}
		return lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: connectDetail(err)}, nil
	}
	setDeadline(ctx, conn)
	l.conn = conn.(*net.TCPConn) //nolint:forcetypeassert // that is what "tcp" is
	return lifecycle.Answer{}, nil
}

// noPod tells whether an address can be no pod's.
func noPod(ip netip.Addr) bool {
	ip = ip.Unmap()
	return !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast()
}

func notAPod(ip netip.Addr) lifecycle.Answer {
	return failed(lifecycle.FailureConnect, "not an address of a pod: "+ip.Unmap().String())
}

// isLocalError tells whether a connection failed for want of something on this side.
func isLocalError(err error) bool {
	for _, want := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENOSPC, syscall.EADDRNOTAVAIL,
	} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// connectDetail is the bare reason: the whole error names a port of ours,
// which is another one each time. Empty for a timeout.
func connectDetail(err error) string {
	var errno syscall.Errno
	switch {
	case isTimeout(err):
		return ""
	case errors.As(err, &errno):
		return errno.Error()
	}
	return "no connection"
}

// exchange asks on l.conn, and keeps that only if it is fit for another
// question. lost tells that the agent closed it before it answered anything.
func (l *httpLine) exchange(ctx context.Context) (answer lifecycle.Answer, lost bool) {
	conn := l.conn
	l.conn = nil
	// The deadline is on the connection already; this is for the end before it.
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })

	r := readers.Get().(*answerReader) //nolint:forcetypeassert // the pool holds nothing else
	r.reset(conn)
	_, err := conn.Write(appendRequest(nil, l.question, l.addr))
	if err == nil {
		err = r.wait()
	}
	keep := false
	if err != nil {
		answer, lost = unanswered(err)
	} else {
		answer, keep = r.read(l.question)
	}
	r.reset(nil)
	readers.Put(r)

	if release() && keep {
		l.conn = conn
	} else {
		_ = conn.Close()
	}
	return answer, lost
}

// unanswered judges a connection that brought not one byte.
func unanswered(err error) (answer lifecycle.Answer, lost bool) {
	if isTimeout(err) {
		return lifecycle.Answer{Failure: lifecycle.FailureTimeout}, false
	}
	return closedUnanswered, true
}

// closedUnanswered: a proxy before an agent that is not up yet does that. The
// connection failed, not the contract.
var closedUnanswered = failed(lifecycle.FailureConnect, "connection closed without an answer")

func setDeadline(ctx context.Context, conn net.Conn) {
	deadline, _ := ctx.Deadline() // without one: no deadline
	_ = conn.SetDeadline(deadline)
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
