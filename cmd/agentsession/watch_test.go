package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// watching is a watch in a pipe that goes on until the test ends.
type watching struct{ out, said *lineBuffer }

func (d *desk) watch(args ...string) watching {
	w := watching{&lineBuffer{}, &lineBuffer{}}
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.command(w.out, w.said, append([]string{"watch"}, args...)...).ExecuteContext(ctx) }()
	d.t.Cleanup(func() {
		cancel()
		d.Eventually(ended, patience).Should(Receive(BeNil()))
	})
	return w
}

// TestWatchAwaitsWhatTimeBrings: a session that becomes what is meant without any change.
func TestWatchAwaitsWhatTimeBrings(t *testing.T) {
	d := newDesk(t)
	d.fill()
	var passed atomic.Int64
	d.clock = func() time.Time { return night.Add(time.Duration(passed.Load())) }
	w := d.watch("busy", "--busy-longer-than", "4h")
	first := d.watch("busy")
	d.Eventually(first.out.String, patience).Should(ContainSubstring("busy  Active"))
	d.Consistently(w.out.String, 2*beat).Should(BeEmpty())
	passed.Store(int64(2 * time.Hour))
	d.Eventually(w.out.String, patience).Should(HavePrefix("2026-11-29 05:00:00  busy  Active: "))
}

// TestWatchOfNone: who waits for a session that is not there is told so, once.
func TestWatchOfNone(t *testing.T) {
	d := newDesk(t)
	d.fill()
	w := d.watch("idle", "later")
	d.Eventually(w.said.String, patience).Should(Equal("there is no AgentSession \"later\" in namespace default yet: waiting for it\n"))
	s := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: "default"}, Spec: v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "echo"}}}
	d.Expect(d.client.Create(t.Context(), s)).To(Succeed())
	s.Status = d.session("idle").Status
	d.Expect(d.client.Status().Update(t.Context(), s)).To(Succeed())
	d.Eventually(w.out.String, patience).Should(ContainSubstring("later  Idle"))
	d.Expect(strings.Count(w.said.String(), "\n")).To(Equal(1))
}

// front is a way to the API that can be cut.
type front struct {
	*desk
	at     string
	server *http.Server
}

func (d *desk) front() *front {
	f := &front{desk: d, at: "127.0.0.1:0"}
	f.open()
	d.t.Cleanup(f.cut)
	return f
}

func (f *front) open() {
	f.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	f.Expect(err).NotTo(HaveOccurred())
	to, err := url.Parse(config.Host)
	f.Expect(err).NotTo(HaveOccurred())
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	proxy.Transport, err = rest.TransportFor(config)
	f.Expect(err).NotTo(HaveOccurred())
	var listener net.Listener
	f.Eventually(func() (err error) { // another may have its port for a moment
		listener, err = (&net.ListenConfig{}).Listen(f.t.Context(), "tcp", f.at)
		return err
	}, patience).Should(Succeed())
	f.at = listener.Addr().String()
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: patience}
	f.server = server
	go func() { _ = server.Serve(listener) }() // until it is cut
}

func (f *front) cut() { f.Expect(f.server.Close()).To(Succeed()) }

// TestWatchWithoutTheAPI: that it is away is said, that it is back too, and what went
// meanwhile.
func TestWatchWithoutTheAPI(t *testing.T) {
	d := newDesk(t)
	d.fill()
	f := d.front()
	w := d.watch("--server", "http://"+f.at)
	d.Eventually(w.out.String, patience).Should(And(ContainSubstring("idle  Idle"), ContainSubstring("busy  Active")))
	f.cut()
	d.Eventually(w.said.String, patience).Should(MatchRegexp(`^not connected since 03:00:00: dial tcp 127\.0\.0\.1:\d+: connect: connection refused; trying again\n$`))
	d.Expect(d.client.Delete(t.Context(), d.session("idle"))).To(Succeed())
	f.open()
	d.Eventually(w.said.String, patience).Should(HaveSuffix("; trying again\nconnected again at 03:00:00\n"))
	d.Eventually(w.out.String, patience).Should(HaveSuffix("2026-11-29 03:00:00  idle  deleted\n"))
	d.Expect(strings.Count(w.out.String(), "busy  Active")).To(Equal(1), "what says nothing new is no line")
	d.Expect(d.client.Delete(t.Context(), d.session("busy"))).To(Succeed())
	d.Eventually(w.out.String, patience).Should(HaveSuffix("  busy  deleted\n"), "it goes on")
}

