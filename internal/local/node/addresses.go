package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// addresses gives each pod a loopback address of its own, where there are several.
type addresses struct {
	mu       sync.Mutex
	held     map[netip.Addr]bool
	insists  map[uint16]netip.Addr // whose agent listens at the contract's port itself
	assigned map[uint16]netip.Addr // where agents were told to listen
}

func newAddresses() *addresses {
	return &addresses{held: map[netip.Addr]bool{}, insists: map[uint16]netip.Addr{}, assigned: map[uint16]netip.Addr{}}
}

// tries is how many addresses are looked at before all count as taken.
const tries = 16

// take reserves a port of an address where nobody listens, and that no other pod has. There
// are 65,000, and on systems other than Linux one.
func (a *addresses) take(port uint16) (netip.Addr, *reservation, error) {
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
		if !free {
			continue
		}
		reserved, err := reserve(netip.AddrPortFrom(addr, port))
		if err == nil {
			return addr, reserved, nil
		}
		a.release(addr)
		if !errors.Is(err, unix.EADDRINUSE) {
			return netip.Addr{}, nil, err
		}
	}
	return netip.Addr{}, nil, fmt.Errorf("another program has taken port %d of this machine's addresses, where agents are asked and called: end it", port)
}

// claim has a pod's agent be the one that listens at the contract's port itself. It is an
// error if that is another's.
func (a *addresses) claim(pod netip.Addr, port uint16) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.anothers(pod, port) {
		return errAnotherInsists(port)
	}
	a.insists[port] = pod
	return nil
}

// checkListeners is an error if the agent of another pod listens at the contract's port itself.
func (a *addresses) checkListeners(pod netip.Addr, port uint16) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.anothers(pod, port) {
		return errAnotherInsists(port)
	}
	return nil
}

func (a *addresses) anothers(pod netip.Addr, port uint16) bool {
	owner, is := a.insists[port]
	return is && owner != pod
}

func errAnotherInsists(port uint16) error {
	return fmt.Errorf("the agent of another session listens at port %d: one that listens at $PORT can have many sessions", port)
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
	maps.DeleteFunc(a.assigned, its)
}

// assign returns a port of 127.0.0.1 for a pod's agent to listen at: nobody does, and no
// other agent was told to.
func (a *addresses) assign(ctx context.Context, pod netip.Addr) (uint16, error) {
	for range tries {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		port := netip.MustParseAddrPort(listener.Addr().String()).Port()
		_ = listener.Close() // nothing was sent
		a.mu.Lock()
		_, taken := a.assigned[port]
		if !taken {
			a.assigned[port] = pod
		}
		a.mu.Unlock()
		if !taken {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %d were tried, and each is another session's", tries)
}

// reservation keeps an address from other programs. Connections are refused until listen.
type reservation struct{ socket *os.File }

// reserve binds a socket, and does not listen.
func reserve(at netip.AddrPort) (*reservation, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	r := &reservation{os.NewFile(uintptr(fd), at.String())}
	// On Linux a socket without this option lets nobody bind beside it. Elsewhere there is one
	// address, at which the last session's connections may still be closing.
	if runtime.GOOS != "linux" {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reserve %s for an agent: %w", at, err), r.close())
	}
	return r, nil
}

func (r *reservation) listen() (net.Listener, error) {
	defer r.close() //nolint:errcheck // the listener has a copy
	if err := unix.Listen(int(r.socket.Fd()), mostConnections); err != nil {
		return nil, err
	}
	return net.FileListener(r.socket)
}

// close may be called again, and after listen.
func (r *reservation) close() error {
	if err := r.socket.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
