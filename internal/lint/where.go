package lint

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// gatewayError is the type of error by which a gateway says that it serves no pings.
const gatewayError = "UnknownOperationException"

// speaksTLS looks whether who did not answer a ping in plain HTTP does in TLS. Servers of it
// close the connection, send an alert, or answer 400.
func (w *watcher) speaksTLS(ctx context.Context, first Ping) bool {
	closed := first.Answer.Failure == lifecycle.FailureConnect || first.Answer.Failure == lifecycle.FailureProtocol
	if first.Unconnected || !closed && first.Code != http.StatusBadRequest {
		return false
	}
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: connecting},
		Config:    &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // nothing is sent: whose it is does not matter
	}
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(w.Base, "http://"))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// listens looks whether an agent that is asked on loopback is on other addresses of this
// machine.
func (w *watcher) listens(ctx context.Context) Listens {
	host := strings.TrimPrefix(w.Base, "http://")
	if port, ok := strings.CutPrefix(host, "localhost:"); ok {
		host = "127.0.0.1:" + port
	}
	to, err := netip.ParseAddrPort(host)
	if err != nil || !to.Addr().IsLoopback() {
		return ListensUnknown
	}
	elsewhere := w.Elsewhere
	if elsewhere == nil {
		elsewhere = ownAddresses(to.Addr().Is4())
	}
	refused := 0
	for _, addr := range elsewhere {
		dialer := net.Dialer{Timeout: time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, to.Port()).String())
		if err == nil {
			_ = conn.Close()
			return ListensWide
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			refused++
		}
	}
	if refused == 0 || refused < len(elsewhere) {
		return ListensUnknown
	}
	return ListensLoopback
}

// ownAddresses are those of this machine that others may reach it at.
func ownAddresses(four bool) (addrs []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, one := range all {
		prefix, err := netip.ParsePrefix(one.String())
		if err == nil && prefix.Addr().Is4() == four && prefix.Addr().IsGlobalUnicast() && !slices.Contains(addrs, prefix.Addr()) {
			addrs = append(addrs, prefix.Addr())
		}
	}
	return addrs
}
