package agentruntime_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// invokeApp invokes without a network, where time is synctest's.
func invokeApp(t *testing.T, app *agentruntime.App) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	app.Handler().ServeHTTP(recorder,
		httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/invocations", strings.NewReader(`{}`)))
	return recorder
}

func TestDrain(t *testing.T) {
	wait := func(d time.Duration) func(context.Context) error {
		return func(context.Context) error { time.Sleep(d); return nil }
	}
	untilTold := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	in := func(fn func(context.Context) error) func(context.Context, *agentruntime.App) {
		return func(ctx context.Context, app *agentruntime.App) { app.Go(ctx, "t", fn) }
	}
	forget := func(names ...string) func(context.Context, *agentruntime.App) {
		return func(_ context.Context, app *agentruntime.App) {
			for _, name := range names {
				app.AddAsyncTask(name, nil)
			}
		}
	}
	for name, row := range map[string]struct {
		work func(context.Context, *agentruntime.App)
		told string // by the operator
		took time.Duration
		err  string
	}{
		"a longer grace":   {work: in(untilTold), told: "600", took: 8 * time.Minute},
		"no such grace":    {work: in(untilTold), told: "-600", took: 12 * time.Second},
		"nothing runs":     {work: func(context.Context, *agentruntime.App) {}},
		"ends by itself":   {work: in(wait(5 * time.Second)), took: 5 * time.Second},
		"ends when told":   {work: in(untilTold), took: 12 * time.Second},
		"does not listen":  {work: in(wait(time.Hour)), took: 14 * time.Second, err: "stopped with work unfinished: task t"},
		"forgotten":        {work: forget("f"), took: 14 * time.Second, err: "stopped with work unfinished: task f"},
		"forgotten in two": {work: forget("f", "e"), took: 14 * time.Second, err: "stopped with work unfinished: task e, task f"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AGENTSESSION_TERMINATION_GRACE_PERIOD", row.told)
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				app, _ := newApp(agentruntime.Options{})
				row.work(t.Context(), app)
				start := time.Now()
				err := app.Drain()
				g.Expect(time.Since(start)).To(Equal(row.took))
				if row.err == "" {
					g.Expect(err).NotTo(HaveOccurred())
				} else {
					g.Expect(err).To(MatchError(agentruntime.ErrUnfinished))
					g.Expect(err).To(MatchError(row.err))
				}
				time.Sleep(2 * time.Hour) // for what does not listen
			})
		})
	}
}

func TestDrainInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, _ := newApp(agentruntime.Options{GracePeriod: 30 * time.Second})
		app.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
			<-ctx.Done()
			app.Go(ctx, "after the cut", func(ctx context.Context) error { return ctx.Err() })
			return nil, context.Cause(ctx)
		})
		running := make(chan *httptest.ResponseRecorder)
		go func() { running <- invokeApp(t, app) }()
		synctest.Wait()
		start := time.Now()
		drained := make(chan error)
		go func() { drained <- app.Drain() }()
		synctest.Wait()

		refused := invokeApp(t, app)
		g.Expect(refused.Code).To(Equal(http.StatusServiceUnavailable))
		g.Expect(refused.Body.String()).To(Equal(`{"error":"The agent is stopping"}`))
		g.Expect(pingOf(t, app).Status).To(Equal("Healthy"), "pings are still answered")

		g.Expect((<-running).Body.String()).To(Equal(`{"error":"the agent is stopping"}`))
		g.Expect(<-drained).To(Succeed())
		g.Expect(time.Since(start)).To(Equal(24 * time.Second))
		g.Expect(app.Drain()).To(Succeed(), "again")
	})
}

func TestServe(t *testing.T) {
	g := NewWithT(t)
	app, log := newApp(agentruntime.Options{GracePeriod: time.Minute})
	entered, release := make(chan struct{}), make(chan struct{})
	app.Entrypoint(func(context.Context, agentruntime.Request) (any, error) {
		close(entered)
		<-release
		return "done", nil
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	a := &agent{App: app, url: "http://" + listener.Addr().String(), log: log}
	ctx, stop := context.WithCancel(t.Context())
	served, answers := make(chan error, 1), make(chan answer, 1)
	go func() { served <- app.Serve(ctx, listener) }()
	go func() { answers <- a.invoke(t, `{}`) }()

	g.Eventually(entered).Should(BeClosed())
	stop()
	g.Eventually(log.String).Should(ContainSubstring("Agent stopping"))
	g.Expect(a.invoke(t, `{}`).code).To(Equal(http.StatusServiceUnavailable))
	g.Expect(a.ping(t).Status).To(Equal("Healthy"))
	close(release)
	var what answer
	g.Eventually(answers).Should(Receive(&what))
	g.Expect(what.body).To(Equal(`"done"`), "what ran is finished")
	g.Eventually(served).Should(Receive(BeNil()))
	_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	g.Expect(err).To(HaveOccurred(), "no longer listens")
	g.Expect(strings.Count(log.String(), "Agent stopping")).To(Equal(1))
}

func TestRunErrors(t *testing.T) {
	g := NewWithT(t)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "0.0.0.0:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = taken.Close() }()
	app, _ := newApp(agentruntime.Options{Addr: taken.Addr().String()})
	g.Expect(app.Run(t.Context())).To(MatchError(ContainSubstring("listen: ")))

	g.Expect(taken.Close()).To(Succeed())
	g.Expect(app.Serve(t.Context(), taken)).To(MatchError(ContainSubstring("serve: ")))
}

// Streams and WebSockets are told like all the rest, and Drain waits for them.
func TestDrainEndsStreamsAndWebSockets(t *testing.T) {
	g := NewWithT(t)
	a := newAgentWith(t, agentruntime.Options{GracePeriod: 15 * time.Second}) // 2 s from when it is told on
	a.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		return agentruntime.Stream(func(yield func(any, error) bool) {
			yield("first", nil)
			<-ctx.Done()
			yield(nil, context.Cause(ctx))
		}), nil
	})
	read := make(chan error, 1)
	a.WebSocket(func(ctx context.Context, conn *websocket.Conn) error {
		_, _, err := conn.Read(ctx)
		read <- context.Cause(ctx)
		return err
	})
	stream := bufio.NewReader(a.begin(t.Context(), t, `{}`).Body)
	g.Expect(stream.ReadString('\n')).To(Equal("data: \"first\"\n"))
	conn, _, err := a.dial(t, nil)
	g.Expect(err).NotTo(HaveOccurred())

	drained := make(chan error, 1)
	go func() { drained <- a.Drain() }()
	rest, err := io.ReadAll(stream)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(rest)).To(HavePrefix("\ndata: {\"error\":\"the agent is stopping\","))
	_, _, err = conn.Read(t.Context())
	g.Expect(err).To(HaveOccurred())
	g.Eventually(read).Should(Receive(MatchError(agentruntime.ErrStopping)))
	g.Eventually(drained).Should(Receive(BeNil()))
}
