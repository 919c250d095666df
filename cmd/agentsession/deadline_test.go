package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
)

// silent is an API server that takes requests and never answers.
func silent(t *testing.T) string {
	t.Helper()
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		close(over)
		server.Close()
	})
	return server.URL
}

// TestASilentServer: no command waits for ever, and each says what it waited for.
func TestASilentServer(t *testing.T) {
	at := silent(t)
	d := &desk{WithT: NewWithT(t), t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	d.Expect(os.WriteFile(d.kubeconfig, nil, 0o600)).To(Succeed())
	for _, verb := range []string{"list", "list x", "describe x", "explain x", "explain runtime/x", "watch", "logs x", "tasks x", "invoke x --payload {}", "stop x", "wake --state Stopped"} {
		_, _, err := d.run(append([]string{"--server", at, "--request-timeout", "100ms"}, strings.Fields(verb)...)...)
		d.Expect(err).To(MatchError(MatchRegexp(`^the cluster at `+at+`: GET /apis/\S+ was not answered in 100ms: .* --request-timeout`)), verb)
	}
	_, _, err := d.run("--request-timeout", "soon", "list", "--server", at)
	d.Expect(err).To(MatchError(ContainSubstring(`--request-timeout is "soon": `)))
}

// TestTheDeadlineIsThereUnasked, and help shows it.
func TestTheDeadlineIsThereUnasked(t *testing.T) {
	d := newDesk(t)
	c := newConnection("x")
	command := c.command()
	c.rules.ExplicitPath = d.kubeconfig
	to, err := c.connect(command)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(to.config.Timeout).To(BeZero(), "it would end watches")
	d.Expect(to.config.WrapTransport(nil).(*deadline).limit).To(Equal(30 * time.Second))
	out, _, err := d.run("list", "--help")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(MatchRegexp(`--request-timeout duration .*\(default "30s"\)`))
}

// TestTheDeadlineSparesStreams: what goes on for longer by its nature is bounded until it
// begins, and the rest to its end.
func TestTheDeadlineSparesStreams(t *testing.T) {
	const limit = 200 * time.Millisecond
	first, last := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("follow") == "true" {
			<-first
		}
		w.(http.Flusher).Flush()
		select {
		case <-last:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "whole")
	}))
	server.EnableHTTP2 = true // as API servers speak it
	server.StartTLS()
	defer server.Close()
	client, err := rest.HTTPClientFor(limited(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, Timeout: time.Nanosecond}, limit))
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	type result struct{ path, text string }
	results := make(chan result)
	paths := []string{"/list", "/list?watch=true", "/pods/x/log", "/pods/x/log?follow=true"}
	for _, path := range paths {
		go func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
			var answer *http.Response
			if err == nil {
				answer, err = client.Do(request)
			}
			var text []byte
			if err == nil {
				text, err = io.ReadAll(answer.Body)
				_ = answer.Body.Close()
			}
			results <- result{path, fmt.Sprint(string(text), err)}
		}()
	}
	g.Eventually(results, patience).Should(Receive(Equal(result{"/list", (&unanswered{"GET /list", limit}).Error()})), "the others wait, the limit has passed")
	time.Sleep(limit)
	close(first)
	close(last)
	for range paths[1:] {
		g.Eventually(results, patience).Should(Receive(WithTransform(func(r result) string { return r.text }, Equal("whole<nil>"))))
	}
}
