package prober

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// HTTPPinger asks GET /ping in HTTP/1.1, over one kept connection for each
// Line. It is written on the connection, not on http.Client, because the agent
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
	return &httpLine{addr: unmapped(t.Addr)}
}

// unmapped is an address as IPv4 if it is one in IPv6's clothes.
func unmapped(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// appendRequest appends the question to b.
func appendRequest(b []byte, addr netip.AddrPort) []byte {
	b = append(b, "GET "+contract.PingPath+" HTTP/1.1\r\nHost: "...)
	b = addr.AppendTo(b) // no zone: link-local addresses are not asked
	return append(b, "\r\nUser-Agent: "+userAgent+"\r\n\r\n"...)
}

type httpLine struct {
	addr netip.AddrPort
	conn *net.TCPConn // nil if there is none; nothing is outstanding on it
}

// Ping asks on the kept connection, if the agent did not close it or send on
// it meanwhile, and else on a new one.
func (l *httpLine) Ping(ctx context.Context) (lifecycle.Answer, error) {
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
	if errors.Is(ctx.Err(), context.Canceled) {
		return lifecycle.Answer{}, context.Cause(ctx)
	}
	return answer, nil
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
	if !quiet(l.conn) {
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
		if ours(err) {
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

// ours tells whether a connection failed for want of something on this side.
func ours(err error) bool {
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
	_, err := conn.Write(appendRequest(nil, l.addr))
	if err == nil {
		err = r.wait()
	}
	keep := false
	if err != nil {
		answer, lost = unanswered(err)
	} else {
		answer, keep = r.read()
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
