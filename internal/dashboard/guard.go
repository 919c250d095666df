package dashboard

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/agentsession/agentsession/internal/authn"
)

// policy is the page's Content-Security-Policy: nothing comes from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ownHeader is what a form of another site cannot send.
const ownHeader = "X-AgentSession"

// guard lets in who came by a host that is allowed, was not sent by another site, and has a token.
// The page's own files need none, since a browser that opens an address can show none.
func (d *Dashboard) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header())
		authn.CloseIfChunked(w, r)
		if r.Method != http.MethodGet && r.Method != http.MethodHead { // who is refused may keep its body
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // a recorder has none
		}
		if !d.hostAllowed(r.Host) {
			refuse(w, http.StatusForbidden, "this page is not served for the host of the request: open the address that was printed, or allow the host with --allow-host")
			return
		}
		own, ok := d.ownPath(r.URL.Path)
		if !ok {
			refuse(w, http.StatusNotFound, "there is nothing at this path")
			return
		}
		if why := foreign(r, own); why != "" {
			refuse(w, http.StatusForbidden, why)
			return
		}
		if own != "/" && !strings.HasPrefix(own, "/assets/") {
			if r, ok = d.admit(w, r); !ok {
				return
			}
		}
		at := *r.URL
		at.Path, at.RawPath = own, ""
		inner := r.Clone(r.Context())
		inner.URL = &at
		next.ServeHTTP(w, inner)
	})
}

func harden(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// hostAllowed refuses names that resolve here and are not ours: DNS can be made to say so of
// any name (DNS rebinding). A page for many has no need of that: a browser keeps what somebody
// has signed in with for the name at which he did.
func (d *Dashboard) hostAllowed(host string) bool {
	if d.Callers != nil {
		return true
	}
	host = strings.ToLower(host)
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if slices.ContainsFunc(d.Hosts, func(allowed string) bool {
		allowed = strings.ToLower(allowed)
		return allowed == host || allowed == name
	}) {
		return true
	}
	if host == d.at {
		return true
	}
	at, err := netip.ParseAddrPort(d.at)
	if err != nil || !at.Addr().IsLoopback() && !at.Addr().IsUnspecified() {
		return false
	}
	_, port, _ := net.SplitHostPort(d.at)
	return slices.Contains([]string{"localhost:" + port, "127.0.0.1:" + port, "[::1]:" + port}, host)
}

// ownPath is a path below the public one, which a proxy may leave on or take off.
func (d *Dashboard) ownPath(given string) (string, bool) {
	if rest, ok := strings.CutPrefix(given, d.PublicPath); ok {
		given = "/" + rest
	}
	return given, given == path.Clean(given) // others would be redirected, past the public path
}

// admit finds out who asks, by the token that he shows. Who shows none that is good is answered.
func (d *Dashboard) admit(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if d.Callers != nil {
		return d.admitCaller(w, r, token)
	}
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare([]byte(token), []byte(d.token)) == 1 {
		return r, true
	}
	refuse(w, http.StatusForbidden, "the token is missing or wrong: open the address that was printed at the start, with its token")
	return nil, false
}

// foreign says why a request for a path is taken for one that another site had sent; empty if it
// is not.
func foreign(r *http.Request, own string) string {
	const why = "the request was sent by another site"
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" && own != "/" {
		return why
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return ""
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	switch {
	case err != nil || origin.Host == "" || !strings.EqualFold(origin.Host, r.Host):
		return why + ": its Origin must be the page's own"
	case r.Header.Get(ownHeader) != "1":
		return "the header " + ownHeader + ": 1 is missing, which the page sends"
	}
	return ""
}

// refuse answers with a sentence.
func refuse(w http.ResponseWriter, code int, why string) {
	answer(w, code, map[string]string{"error": why})
}

func answer(w http.ResponseWriter, code int, what any) {
	text, err := json.Marshal(what)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(text) // who has gone reads nothing
}
