package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/caller"
)

// visit runs a dashboard, and returns what gets of its page as a browser would that opened
// the address that was printed.
func (d *desk) visit(args ...string) (base string, browser *http.Client) {
	d.t.Helper()
	from, to := io.Pipe()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(d.t.Context())
	go func() {
		ended <- d.command(to, io.Discard, append([]string{"dashboard"}, args...)...).ExecuteContext(ctx)
		to.Close()
	}()
	d.t.Cleanup(func() {
		cancel()
		d.Expect(<-ended).To(Succeed())
	})
	line, err := bufio.NewReader(from).ReadString('\n')
	d.Expect(err).NotTo(HaveOccurred())
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "The page is here: ")
	d.Expect(ok).To(BeTrue(), line)
	jar, err := cookiejar.New(nil)
	d.Expect(err).NotTo(HaveOccurred())
	browser = &http.Client{Jar: jar}
	code, text := d.fetch(browser, http.MethodGet, address)
	d.Expect(code).To(Equal(http.StatusOK), text)
	d.Expect(text).To(ContainSubstring("<!doctype html>"))
	base, _, _ = strings.Cut(address, "/?")
	return base, browser
}

func (d *desk) fetch(browser *http.Client, method, url string) (int, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, url, strings.NewReader(`{"a":1}`))
	d.Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Origin", "http://"+r.URL.Host)
	r.Header.Set("X-AgentSession", "1")
	response, err := browser.Do(r)
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
	base, browser := d.visit()
	code, text := d.fetch(browser, http.MethodGet, base+"/api/sessions/default/idle")
	d.Expect(code).To(Equal(http.StatusOK), text)
	d.Expect(text).To(And(ContainSubstring(`"state":"Idle"`), ContainSubstring("kubectl agentsession --kubeconfig "+d.kubeconfig+" stop idle -n default")))
	code, text = d.fetch(browser, http.MethodPost, base+stop)
	d.Expect(code).To(Equal(http.StatusForbidden))
	d.Expect(text).To(ContainSubstring("--write"))

	base, browser = d.visit("-A", "--write")
	code, text = d.fetch(browser, http.MethodPost, base+invoke)
	d.Expect(code).To(Equal(http.StatusBadGateway), "the verb's own refusal")
	d.Expect(text).To(ContainSubstring("has no compute"))
	code, text = d.fetch(browser, http.MethodPost, base+stop)
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
	l := start(t, "--auth", "sigv4", "-o", "json")
	l.sign = func(r *http.Request, _ []byte) {
		l.Expect(caller.Sign(r, l.first.AccessKeyID, l.first.SecretAccessKey)).To(Succeed())
	}
	l.call("seen", "")
	var list v1alpha1.AgentSessionList
	l.Expect(l.sessions.List(t.Context(), &list)).To(Succeed())
	l.Expect(list.Items).To(HaveLen(1))
	d := &desk{WithT: l.WithT, t: t}
	jar, err := cookiejar.New(nil)
	l.Expect(err).NotTo(HaveOccurred())
	browser := &http.Client{Jar: jar}
	code, text := d.fetch(browser, http.MethodGet, l.first.Page)
	l.Expect(code).To(Equal(http.StatusOK), text)
	base, _, _ := strings.Cut(l.first.Page, "/?")
	session := base + "/api/sessions/default/" + list.Items[0].Name
	code, text = d.fetch(browser, http.MethodGet, session)
	l.Expect(code).To(Equal(http.StatusOK), text)
	l.Expect(text).To(And(ContainSubstring(id("seen")), ContainSubstring("agentsession --kubeconfig "+l.kubeconfig+" stop ")))
	code, text = d.fetch(browser, http.MethodPost, session+"/invoke")
	l.Expect(code).To(Equal(http.StatusOK))
	l.Expect(text).To(ContainSubstring(`"calls":2`))
	code, text = d.fetch(browser, http.MethodPost, session+"/stop")
	l.Expect(code).To(Equal(http.StatusOK), text)
	l.becomes("seen", v1alpha1.StateStopped)
}
