package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// connectPeriod is how often it is looked whether an agent listens.
const connectPeriod = 20 * time.Millisecond

// mostConnections of one agent at a time.
const mostConnections = 1000

// addresses gives each pod a loopback address of its own, where there are several.
type addresses struct {
	mu   sync.Mutex
	next uint32
	held map[netip.Addr]bool
}

// take returns an address that nobody has. There are 65,000, and on systems other than
// Linux one, which all share.
func (a *addresses) take() netip.Addr {
	if runtime.GOOS != "linux" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		a.next = a.next%65_000 + 1
		addr := netip.AddrFrom4([4]byte{127, 77, byte(a.next >> 8), byte(a.next)}) //nolint:gosec // two bytes of a number below 65,001
		if !a.held[addr] {
			a.held[addr] = true
			return addr
		}
	}
}

func (a *addresses) release(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, addr)
}

// freePort is one of 127.0.0.1 that nobody listens at.
func freePort(ctx context.Context) (uint16, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close() //nolint:errcheck // nothing was sent
	return netip.MustParseAddrPort(listener.Addr().String()).Port(), nil
}

// listens tells whether somebody does at an address.
func listens(ctx context.Context, at netip.AddrPort) bool {
	connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return false
	}
	_ = connection.Close() // nothing was sent
	return true
}

// forward waits until the agent listens, and then has it be reached at the pod's
// address, until ctx ends. An agent that listens at the contract's port, on all
// addresses or on 127.0.0.1, is found there.
func forward(ctx context.Context, pod netip.AddrPort, port uint16) {
	own := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	fixed := netip.AddrPortFrom(own.Addr(), pod.Port())
	taken := listens(ctx, fixed) // by somebody else
	ticker := time.NewTicker(connectPeriod)
	defer ticker.Stop()
	for {
		switch {
		case listens(ctx, own):
			serve(ctx, pod, own)
			return
		case !taken && listens(ctx, pod):
			return
		case !taken && listens(ctx, fixed):
			serve(ctx, pod, fixed)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// serve forwards connections. At an address that is taken nobody is reached, as where
// nobody listens: the operator says what becomes of the session.
func serve(ctx context.Context, at, to netip.AddrPort) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	slots := make(chan struct{}, mostConnections)
	for {
		slots <- struct{}{}
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-slots }()
			carry(ctx, connection, to)
		}()
	}
}

// carry carries both directions of a connection to their ends.
func carry(ctx context.Context, from net.Conn, to netip.AddrPort) {
	defer from.Close() //nolint:errcheck // it is over
	agent, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return
	}
	defer agent.Close() //nolint:errcheck // it is over
	defer context.AfterFunc(ctx, func() { _, _ = from.Close(), agent.Close() })()
	var both sync.WaitGroup
	both.Go(func() { pass(agent, from) })
	both.Go(func() { pass(from, agent) })
	both.Wait()
}

// pass carries one direction, and its end. If one breaks, so does the other.
func pass(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return
	}
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
