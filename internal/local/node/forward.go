package node

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
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
	mu      sync.Mutex
	held    map[netip.Addr]bool
	insists map[uint16]netip.Addr // whose agent listens at the contract's port itself
	told    map[uint16]netip.Addr // where agents were told to listen
}

func newAddresses() *addresses {
	return &addresses{held: map[netip.Addr]bool{}, insists: map[uint16]netip.Addr{}, told: map[uint16]netip.Addr{}}
}

// tries is how many addresses are looked at before all count as taken.
const tries = 16

// take returns an address where nobody listens at a port, and that no other pod has. There
// are 65,000, and on systems other than Linux one.
func (a *addresses) take(ctx context.Context, port uint16) (netip.Addr, error) {
	for range tries {
		addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if runtime.GOOS == "linux" {
			n := 1 + rand.IntN(65_000)                                      //nolint:gosec // others may guess it, and are looked for
			addr = netip.AddrFrom4([4]byte{127, 77, byte(n >> 8), byte(n)}) //nolint:gosec // two bytes of a number below 65,001
		}
		a.mu.Lock()
		free := !a.held[addr]
		a.held[addr] = true
		a.mu.Unlock()
		if free && isFree(ctx, netip.AddrPortFrom(addr, port)) {
			return addr, nil
		}
		if free {
			a.release(addr)
		}
	}
	return netip.Addr{}, fmt.Errorf("another program has taken port %d of this machine's addresses, where agents are asked and called: end it", port)
}

// claim has a pod's agent be the one that listens at the contract's port itself. It is an
// error if that is another's.
func (a *addresses) claim(pod netip.Addr, port uint16) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, is := a.insists[port]; is {
		return fmt.Errorf("the agent of another session listens at port %d: one that listens at $PORT can have many sessions", port)
	}
	a.insists[port] = pod
	return nil
}

// isFree tells whether one could listen at an address.
func isFree(ctx context.Context, at netip.AddrPort) bool {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
	if err != nil {
		return false
	}
	_ = listener.Close() // nothing was sent
	return true
}

func (a *addresses) release(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, addr)
	its := func(_ uint16, one netip.Addr) bool { return one == addr }
	maps.DeleteFunc(a.insists, its)
	maps.DeleteFunc(a.told, its)
}

// tell returns a port of 127.0.0.1 for a pod's agent to listen at: nobody does, and no
// other agent was told to.
func (a *addresses) tell(ctx context.Context, pod netip.Addr) (uint16, error) {
	for range tries {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		port := netip.MustParseAddrPort(listener.Addr().String()).Port()
		_ = listener.Close() // nothing was sent
		a.mu.Lock()
		_, told := a.told[port]
		if !told {
			a.told[port] = pod
		}
		a.mu.Unlock()
		if !told {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %d were tried, and each is another session's", tries)
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

// loopback are the addresses at which an agent may listen. What is said to listen at
// localhost may take either alone.
var loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// paths are where an agent may listen, and where others look for it.
type paths struct {
	pod   netip.AddrPort
	own   []netip.AddrPort // as it was told
	fixed []netip.AddrPort // the contract's port, where nobody else listens
}

// pathsOf is called before the agent is started. fixed is the contract's port.
func pathsOf(ctx context.Context, pod netip.AddrPort, port, fixed uint16) paths {
	p := paths{pod: pod}
	for _, addr := range loopback {
		if at := netip.AddrPortFrom(addr, port); isFree(ctx, at) {
			p.own = append(p.own, at)
		}
		if at := netip.AddrPortFrom(addr, fixed); fixed > 0 && isFree(ctx, at) {
			p.fixed = append(p.fixed, at)
		}
	}
	return p
}

// forward waits until the agent listens, and then has it be reached at the pod's
// address, until ctx ends. An agent that listens at the contract's port, on all
// addresses or on loopback, is found there. It is an error if somebody else listens at the
// pod's address meanwhile.
func (p paths) forward(ctx context.Context, among *addresses) error {
	ticker := time.NewTicker(connectPeriod)
	defer ticker.Stop()
	for {
		if at, found := firstThatListens(ctx, p.own); found {
			return serve(ctx, p.pod, at)
		}
		if at, found := firstThatListens(ctx, p.fixed); found {
			if err := among.claim(p.pod.Addr(), at.Port()); err != nil {
				return err
			}
			return serve(ctx, p.pod, at)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func firstThatListens(ctx context.Context, where []netip.AddrPort) (netip.AddrPort, bool) {
	for _, at := range where {
		if listens(ctx, at) {
			return at, true
		}
	}
	return netip.AddrPort{}, false
}

// serve forwards connections.
func serve(ctx context.Context, at, to netip.AddrPort) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("another program has taken the address where the agent is asked and called: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	slots := make(chan struct{}, mostConnections)
	for {
		slots <- struct{}{}
		connection, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("take connections for the agent: %w", err)
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
