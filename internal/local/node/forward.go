package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connectPeriod is how often it is looked whether an agent listens.
const connectPeriod = 20 * time.Millisecond

// mostConnections of one agent at a time.
const mostConnections = 1000

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
	pod      netip.Addr
	reserved *reservation // where others look for it
	places   []*place     // as it was told, and the contract's port where nobody else listens
}

// pathsOf is called before the agent is started. fixed is the contract's port.
func pathsOf(ctx context.Context, pod netip.Addr, reserved *reservation, port, fixed uint16) paths {
	p := paths{pod: pod, reserved: reserved}
	for _, one := range []uint16{port, fixed} {
		for _, addr := range loopback {
			if at := netip.AddrPortFrom(addr, one); one > 0 && isFree(ctx, at) {
				p.places = append(p.places, &place{at: at, exclusive: one == port})
			}
		}
	}
	return p
}

// forward waits until an agent with a group of processes listens, and then has it be
// reached at the pod's address, until ctx ends.
func (p paths) forward(ctx context.Context, among *addresses, agents group) error {
	at, err := p.await(ctx, among, agents)
	if err != nil || at == nil {
		return err
	}
	return p.serve(ctx, at, agents)
}

// await waits until an agent with a group of processes listens; nil if ctx ends before. An agent
// that listens at the contract's port, on all addresses or on loopback, is found there. It is an
// error if somebody else listens where the agent was told to.
func (p paths) await(ctx context.Context, among *addresses, agents group) (*place, error) {
	ticker := time.NewTicker(connectPeriod)
	defer ticker.Stop()
	for {
		if at, err := p.find(ctx, among, agents); err != nil || at != nil {
			return at, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-ticker.C:
		}
	}
}

// find looks for the agent; nil if it does not listen yet.
func (p paths) find(ctx context.Context, among *addresses, agents group) (*place, error) {
	for _, at := range p.places {
		if !listens(ctx, at.at) {
			continue
		}
		its, err := at.isAgents(agents)
		switch {
		case err != nil:
			return nil, err
		case its && at.exclusive:
			return at, nil
		case its:
			return at, among.claim(p.pod, at.at.Port())
		}
		// Another program may listen at the contract's port: the agent has one of its own.
		if err := among.checkListeners(p.pod, at.at.Port()); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// serve forwards connections to the agent, as long as it is the agent that listens there.
func (p paths) serve(ctx context.Context, to *place, agents group) error {
	listener, err := p.reserved.listen()
	if err != nil {
		return fmt.Errorf("take connections for the agent: %w", err)
	}
	defer listener.Close() //nolint:errcheck // it is over
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	slots := make(chan struct{}, mostConnections)
	for {
		slots <- struct{}{}
		connection, err := listener.Accept()
		if why := context.Cause(ctx); why != nil {
			if err == nil {
				_ = connection.Close()
			}
			if errors.Is(why, context.Canceled) {
				return nil
			}
			return why
		}
		if err != nil {
			return fmt.Errorf("take connections for the agent: %w", err)
		}
		go func() {
			defer func() { <-slots }()
			its, err := to.isAgents(agents)
			if errors.Is(err, errStranger) {
				stop(err)
			}
			if !its { // or nobody knows
				_ = connection.Close()
				return
			}
			carry(ctx, connection, to.at)
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
