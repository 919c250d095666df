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
)

func init() {
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
}

// Describe names the series.
func (SessionCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sessionsDesc, pingDesc, stuckDesc, breachDesc} {
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
	states := map[string]int{}
	for _, state := range []v1alpha1.SessionState{
		v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle, v1alpha1.StateStopping, v1alpha1.StateStopped,
	} {
		states[string(state)] = 0
	}
	pings := map[string]int{string(contract.Healthy): 0, string(contract.HealthyBusy): 0}
	stuck, breaching := 0, 0
	for i := range sessions.Items {
		status := &sessions.Items[i].Status
		count(states, string(status.State))
		count(pings, status.PingStatus)
		if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStuck) {
			stuck++
		}
		if meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionPingContract) {
			breaching++
		}
	}
	gauges(out, sessionsDesc, states)
	gauges(out, pingDesc, pings)
	out <- prometheus.MustNewConstMetric(stuckDesc, prometheus.GaugeValue, float64(stuck))
	out <- prometheus.MustNewConstMetric(breachDesc, prometheus.GaugeValue, float64(breaching))
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
