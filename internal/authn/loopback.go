package authn

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// OfThisMachine is Anybody for a gateway on loopback. A browser reaches that too, so pages
// of other machines are refused, also one whose name leads to loopback.
func OfThisMachine(ctx context.Context, r *http.Request) (Proof, error) {
	if host := (&url.URL{Host: r.Host}); !onLoopback(host.Hostname()) {
		return nil, &Error{Kind: Denied, Message: "The host must be localhost or a loopback address: a page of a browser could have any other name"}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" {
		return nil, &Error{Kind: Denied, Message: "Pages of other machines may not call: Sec-Fetch-Site is cross-site"}
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		page, err := url.Parse(origin)
		if err != nil || !onLoopback(page.Hostname()) {
			return nil, &Error{Kind: Denied, Message: "Pages of other machines may not call: Origin must be on localhost or a loopback address"}
		}
	}
	return Anybody(ctx, r)
}

func onLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
}
