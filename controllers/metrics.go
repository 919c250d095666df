package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// The series of the operator. Every label has a fixed set of values: none that
// an agent or a user can make up.
var (
	stopsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "agentsession_stops_total",
		Help: "Computes that the operator took away or found gone, by reason.",
	}, []string{"reason"})
	stopLateness = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "agentsession_stop_lateness_seconds",
		Help:    "Time from the moment a stop was due to the deletion of the pod, by reason.",
		Buckets: []float64{.01, .05, .1, .25, .5, 1, 2, 2.5, 5, 10, 30, 60, 300},
	}, []string{"reason"})
	pingDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "agentsession_ping_duration_seconds",
		Help:    "Time that an agent took to answer GET /ping, failed pings included.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2},
	})
	pingLateness = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "agentsession_ping_cadence_error_seconds",
		Help:    "Time from the moment a ping was due to the moment it was made.",
		Buckets: []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2},
	})
	pingFailuresTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "agentsession_ping_failures_total",
		Help: "Failed pings, by kind.",
	}, []string{"kind"})
	pingsMissedTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "agentsession_pings_missed_total",
		Help: "Pings that were due and not made for a reason of the operator's own.",
	})
	sessionsDesc = prometheus.NewDesc("agentsession_sessions", "Sessions by state.", []string{"state"}, nil)
	pingDesc     = prometheus.NewDesc("agentsession_sessions_by_ping_status", "Sessions with a compute by the agent's last answer.", []string{"ping_status"}, nil)
	stuckDesc    = prometheus.NewDesc("agentsession_sessions_stuck", "Sessions that are HealthyBusy for longer than they should be: condition Stuck.", nil, nil)
	breachDesc   = prometheus.NewDesc("agentsession_sessions_breaching_ping_contract", "Sessions whose agent breaks the ping contract.", nil, nil)
	refusedDesc  = prometheus.NewDesc("agentsession_sessions_refused", "Sessions that should start and cannot have a pod, by the reason of the condition Ready.", []string{"reason"}, nil)
	loopDesc     = prometheus.NewDesc("agentsession_sessions_crash_looping", "Sessions whose last three activations all failed, within an hour.", nil, nil)
)

// stopReasons are all values of the label reason. Series begin at zero, so that the first
// stop for a reason is an increase, too.
var stopReasons = []v1alpha1.StopReason{
	v1alpha1.StopIdleTimeout, v1alpha1.StopMaxLifetime, v1alpha1.StopRequested, v1alpha1.StopUnhealthy, v1alpha1.StopStartTimeout,
	v1alpha1.StopStartFailed, v1alpha1.StopStuckBusy, v1alpha1.StopAgentExited, v1alpha1.StopComputeLost,
}

func init() {
	for _, reason := range stopReasons {
		stopsTotal.WithLabelValues(string(reason))
		stopLateness.WithLabelValues(string(reason))
	}
	for _, kind := range []lifecycle.Failure{
		lifecycle.FailureConnect, lifecycle.FailureTimeout, lifecycle.FailureStatusCode,
		lifecycle.FailureProtocol, lifecycle.FailureBody, lifecycle.FailureUnhealthy,
	} {
		pingFailuresTotal.WithLabelValues(string(kind))
	}
	metrics.RegisterRESTClientMetrics(metrics.MetricRequestLatency)
	metrics.Registry.MustRegister(stopsTotal, stopLateness, pingDuration, pingLateness, pingFailuresTotal, pingsMissedTotal)
}

// ObservePing counts a ping: it is meant for prober.Options.Observe.
func ObservePing(e prober.Event) {
	if e.Missed > 0 {
		pingsMissedTotal.Add(float64(e.Missed))
		return
	}
	pingDuration.Observe(e.Took.Seconds())
	pingLateness.Observe(e.Late.Seconds())
	if e.Failure != "" {
		pingFailuresTotal.WithLabelValues(string(e.Failure)).Inc()
	}
}

// observeLateness counts how late a pod is deleted.
func observeLateness(now time.Time, stop lifecycle.Stop) time.Duration {
	late := max(now.Sub(stop.At), 0)
	stopLateness.WithLabelValues(string(stop.Reason)).Observe(late.Seconds())
	return late
}

// NewOutageGauge returns the series that tells whether the guard against mass failure
// holds.
func NewOutageGauge(p *prober.Prober) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "agentsession_mass_failure",
		Help: "1 while most agents that this process asks are silent at once, and none is stopped as Unhealthy for it; else 0.",
	}, func() float64 {
		if p.InOutage() {
			return 1
		}
		return 0
	})
}

// SessionCollector counts the sessions in the cache when it is asked, so that
// no counter can drift.
type SessionCollector struct {
	Reader client.Reader
	// Now is the time by which the sessions' status was written.
	Now func() time.Time
}

// Describe names the series.
func (SessionCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sessionsDesc, pingDesc, stuckDesc, breachDesc, refusedDesc, loopDesc} {
		descs <- d
	}
}

// Collect counts.
func (c SessionCollector) Collect(out chan<- prometheus.Metric) {
	var sessions v1alpha1.AgentSessionList
	if err := c.Reader.List(context.Background(), &sessions, client.UnsafeDisableDeepCopy); err != nil {
		log.Log.Error(err, "Cannot count the sessions for the metrics")
		return
	}
	counts, now := newSessionCounts(), c.Now()
	for i := range sessions.Items {
		counts.add(now, &sessions.Items[i])
	}
	gauges(out, sessionsDesc, counts.states)
	gauges(out, pingDesc, counts.pings)
	gauges(out, refusedDesc, counts.refused)
	for desc, n := range map[*prometheus.Desc]int{stuckDesc: counts.stuck, breachDesc: counts.breaching, loopDesc: counts.looping} {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
	}
}

// sessionCounts are how many sessions there are of each kind.
type sessionCounts struct {
	states, pings, refused    map[string]int
	stuck, breaching, looping int
}

func newSessionCounts() *sessionCounts {
	c := &sessionCounts{states: map[string]int{}, pings: map[string]int{}, refused: map[string]int{}}
	for _, state := range []v1alpha1.SessionState{
		v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle, v1alpha1.StateStopping, v1alpha1.StateStopped,
	} {
		c.states[string(state)] = 0
	}
	for _, status := range []contract.Status{contract.Healthy, contract.HealthyBusy} {
		c.pings[string(status)] = 0
	}
	for _, reason := range lifecycle.Hindrances {
		c.refused[reason] = 0
	}
	return c
}

func (c *sessionCounts) add(now time.Time, session *v1alpha1.AgentSession) {
	status := &session.Status
	count(c.states, string(status.State))
	count(c.pings, status.PingStatus)
	count(c.refused, reasonOf(status, v1alpha1.ConditionReady))
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStuck) {
		c.stuck++
	}
	if meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionPingContract) {
		c.breaching++
	}
	if lifecycle.CrashLoops(now, status) {
		c.looping++
	}
}

// count counts known values only: whoever may write a status must not be able
// to make up a series.
func count(in map[string]int, value string) {
	if _, known := in[value]; known {
		in[value]++
	}
}

func gauges(out chan<- prometheus.Metric, desc *prometheus.Desc, values map[string]int) {
	for label, n := range values {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), label)
	}
}
