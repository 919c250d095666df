package agentruntime_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

func TestCheck20To23Tasks(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	one, two := a.AddAsyncTask("one", nil), a.AddAsyncTask("two", nil)
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"))
	g.Expect(a.CompleteAsyncTask(one)).To(BeTrue())
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"), "23: one is left")
	g.Expect(a.CompleteAsyncTask(one)).To(BeFalse(), "21: twice")
	g.Expect(strings.Count(a.log.String(), `"WARN"`)).To(Equal(1))
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"))
	g.Expect(a.CompleteAsyncTask(two)).To(BeTrue())
	g.Expect(a.ping(t).Status).To(Equal("Healthy"), "20")
	for _, unknown := range []agentruntime.TaskID{0, -1, two + 1, math.MaxInt64, math.MinInt64} {
		g.Expect(a.CompleteAsyncTask(unknown)).To(BeFalse(), "22")
	}
}

func TestCheck31TaskInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, _ := newApp(agentruntime.Options{})
		g.Expect(json.Marshal(app.TaskInfo())).To(MatchJSON(`{"active_count":0,"running_jobs":[]}`))

		metadata := map[string]any{"file": "a.txt"}
		app.AddAsyncTask("read", metadata)
		metadata["file"] = "changed by the caller"
		time.Sleep(1500 * time.Millisecond)
		app.AddAsyncTask("write", nil)
		info := app.TaskInfo()
		g.Expect(json.Marshal(info)).To(MatchJSON(`{"active_count":2,"running_jobs":[
			{"name":"read","duration":1.5,"id":1,"metadata":{"file":"a.txt"}},
			{"name":"write","duration":0,"id":2}]}`))
		info.RunningJobs[0].Metadata["file"] = "changed by the reader"
		g.Expect(app.TaskInfo().RunningJobs[0].Metadata).To(HaveKeyWithValue("file", "a.txt"))
	})
}

func TestCheck32AsyncTask(t *testing.T) {
	boom := errors.New("boom")
	for name, row := range map[string]struct {
		fn   func(context.Context) error
		want types.GomegaMatcher
		log  string
	}{
		"success": {func(context.Context) error { return nil }, BeNil(), `"Async task completed"`},
		"error":   {func(context.Context) error { return boom }, MatchError(boom), `"errorMessage":"boom"`},
		"panic":   {func(context.Context) error { panic("boom") }, MatchError("panic: boom"), `"stackTrace":"goroutine`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				app, log := newApp(agentruntime.Options{})
				during := agentruntime.Healthy
				fn := func(ctx context.Context) error {
					during = app.GetCurrentPingStatus()
					time.Sleep(1500 * time.Millisecond)
					return row.fn(ctx)
				}
				g.Expect(app.AsyncTask(t.Context(), "t", fn)).To(row.want)
				g.Expect(during).To(Equal(agentruntime.HealthyBusy))
				g.Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.Healthy))
				g.Expect(log.String()).To(And(ContainSubstring(row.log), ContainSubstring(`"duration":1.5`)))

				app.Go(t.Context(), "t", fn)
				g.Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.HealthyBusy), "noted before Go returns")
				time.Sleep(2 * time.Second)
				g.Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.Healthy))
			})
		})
	}
}

func TestGoexitInATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := newApp(agentruntime.Options{})
		app.Go(t.Context(), "t", func(context.Context) error {
			runtime.Goexit()
			return nil
		})
		synctest.Wait()
		NewWithT(t).Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.Healthy))
	})
}

func TestContextOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, _ := newApp(agentruntime.Options{})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("too long"))
		defer cancel()
		err := app.AsyncTask(ctx, "t", func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		g.Expect(err).To(MatchError("too long"))
	})
}

func TestCheck35Goroutines(t *testing.T) {
	g := NewWithT(t)
	app, _ := newApp(agentruntime.Options{})
	var all sync.WaitGroup
	for n := range 10_000 {
		all.Go(func() {
			id := app.AddAsyncTask("t", map[string]any{"a": 1})
			if n%100 == 0 {
				_ = app.TaskInfo() // costs as much as there are tasks
			}
			app.ForcePingStatus(app.GetCurrentPingStatus())
			app.ClearForcedPingStatus()
			if !app.CompleteAsyncTask(id) {
				t.Error("an own task was unknown")
			}
		})
	}
	all.Wait()
	g.Expect(app.TaskInfo().ActiveCount).To(BeZero())
	g.Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.Healthy))
}

func TestCheck36InvocationAloneIsNotBusy(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	a.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		alone := a.ping(t).Status
		err := a.AsyncTask(ctx, "t", func(context.Context) error {
			alone += " " + a.ping(t).Status
			return nil
		})
		return alone, err
	})
	g.Expect(a.invoke(t, `{}`).body).To(Equal(`"Healthy HealthyBusy"`))
	g.Expect(a.ping(t).Status).To(Equal("Healthy"))
}

func TestMaxDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, log := newApp(agentruntime.Options{})
		max := agentruntime.MaxDuration(time.Minute)

		err := app.AsyncTask(t.Context(), "obeys", func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, max)
		g.Expect(err).To(MatchError(agentruntime.ErrTaskTimeout))
		app.Go(t.Context(), "deaf", func(context.Context) error {
			time.Sleep(2 * time.Minute)
			return nil
		}, max)
		forgotten := app.AddAsyncTask("forgotten", nil, max)
		inTime := app.AddAsyncTask("in time", nil, max)
		for _, none := range []time.Duration{0, -time.Second} {
			app.CompleteAsyncTask(app.AddAsyncTask("no limit", nil, agentruntime.MaxDuration(none)))
		}
		g.Expect(app.CompleteAsyncTask(inTime)).To(BeTrue())

		time.Sleep(time.Minute + time.Second)
		g.Expect(app.TaskInfo().RunningJobs).To(ConsistOf(HaveField("Name", "deaf")), "which does go on")
		g.Expect(app.CompleteAsyncTask(forgotten)).To(BeFalse())
		g.Expect(strings.Count(log.String(), "ran for longer than its maximum duration and is no longer waited for")).To(Equal(1))
		time.Sleep(time.Minute)
		g.Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.Healthy))
	})
}
