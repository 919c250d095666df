package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
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

// TestTheDeadlineEndsAnAnswer that has begun, as API servers speak: over HTTP/2.
func TestTheDeadlineEndsAnAnswer(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	const limit = 200 * time.Millisecond
	client, err := rest.HTTPClientFor(limited(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, Timeout: time.Nanosecond}, limit))
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = textOf(t.Context(), client, server.URL+"/list")
	g.Expect(err).To(MatchError(ContainSubstring((&unanswered{"GET /list", limit}).Error())))
}

func textOf(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// slow answers with a body that takes its time, and to who follows a log only with it.
type slow struct{ takes time.Duration }

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("follow") == "true" {
		time.Sleep(s.takes)
	}
	body, write := io.Pipe()
	go func() {
		select {
		case <-time.After(s.takes):
			_, _ = io.WriteString(write, "whole")
			_ = write.Close()
		case <-r.Context().Done():
			_ = write.CloseWithError(r.Context().Err())
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
}

// TestTheDeadlineSparesStreams: what goes on for longer by its nature is bounded until it
// begins, and the rest to its end.
func TestTheDeadlineSparesStreams(t *testing.T) {
	for path, late := range map[string]bool{"/list": true, "/list?watch=true": false, "/pods/x/log": false, "/pods/x/log?follow=true": false} {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			client := &http.Client{Transport: &deadline{slow{time.Hour}, time.Second}}
			text, err := textOf(t.Context(), client, "http://cluster"+path)
			if late {
				g.Expect(err).To(MatchError((&unanswered{"GET " + path, time.Second}).Error()))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(text).To(Equal("whole"), path)
		})
	}
}
