package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/gomega"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// tries are what a page of another origin may try against ours. Each is what it got to know,
// or undefined.
var tries = map[string]string{
	"read the stream":    `fetch(OURS + "api/stream", {credentials: "include"}).then((r) => r.text())`,
	"read a session":     `fetch(OURS + "api/sessions/default/victim", {credentials: "include"}).then((r) => r.text())`,
	"read the page":      `fetch(OURS, {credentials: "include"}).then((r) => r.text())`,
	"an event source":    `new Promise((done) => { const s = new EventSource(OURS + "api/stream", {withCredentials: true}); s.addEventListener("hello", (e) => done(e.data)); s.onerror = () => { s.close(); done() } })`,
	"run its scripts":    `new Promise((done) => { const s = document.createElement("script"); s.src = OURS + "assets/app.js"; s.onload = () => done("loaded"); s.onerror = () => done(); document.body.append(s) })`,
	"use its style":      `new Promise((done) => { const s = document.createElement("link"); s.rel = "stylesheet"; s.href = OURS + "assets/app.css"; s.onload = () => done("loaded"); s.onerror = () => done(); document.body.append(s) })`,
	"frame it":           `new Promise((done) => { const f = document.createElement("iframe"); f.src = OURS; f.onload = () => { try { done(f.contentDocument?.body?.innerText) } catch { done() } }; document.body.append(f) })`,
	"stop a session":     `fetch(OURS + "api/sessions/default/victim/stop", {method: "POST", mode: "no-cors", credentials: "include"}).then((r) => r.type === "opaque" ? undefined : "answered")`,
	"stop with a header": `fetch(OURS + "api/sessions/default/victim/stop", {method: "POST", credentials: "include", headers: {"X-AgentSession": "1"}}).then((r) => r.text())`,
	"stop by a form":     `new Promise((done) => { const i = document.createElement("iframe"); i.name = "into"; const f = document.createElement("form"); f.method = "post"; f.action = OURS + "api/sessions/default/victim/stop"; f.target = "into"; document.body.append(i, f); i.onload = () => { try { done(i.contentDocument?.body?.innerText) } catch { done() } }; f.submit() })`,
}

// TestOtherOrigin has a page of another origin get nothing from ours, in a browser that has
// ours open: neither one of another site (localhost) nor one of the same site, which is
// another port of the same host. The other server is sent nothing of ours either.
func TestOtherOrigin(t *testing.T) {
	c := newCluster(t)
	victim, err := c.session(t.Context(), "victim", "research")
	c.Expect(err).NotTo(HaveOccurred())
	page, err := url.Parse(c.dashboard("-A", "--write"))
	c.Expect(err).NotTo(HaveOccurred())
	heard := make(chan string, 1000)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- fmt.Sprint(r.URL, r.Header)
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<!doctype html><title>another</title><body>")
	}))
	t.Cleanup(other.Close)
	for _, site := range []string{other.URL, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)} {
		t.Run(site, func(t *testing.T) {
			b := newBrowser(t, light)
			b.do(chromedp.Navigate(page.String()))
			b.sees(`document.querySelector(".body .row")`)
			var status int
			b.is(`fetch("./api/sessions/default/victim", {headers: {Authorization: "Bearer " + localStorage.getItem("agentsession-token")}}).then((r) => r.status)`, &status)
			b.Expect(status).To(Equal(http.StatusOK), "the page itself may")
			b.is(`fetch("./api/sessions/default/victim").then((r) => r.status)`, &status)
			b.Expect(status).To(Equal(http.StatusForbidden), "the browser adds nothing by itself")
			var address string
			b.is(`location.href`, &address)
			b.Expect(address).NotTo(ContainSubstring("token"))

			b.do(chromedp.Navigate(site))
			b.sees(`document.title === "another"`)
			for name, try := range tries {
				var got *string
				b.is(strings.ReplaceAll("("+try+").catch(() => undefined)", "OURS", fmt.Sprintf("%q", "http://"+page.Host+"/")), &got)
				b.Expect(got).To(Or(BeNil(), HaveValue(BeEmpty())), name)
			}
			now := &v1alpha1.AgentSession{}
			b.Expect(c.api.Get(t.Context(), kube.ObjectKey{Namespace: kubeapi.Namespace, Name: victim.Name}, now)).To(Succeed())
			b.Expect(now.ResourceVersion).To(Equal(victim.ResourceVersion), "nobody has written to it")
			b.Expect(heard).NotTo(BeEmpty())
			_, token, _ := strings.Cut(page.Fragment, "token=")
			for len(heard) > 0 {
				b.Expect(<-heard).NotTo(Or(ContainSubstring("Cookie"), ContainSubstring("Authorization"), ContainSubstring(token)))
			}
		})
	}
}
