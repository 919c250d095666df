package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/caller"
)

// browser is a browser that has the page of an address open.
type browser struct{ base, token string }

// visit runs a dashboard, and opens the address that it prints.
func (d *desk) visit(args ...string) browser {
	d.t.Helper()
	out, ended := &lineBuffer{}, make(chan error, 1)
	ctx, cancel := context.WithCancel(d.t.Context())
	go func() {
		ended <- d.command(out, io.Discard, append([]string{"dashboard"}, args...)...).ExecuteContext(ctx)
	}()
	d.t.Cleanup(func() {
		cancel()
		d.Eventually(ended, patience).Should(Receive(BeNil()))
	})
	d.Eventually(out.String, patience).Should(HaveSuffix("\n"))
	address, ok := strings.CutPrefix(strings.TrimSpace(out.String()), "The page is here: ")
	d.Expect(ok).To(BeTrue(), out.String())
	return d.open(address)
}

// open gets the page without the address's fragment, which browsers send to nobody. The page's
// scripts take the token out of it.
func (d *desk) open(address string) browser {
	d.t.Helper()
	base, token, ok := strings.Cut(address, "/#token=")
	d.Expect(ok).To(BeTrue(), address)
	code, text := d.fetch(browser{base: base}, http.MethodGet, "/")
	d.Expect(code).To(Equal(http.StatusOK), text)
	d.Expect(text).To(ContainSubstring("<!doctype html>"))
	return browser{base, token}
}

// fetch sends what the page's scripts would.
func (d *desk) fetch(b browser, method, path string) (int, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, b.base+path, strings.NewReader(`{"a":1}`))
	d.Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Origin", b.base)
	r.Header.Set("X-AgentSession", "1")
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	response, err := http.DefaultClient.Do(r)
	d.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	d.Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(text)
}

// TestDashboard serves the page with the user's rights, and stops sessions with --write only.
func TestDashboard(t *testing.T) {
	d := newDesk(t)
	d.fill()
	const stop, invoke = "/api/sessions/default/idle/stop", "/api/sessions/default/idle/invoke"
	page := d.visit()
	code, text := d.fetch(page, http.MethodGet, "/api/sessions/default/idle")
	d.Expect(code).To(Equal(http.StatusOK), text)
	d.Expect(text).To(And(ContainSubstring(`"state":"Idle"`), ContainSubstring("kubectl agentsession --kubeconfig "+d.kubeconfig+" stop idle -n default")))
	code, text = d.fetch(page, http.MethodPost, stop)
	d.Expect(code).To(Equal(http.StatusForbidden))
	d.Expect(text).To(ContainSubstring("--write"))

	page = d.visit("-A", "--write")
	code, text = d.fetch(page, http.MethodPost, invoke)
	d.Expect(code).To(Equal(http.StatusBadGateway), "the verb's own refusal")
	d.Expect(text).To(ContainSubstring("has no compute"))
	code, text = d.fetch(page, http.MethodPost, stop)
	d.Expect(code).To(Equal(http.StatusOK), text)
	d.Expect(d.session("idle").Spec.DesiredState).To(Equal(v1alpha1.DesiredStopped))
}

// TestDashboardsAddress: others are not let in by an oversight.
func TestDashboardsAddress(t *testing.T) {
	d := newDesk(t)
	for _, address := range []string{"0.0.0.0:0", "192.0.2.1:80", ":0", "example.com:80"} {
		_, _, err := d.run("dashboard", "--address", address)
		d.Expect(err).To(MatchError(ContainSubstring("not on loopback")), address)
	}
	_, _, err := d.run("dashboard", "--address", "127.0.0.1")
	d.Expect(err).To(MatchError(ContainSubstring("must be HOST:PORT")))
	_, _, err = d.run("dashboard", "--public-path", "x")
	d.Expect(err).To(MatchError(ContainSubstring("must begin and end with a slash")))
}

// TestThePageOfALaptop is where the tool says, and may act; also where calls are to be signed.
func TestThePageOfALaptop(t *testing.T) {
	t.Parallel()
	l := start(t, "--auth", "sigv4", "-o", "json")
	l.sign = func(r *http.Request, _ []byte) {
		l.Expect(caller.Sign(r, l.first.AccessKeyID, l.first.SecretAccessKey)).To(Succeed())
	}
	l.call("seen", "")
	var list v1alpha1.AgentSessionList
	l.Expect(l.sessions.List(t.Context(), &list)).To(Succeed())
	l.Expect(list.Items).To(HaveLen(1))
	d := &desk{WithT: l.WithT, t: t}
	page := d.open(l.first.Page)
	session := "/api/sessions/default/" + list.Items[0].Name
	code, text := d.fetch(page, http.MethodGet, session)
	l.Expect(code).To(Equal(http.StatusOK), text)
	l.Expect(text).To(And(ContainSubstring(id("seen")), ContainSubstring("agentsession --kubeconfig "+l.kubeconfig+" stop ")))
	code, text = d.fetch(page, http.MethodPost, session+"/invoke")
	l.Expect(code).To(Equal(http.StatusOK))
	l.Expect(text).To(ContainSubstring(`"calls":2`))
	code, text = d.fetch(page, http.MethodPost, session+"/stop")
	l.Expect(code).To(Equal(http.StatusOK), text)
	l.becomes("seen", v1alpha1.StateStopped)
}
