package authn

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

const dialTimeout = 5 * time.Second

// outward reaches what is not the gateway's own machine: an issuer may well be in the
// cluster. Where the environment names a proxy it goes through that, which may be on
// loopback: what is looked at then is the issuer's address, and not the proxy's.
type outward struct {
	proxy           func(*http.Request) (*url.URL, error)
	direct, proxied http.RoundTripper
	anywhere        bool
}

func newOutward(proxy func(*http.Request) (*url.URL, error), allowLoopback bool) *outward {
	guarded := &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error { return lifecycle.CheckDialedPort(address) }}
	if allowLoopback {
		guarded.Control = nil
	}
	free := &net.Dialer{Timeout: dialTimeout}
	return &outward{proxy: proxy, direct: newLimitedTransport(guarded, nil), proxied: newLimitedTransport(free, proxy), anywhere: allowLoopback}
}

// newLimitedTransport is a transport of which no issuer, and no number of them, takes much.
func newLimitedTransport(dialer *net.Dialer, proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		DialContext: dialer.DialContext, Proxy: proxy, TLSHandshakeTimeout: issuerTimeout,
		IdleConnTimeout: 30 * time.Second, MaxIdleConns: 100, MaxResponseHeaderBytes: 64 << 10,
	}
}

// RoundTrip asks directly, or through the proxy.
func (o *outward) RoundTrip(r *http.Request) (*http.Response, error) {
	through, err := o.proxy(r)
	if err != nil {
		return nil, fmt.Errorf("find the proxy: %w", err)
	}
	if through == nil {
		return o.direct.RoundTrip(r)
	}
	if !o.anywhere {
		if err := checkHost(r.Context(), r.URL.Hostname()); err != nil {
			return nil, err
		}
	}
	return o.proxied.RoundTrip(r)
}

// checkHost tells why a proxy is not asked for a host. A name that is not known here is
// left to the proxy, since those who need one often know no names of the world; and so
// is what it finds for a name that it looks up again.
func checkHost(ctx context.Context, host string) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		return lifecycle.CheckDialed(ip)
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }) { // it would be mapped to another
		return fmt.Errorf("%s is not in ASCII: it is not called", lifecycle.Printable(host))
	}
	if last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]; last == "" || '0' <= last[0] && last[0] <= '9' {
		return fmt.Errorf("%s is neither a name nor an address as it is usually written: it is not called", lifecycle.Printable(host))
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return ctx.Err()
	}
	for _, ip := range all {
		if err := lifecycle.CheckDialed(ip); err != nil {
			return err
		}
	}
	return nil
}
