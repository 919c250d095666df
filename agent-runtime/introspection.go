package agentruntime

import (
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
)

// shownTasks is how many tasks GET /tasks lists, the oldest: those that matter
// to somebody who looks for what is stuck.
const shownTasks = 100

// insiders lets only those ask who may.
func (a *App) insiders(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.inside(r) {
			code, body := errorAnswer(errOutside)
			a.write(r.Context(), w, code, body)
			return
		}
		serve(w, r)
	}
}

var errOutside = &HTTPError{
	Code:    http.StatusForbidden,
	Message: "Forbidden",
	Details: "asked from outside the pod's network without the agent's token",
}

// inside tells whether a request has the token, or comes from inside the pod's
// network and not through a proxy there, which would speak for others.
func (a *App) inside(r *http.Request) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && a.options.Token != "" &&
		subtle.ConstantTimeCompare([]byte(token), []byte(a.options.Token)) == 1 {
		return true
	}
	for _, proxied := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(proxied) != "" {
			return false
		}
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	// Not all of 127.0.0.0/8: Istio's sidecar hands on requests from 127.0.0.6.
	address := from.Addr().Unmap()
	return address == netip.IPv6Loopback() || address == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func (a *App) serveTasks(w http.ResponseWriter, r *http.Request) {
	info := a.TaskInfo()
	info.RunningJobs = info.RunningJobs[:min(len(info.RunningJobs), shownTasks)]
	body, err := encode(info)
	if err != nil { // for want of metadata that can be encoded
		for i := range info.RunningJobs {
			info.RunningJobs[i].Metadata = nil
		}
		body = must(encode(info))
	}
	a.write(r.Context(), w, http.StatusOK, body)
}

func (a *App) serveEvents(w http.ResponseWriter, r *http.Request) {
	events := a.journal.last()
	body, err := encode(map[string]any{"events": events})
	if err != nil { // for want of attributes that can be encoded
		for i := range events {
			events[i].Attrs = nil
		}
		body = must(encode(map[string]any{"events": events}))
	}
	a.write(r.Context(), w, http.StatusOK, body)
}
