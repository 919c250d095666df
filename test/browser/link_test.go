package browser

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/gomega"
)

// TestConnectsAgain loses the server of a page that stands behind a proxy, under a path and a
// name of the proxy's. The page says so, and that it is back, by itself.
func TestConnectsAgain(t *testing.T) {
	g := NewWithT(t)
	c := newCluster(t)
	var down atomic.Bool
	var behind atomic.Pointer[httputil.ReverseProxy]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "The proxy finds no server.", http.StatusBadGateway)
			return
		}
		behind.Load().ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	t.Cleanup(proxy.CloseClientConnections)
	front, err := url.Parse(proxy.URL)
	g.Expect(err).NotTo(HaveOccurred())
	page, err := url.Parse(c.dashboard("-A", "--allow-host", front.Host, "--public-path", "/sessions/"))
	g.Expect(err).NotTo(HaveOccurred())
	behind.Store(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", page.Host
		r.Out.Host = r.In.Host
		r.Out.URL.Path = "/" + strings.TrimPrefix(r.In.URL.Path, "/sessions/")
	}})
	b := open(t, proxy.URL+"/sessions/#"+page.Fragment, light)
	c.scene(b)
	b.is(`window.born = 1`, new(int))

	down.Store(true)
	proxy.CloseClientConnections()
	b.sees(`document.querySelector(".link.down")?.innerText === "Reconnecting…" && document.querySelector("[role=alert]")?.innerText.includes("last known")`)
	b.sees(`document.querySelector("[role=alert]").innerText.includes("The proxy finds no server.")`)
	b.sees(`document.querySelector('.row[data-key$="research-late"]')`) // what is known stays
	b.accessible(light, "lost")

	s, err := c.session(t.Context(), "while-away", "research")
	g.Expect(err).NotTo(HaveOccurred())
	down.Store(false)
	b.do(chromedp.Evaluate[chromedp.Void](`dispatchEvent(new Event("online"))`)) // or after at most 15 s
	b.sees(`document.querySelector(".link.up") && !document.querySelector("[role=alert]")`)
	b.sees(`document.querySelector('.row[data-key$="` + s.Name + `"]')`)
	b.is(`window.born`, new(int))
}
