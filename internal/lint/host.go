package lint

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// elsewhere is an address that no list of known hosts has.
const elsewhere = "127.0.0.2"

// hostOf is the host that requests to an agent name.
func hostOf(base string) string {
	at := strings.TrimPrefix(base, "http://")
	if name, port := splitHost(at); isAddress(name) {
		return joinHost("localhost", port)
	}
	return at // a proxy before the agent may go by the name
}

// otherHost is one that requests to an agent do not name.
func otherHost(base, host string) string {
	at, _ := splitHost(strings.TrimPrefix(base, "http://"))
	name, port := splitHost(host)
	addr, err := netip.ParseAddr(at)
	switch {
	case name != "localhost":
		return joinHost("localhost", port)
	case err == nil && !addr.IsLoopback():
		return joinHost(at, port)
	}
	return joinHost(elsewhere, port)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// splitHost splits what may have no port.
func splitHost(host string) (name, port string) {
	u := url.URL{Host: host}
	return u.Hostname(), u.Port()
}

func joinHost(name, port string) string {
	if port == "" {
		return name
	}
	return net.JoinHostPort(name, port)
}

// askOtherwise asks an agent that answers once more, as another host. If it serves that one
// alone, all that follows names it.
func (w *watcher) askOtherwise(ctx context.Context, seen *Observation) {
	first := w.pings[0]
	if first.Code == 0 {
		return
	}
	asked := w.Host
	w.Host = otherHost(w.Base, asked)
	other := w.ping(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case refusesHost(first, other):
		w.pings[0], other = other, first
	default:
		w.Host = asked
	}
	seen.Otherwise = &other
}

// refusesHost tells whether an agent refuses one ping, and serves another that names another
// host.
func refusesHost(refused, served Ping) bool {
	return served.Answer.Failure == "" && refused.Code >= 400 && refused.Code <= 499 && refused.Code != http.StatusTooManyRequests
}

// isMisdirected: the code says that it is because of the host.
func isMisdirected(p Ping) bool { return hasCode(p, http.StatusMisdirectedRequest) }

// lookHost looks whether an agent serves some hosts only. Once may be chance: the next ping
// must be served again.
func lookHost(o *Observation) outcome {
	if misdirected := some(o.Pings, isMisdirected); len(misdirected) > 0 {
		return seenOutcome("%s; Host was %s", among(misdirected, o.Pings), misdirected[0].Host).as(Error)
	}
	if o.Otherwise == nil || o.Pings[0].Answer.Failure != "" {
		return unchecked("the first ping was not answered as it should be")
	}
	other, first := *o.Otherwise, o.Pings[0]
	if refusesHost(other, first) && refusesHost(other, o.Pings[min(1, len(o.Pings)-1)]) {
		return seenOutcome("%s is answered with %d if Host is %s, and is served if it is %s", o.Question, other.Code, other.Host, first.Host)
	}
	return outcome{}
}
