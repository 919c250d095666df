package agentruntime_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

const fellBack = "Custom ping handler failed, falling back to automatic"

func saying(status agentruntime.Status) agentruntime.PingHandler {
	return func(context.Context) (agentruntime.Status, error) { return status, nil }
}

func TestCheck27ForcedAboveCustom(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	a.PingHandler(saying(agentruntime.Healthy))
	a.AddAsyncTask("t", nil)
	g.Expect(a.ping(t).Status).To(Equal("Healthy"), "custom above automatic")
	a.ForcePingStatus(agentruntime.HealthyBusy)
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"))
	g.Expect(a.GetCurrentPingStatus()).To(Equal(agentruntime.HealthyBusy))
	a.ClearForcedPingStatus()
	g.Expect(a.ping(t).Status).To(Equal("Healthy"))
	a.PingHandler(nil)
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"), "automatic again")
}

// A handler that fails, in whatever way, leaves the status to the tasks, within
// 100 ms, and is logged once per change and not once per ping.
func TestCheck28And29FailingPingHandler(t *testing.T) {
	var app *agentruntime.App
	for name, row := range map[string]struct {
		handler agentruntime.PingHandler
		log     string
	}{
		"junk":    {saying("some_status"), `not a status of the contract: \"some_status\"`},
		"nothing": {saying(""), `not a status of the contract: \"\"`},
		"error":   {func(context.Context) (agentruntime.Status, error) { return "HealthyBusy", errors.New("no database") }, "no database"},
		"panic":   {func(context.Context) (agentruntime.Status, error) { panic("boom") }, "panic: boom"},
		"goexit":  {func(context.Context) (agentruntime.Status, error) { runtime.Goexit(); return "", nil }, "Goexit"},
		"blocks":  {func(context.Context) (agentruntime.Status, error) { time.Sleep(time.Hour); return "", nil }, "no answer within 80ms"},
		"obeys": {func(ctx context.Context) (agentruntime.Status, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}, "80ms"},
		"recurses": {func(context.Context) (agentruntime.Status, error) {
			return app.GetCurrentPingStatus(), nil
		}, "it calls GetCurrentPingStatus"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				var log *lines
				app, log = newApp(agentruntime.Options{})
				app.PingHandler(row.handler)
				for range 10 {
					asked := time.Now()
					g.Expect(pingOf(t, app).Status).To(Equal("Healthy"))
					g.Expect(time.Since(asked)).To(BeNumerically("<", 100*time.Millisecond))
					time.Sleep(2 * time.Second)
				}
				id := app.AddAsyncTask("t", nil)
				g.Expect(pingOf(t, app).Status).To(Equal("HealthyBusy"), "automatic")
				g.Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.HealthyBusy))
				app.CompleteAsyncTask(id)
				g.Expect(pingOf(t, app).Status).To(Equal("Healthy"), "and nothing sticks")
				g.Expect(strings.Count(log.String(), fellBack)).To(Equal(1))
				g.Expect(log.String()).To(ContainSubstring(row.log))
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func TestPingHandlerThatRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, log := newApp(agentruntime.Options{})
		var err error
		app.PingHandler(func(context.Context) (agentruntime.Status, error) { return agentruntime.HealthyBusy, err })
		for n := range 3 {
			err = errors.New(strings.Repeat("x", n)) // another text, and no other fault
			g.Expect(pingOf(t, app).Status).To(Equal("Healthy"))
		}
		err = nil
		for range 3 {
			g.Expect(pingOf(t, app).Status).To(Equal("HealthyBusy"))
		}
		g.Expect(strings.Count(log.String(), fellBack)).To(Equal(1))
		g.Expect(strings.Count(log.String(), "Custom ping handler works again")).To(Equal(1))
		err = errors.New("again")
		pingOf(t, app)
		g.Expect(strings.Count(log.String(), fellBack)).To(Equal(2))
	})
}

// Python stamps when a ping sees the flip, TypeScript never.
func TestCheck30CustomStatusIsStamped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, _ := newApp(agentruntime.Options{})
		made := time.Now().Unix()
		status := agentruntime.Healthy
		app.PingHandler(func(context.Context) (agentruntime.Status, error) { return status, nil })
		time.Sleep(2 * time.Second)
		g.Expect(pingOf(t, app)).To(Equal(pinged{"Healthy", made}))
		status = agentruntime.HealthyBusy
		time.Sleep(2 * time.Second)
		flipped := time.Now().Unix()
		for range 3 {
			g.Expect(pingOf(t, app)).To(Equal(pinged{"HealthyBusy", flipped}))
			time.Sleep(2 * time.Second)
		}
	})
}

// A handler that hangs costs one goroutine, and the pings after the first do
// not wait for it.
func TestPingHandlerThatHangsIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, _ := newApp(agentruntime.Options{})
		var calls atomic.Int32
		release := make(chan struct{})
		app.PingHandler(func(context.Context) (agentruntime.Status, error) {
			calls.Add(1)
			<-release
			return agentruntime.HealthyBusy, nil
		})
		pingOf(t, app)
		for range 5 {
			asked := time.Now()
			g.Expect(pingOf(t, app).Status).To(Equal("Healthy"))
			g.Expect(time.Since(asked)).To(BeZero())
			time.Sleep(2 * time.Second)
		}
		g.Expect(calls.Load()).To(BeEquivalentTo(1))
		close(release)
		synctest.Wait()
		g.Expect(pingOf(t, app).Status).To(Equal("HealthyBusy"), "and is asked again once it is back")
		g.Expect(calls.Load()).To(BeEquivalentTo(2))
	})
}

func TestPingHandlerReplacedWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, _ := newApp(agentruntime.Options{})
		release := make(chan struct{})
		app.PingHandler(func(context.Context) (agentruntime.Status, error) {
			<-release
			return agentruntime.HealthyBusy, nil
		})
		go app.GetCurrentPingStatus()
		synctest.Wait()
		app.PingHandler(saying(agentruntime.Healthy))
		g.Expect(pingOf(t, app).Status).To(Equal("Healthy"))
		close(release)
		synctest.Wait()
		g.Expect(pingOf(t, app).Status).To(Equal("Healthy"), "the old handler's answer does not count")
	})
}

func TestAutomaticPingStatus(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	a.PingHandler(a.AutomaticPingStatus)
	id := a.AddAsyncTask("t", nil)
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"))
	a.CompleteAsyncTask(id)
	g.Expect(a.ping(t).Status).To(Equal("Healthy"))
}

func TestBusyWhileInvoking(t *testing.T) {
	for _, option := range []bool{false, true} {
		want := map[bool]string{false: "Healthy", true: "HealthyBusy"}[option] // 36: off as in AWS's SDKs
		g := NewWithT(t)
		a := newAgentWith(t, agentruntime.Options{BusyWhileInvoking: option})
		begun, finish := make(chan struct{}), make(chan struct{})
		letGo := sync.OnceFunc(func() { close(finish) })
		t.Cleanup(letGo) // or the server would wait for it
		a.Entrypoint(func(context.Context, agentruntime.Request) (any, error) {
			close(begun)
			<-finish
			return nil, nil
		})
		done := make(chan answer, 1)
		go func() { done <- a.invoke(t, `{}`) }()
		g.Eventually(begun).Should(BeClosed())
		g.Expect(a.ping(t).Status).To(Equal(want))
		letGo()
		var invoked answer
		g.Eventually(done).Should(Receive(&invoked))
		g.Expect(invoked.code).To(Equal(200))
		g.Eventually(func() string { return a.ping(t).Status }).Should(Equal("Healthy"))
	}
}