// TestWhatATableTells above itself.
func TestWhatATableTells(t *testing.T) {
	g, out := NewWithT(t), &bytes.Buffer{}
	w := newWatcher(&cluster{namespace: "default", now: func() time.Time { return night }}, &selection{labels: labels.Everything(), names: []string{"busy", "later"}}, out, io.Discard)
	w.size = func() (int, int, error) { return 60, 24, nil }
	g.Expect(w.apply(watchUpdate{err: errors.New("x")})).NotTo(Succeed(), "the first must be had")
	all := samples(t)
	for _, f := range all {
		f.UID = types.UID(f.Name)
	}
	g.Expect(w.apply(watchUpdate{all: all})).To(Succeed())
	g.Expect(w.screen(60, 24)).To(HaveExactElements(
		"03:00:00  1 session in default namespace", `there is no AgentSession "later" in namespace default yet: w`, "", HavePrefix("NAME"), HavePrefix("busy")))
	g.Expect(w.apply(watchUpdate{})).To(Succeed())
	g.Expect(w.screen(60, 24)).NotTo(ContainElement(ContainSubstring("not connected")), "a watch ends now and then")
	g.Expect(w.apply(watchUpdate{err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused\x1b[2J")}})).To(Succeed())
	g.Expect(w.screen(60, 24)).To(ContainElement("not connected since 03:00:00: dial tcp: refused?[2J"))
	g.Expect(w.apply(watchUpdate{all: []found{}})).To(Succeed())
	g.Expect(w.screen(60, 24)).To(HaveExactElements("03:00:00  0 sessions in default namespace", ContainSubstring(`"busy"`), ContainSubstring(`"later"`), "", HavePrefix("NAME")))
	g.Expect(out.String()).To(BeEmpty())
}

// TestWatchInAPipe: a line for each thing that happens.
func TestWatchInAPipe(t *testing.T) {
	d := newDesk(t)
	d.fill()
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := &lineBuffer{}, make(chan error, 1)
	go func() {
		_, _, err := d.runUntil(ctx, out, "watch", "--runtime", "echo")
		ended <- err
	}()
	d.Eventually(out.String, patience).Should(And(
		ContainSubstring("2026-11-29 03:00:00  busy  Active: its agent says HealthyBusy for longer than it should\n"),
		ContainSubstring("research  Stopped: IdleTimeout, No work for 15m0s. Its next call starts it again\n"),
		ContainSubstring("idle  Idle: IdleTimeout at 03:10:00, unless it is called\n")))
	s := d.session("idle")
	s.Status.State, s.Status.NextStop = v1alpha1.StateActive, nil
	d.Expect(d.client.Status().Update(ctx, s)).To(Succeed())
	d.Eventually(out.String, patience).Should(HaveSuffix("  idle  Active: it was called\n"))
	s.Labels["touched"] = "true"
	d.Expect(d.client.Update(ctx, s)).To(Succeed())
	d.Expect(d.client.Delete(ctx, s)).To(Succeed())
	d.Eventually(out.String, patience).Should(HaveSuffix("  idle  Active: it was called\n2026-11-29 03:00:00  idle  deleted\n"))
	d.Expect(strings.Count(out.String(), "  idle  Active: ")).To(Equal(1), "what says nothing new is no line")
	d.Expect(out.String()).NotTo(ContainSubstring("exited"), "it is none of the runtime")
	cancel()
	d.Eventually(ended, patience).Should(Receive(BeNil()))
}

// TestWatchOfAState: a session that comes back to it is news again.
func TestWatchOfAState(t *testing.T) {
	d := newDesk(t)
	d.fill()
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := &lineBuffer{}, make(chan error, 1)
	go func() {
		_, _, err := d.runUntil(ctx, out, "watch", "research", "--state", "Stopped")
		ended <- err
	}()
	lines := func() int { return strings.Count(out.String(), "research  Stopped: IdleTimeout") }
	d.Eventually(lines, patience).Should(Equal(1))
	for _, state := range []v1alpha1.SessionState{v1alpha1.StateActive, v1alpha1.StateStopped} {
		s := d.session("research")
		s.Status.State = state
		d.Expect(d.client.Status().Update(ctx, s)).To(Succeed())
	}
	d.Eventually(lines, patience).Should(Equal(2))
	cancel()
	d.Eventually(ended, patience).Should(Receive(BeNil()))
}

// TestWatchInATerminal: a table that fits, drawn over the last one.
func TestWatchInATerminal(t *testing.T) {
	g, out := NewWithT(t), &bytes.Buffer{}
	width, height, at := 120, 24, night
	w := newWatcher(&cluster{namespace: "default", now: func() time.Time { return at }}, &selection{labels: labels.Everything()}, out, io.Discard)
	w.size = func() (int, int, error) { return width, height, nil }
	for _, f := range samples(t) {
		f.UID = types.UID(f.Name)
		w.take(watch.Added, f.AgentSession)
	}
	w.draw()
	at = at.Add(time.Second)
	w.draw()
	width, height = 40, 7
	w.draw()
	gone := samples(t)[0].AgentSession
	gone.UID = "busy"
	w.take(watch.Deleted, gone)
	width, height = 0, 0
	w.draw()
	expectGolden(t, "watch", strings.NewReplacer("\x1b", "ESC", "\r\n", "\n").Replace(out.String()))
	w.size = func() (int, int, error) { return 0, 0, errors.New("no terminal any more") }
	w.draw()
	g.Expect(w.screen(200, 1)).NotTo(BeEmpty())
}
