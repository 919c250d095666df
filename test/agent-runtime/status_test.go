package agentruntime_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

func TestCheck01PingAnswer(t *testing.T) {
	g := NewWithT(t)
	before := time.Now().Unix()
	a := newAgent(t)
	got := a.do(t, http.MethodGet, "/ping", "", nil)
	g.Expect(got.code).To(Equal(http.StatusOK))
	g.Expect(got.header.Get("Content-Type")).To(Equal("application/json"))
	g.Expect(got.body).To(MatchRegexp(`^\{"status":"Healthy","time_of_last_update":[0-9]{10}\}$`))
	g.Expect(a.ping(t).Stamp).To(BeNumerically("~", before, 1))
	g.Expect(a.log.String()).To(BeEmpty(), "pings are not logged")
}

func TestCheck02StampIsStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := newApp(agentruntime.Options{})
		first := pingOf(t, app)
		for range 10 {
			time.Sleep(500 * time.Millisecond)
			NewWithT(t).Expect(pingOf(t, app)).To(Equal(first))
		}
	})
}

// Stamped when it happens, not when a ping notices: AWS's SDKs do the latter.
func TestCheck24To26Stamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		made := time.Now().Unix()
		app, _ := newApp(agentruntime.Options{})
		time.Sleep(5 * time.Second)
		g.Expect(pingOf(t, app)).To(Equal(pinged{"Healthy", made}), "26: New, not the first ping")

		busy := time.Now().Unix()
		id := app.AddAsyncTask("t", nil)
		for range 5 {
			time.Sleep(2 * time.Second)
			g.Expect(pingOf(t, app)).To(Equal(pinged{"HealthyBusy", busy}), "24: constant")
		}

		second := app.AddAsyncTask("u", nil)
		g.Expect(app.CompleteAsyncTask(second)).To(BeTrue())
		g.Expect(pingOf(t, app).Stamp).To(Equal(busy), "busy all the time")

		healthy := time.Now().Unix()
		g.Expect(app.CompleteAsyncTask(id)).To(BeTrue())
		time.Sleep(3 * time.Second)
		g.Expect(pingOf(t, app)).To(Equal(pinged{"Healthy", healthy}))

		id = app.AddAsyncTask("between two pings", nil)
		time.Sleep(time.Second)
		g.Expect(app.CompleteAsyncTask(id)).To(BeTrue())
		g.Expect(pingOf(t, app)).To(Equal(pinged{"Healthy", time.Now().Unix()}), "25: not lost")
	})
}

// With a custom handler when there is one.
func TestCheck27Forced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, log := newApp(agentruntime.Options{})
		time.Sleep(time.Second)
		app.ForcePingStatus(agentruntime.HealthyBusy)
		forced := time.Now().Unix()
		g.Expect(pingOf(t, app)).To(Equal(pinged{"HealthyBusy", forced}))

		time.Sleep(time.Second)
		id := app.AddAsyncTask("t", nil)
		app.ForcePingStatus(agentruntime.HealthyBusy)
		app.ForcePingStatus("Splendid")
		g.Expect(log.String()).To(ContainSubstring(`"Attempted to force an unknown ping status","status":"Splendid"`))
		g.Expect(pingOf(t, app)).To(Equal(pinged{"HealthyBusy", forced}), "no change, no stamp")

		app.ForcePingStatus(agentruntime.Healthy)
		g.Expect(pingOf(t, app)).To(Equal(pinged{"Healthy", forced + 1}), "with a task")
		time.Sleep(time.Second)
		app.ClearForcedPingStatus()
		g.Expect(app.GetCurrentPingStatus()).To(Equal(agentruntime.HealthyBusy))
		g.Expect(app.CompleteAsyncTask(id)).To(BeTrue())
		g.Expect(pingOf(t, app)).To(Equal(pinged{"Healthy", forced + 2}))
	})
}
