package agentruntime_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// A ping gives its handler so long, and tells the handler's context why.
const pingBudget = 80 * time.Millisecond

var errPingBudget = errors.New("the ping is over")

func TestThisMachine(t *testing.T) {
	g := NewWithT(t)
	h := agentruntime.AnyBusy(agentruntime.BusyAboveMemory(1), agentruntime.BusyAboveCPU(1))
	status, err := h(t.Context())
	if runtime.GOOS != "linux" {
		g.Expect(err).To(HaveOccurred())
		return
	}
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(status).To(Equal(agentruntime.Healthy))
}

func TestAnyBusyAndBusyWhile(t *testing.T) {
	is := func(busy bool, err error) agentruntime.PingHandler {
		return agentruntime.BusyWhile(func(context.Context) (bool, error) { return busy, err })
	}
	boom := errors.New("boom")
	yes, no, fails := is(true, nil), is(false, nil), is(true, boom)
	panics := func(context.Context) (agentruntime.Status, error) { panic("boom") }
	junk := func(context.Context) (agentruntime.Status, error) { return "Splendid", nil }
	for name, row := range map[string]struct {
		handlers []agentruntime.PingHandler
		want     agentruntime.Status
		err      string
	}{
		"none":             {nil, agentruntime.Healthy, ""},
		"all healthy":      {[]agentruntime.PingHandler{no, no}, agentruntime.Healthy, ""},
		"one busy":         {[]agentruntime.PingHandler{no, yes, no}, agentruntime.HealthyBusy, ""},
		"busy after error": {[]agentruntime.PingHandler{fails, yes}, agentruntime.HealthyBusy, ""},
		"error":            {[]agentruntime.PingHandler{no, fails, no}, "", "boom"},
		"panic":            {[]agentruntime.PingHandler{panics, no}, "", "panic: boom"},
		"junk":             {[]agentruntime.PingHandler{no, junk}, "", "Splendid"},
	} {
		g := NewWithT(t)
		got, err := agentruntime.AnyBusy(row.handlers...)(t.Context())
		if row.err != "" {
			g.Expect(err).To(MatchError(ContainSubstring(row.err)), name)
			continue
		}
		g.Expect(err).NotTo(HaveOccurred(), name)
		g.Expect(got).To(Equal(row.want), name)
	}
}

func TestSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		calls, takes, answer := 0, 50*time.Millisecond, agentruntime.Healthy
		h := agentruntime.Sampled(10*time.Second, func(ctx context.Context) (agentruntime.Status, error) {
			calls++
			status := answer
			select {
			case <-time.After(takes):
				return status, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
		ask := func(want agentruntime.Status) {
			t.Helper()
			status, err := h(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(status).To(Equal(want))
		}
		ask(agentruntime.Healthy) // waits for the first
		answer, takes = agentruntime.HealthyBusy, 5*time.Second
		ask(agentruntime.Healthy)
		synctest.Wait()
		g.Expect(calls).To(Equal(1), "once in an interval")
		time.Sleep(10 * time.Second)
		ask(agentruntime.Healthy) // begins the second, and does not wait
		time.Sleep(6 * time.Second)
		ask(agentruntime.HealthyBusy)
		synctest.Wait()
		g.Expect(calls).To(Equal(2))

		takes = time.Hour
		time.Sleep(10 * time.Second)
		ask(agentruntime.HealthyBusy)
		time.Sleep(29 * time.Second)
		_, err := h(t.Context())
		g.Expect(err).To(MatchError(ContainSubstring("the last answer is")))
		time.Sleep(2 * time.Second)
		_, err = h(t.Context())
		g.Expect(err).To(MatchError(context.DeadlineExceeded), "after three intervals it is told")
		synctest.Wait()
		g.Expect(calls).To(Equal(4), "and asked again")
		time.Sleep(time.Minute)
	})
}

// Nobody asked for longer than an answer holds: pings may be rarer than the
// interval, and the operator may have been away. That is no fault of h.
func TestSampledAfterAPause(t *testing.T) {
	for name, pause := range map[string]time.Duration{"rare pings": 2 * time.Second, "nobody asked": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			answers := []agentruntime.Status{agentruntime.Healthy, agentruntime.HealthyBusy, agentruntime.Healthy}
			calls := 0
			h := agentruntime.Sampled(500*time.Millisecond, func(context.Context) (agentruntime.Status, error) {
				time.Sleep(20 * time.Millisecond)
				calls++
				return answers[calls-1], nil
			})
			for i, want := range answers {
				ctx, cancel := context.WithTimeoutCause(t.Context(), pingBudget, errPingBudget)
				status, err := h(ctx)
				cancel()
				g.Expect(err).NotTo(HaveOccurred(), name)
				g.Expect(status).To(Equal(want), "%s: answer %d, not one from before the pause", name, i)
				time.Sleep(pause)
			}
			g.Expect(calls).To(Equal(len(answers)), name)
		})
	}
}

func TestSampledThatFailsOrIsSlowAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		panics := agentruntime.Sampled(time.Second, func(context.Context) (agentruntime.Status, error) { panic("boom") })
		_, err := panics(t.Context())
		g.Expect(err).To(MatchError("panic: boom"))
		exits := agentruntime.Sampled(time.Second, func(context.Context) (agentruntime.Status, error) {
			runtime.Goexit()
			return "", nil
		})
		_, err = exits(t.Context())
		g.Expect(err).To(MatchError(ContainSubstring("runtime.Goexit")))

		slow := agentruntime.Sampled(time.Second, func(context.Context) (agentruntime.Status, error) {
			time.Sleep(time.Second)
			return agentruntime.HealthyBusy, nil
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), pingBudget, errPingBudget)
		defer cancel()
		_, err = slow(ctx)
		g.Expect(err).To(MatchError(errPingBudget))
		time.Sleep(time.Second)
		status, err := slow(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(status).To(Equal(agentruntime.HealthyBusy))
		synctest.Wait()
		time.Sleep(5 * time.Second)
	})
}

func TestMistakesInTheProgram(t *testing.T) {
	for _, share := range []float64{0, -1, 1.01, math.NaN(), math.Inf(1)} {
		NewWithT(t).Expect(func() { agentruntime.BusyAboveMemory(share) }).To(PanicWith(ContainSubstring("agentruntime.BusyAboveMemory: share is")))
		NewWithT(t).Expect(func() { agentruntime.BusyAboveCPU(share) }).To(PanicWith(ContainSubstring("must be more than 0 and at most 1")))
	}
	healthy := func(context.Context) (agentruntime.Status, error) { return agentruntime.Healthy, nil }
	for _, interval := range []time.Duration{0, -time.Second} {
		NewWithT(t).Expect(func() { agentruntime.Sampled(interval, healthy) }).To(PanicWith(ContainSubstring(interval.String() + ", and must be more than 0")))
	}
	NewWithT(t).Expect(func() { agentruntime.Sampled(time.Second, nil) }).To(PanicWith("agentruntime.Sampled: h is nil, and must be a function"))
	NewWithT(t).Expect(func() { agentruntime.BusyWhile(nil) }).To(PanicWith("agentruntime.BusyWhile: busy is nil, and must be a function"))
	NewWithT(t).Expect(func() { agentruntime.AnyBusy(healthy, nil) }).To(PanicWith("agentruntime.AnyBusy: handler 2 of 2 is nil, and must be a function"))
}
