package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// The series of the gateway. Every label has a fixed set of values.
var (
	requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "agentsession_gateway_requests_total",
		Help: "Calls that were answered, by operation and HTTP status: of an error that one before its protocol's envelope.",
	}, []string{"operation", "code"})
	requestDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "agentsession_gateway_first_byte_seconds",
		Help:    "Time from a call to the first byte of its answer, by operation.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 900},
	}, []string{"operation"})
	inFlight = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "agentsession_gateway_in_flight",
		Help: "Calls that agents are answering.",
	})
	queued = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "agentsession_gateway_queued",
		Help: "Calls that look for a free session, or wait for one.",
	})
	startsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "agentsession_gateway_starts_total",
		Help: "Sessions that a call had started, created or woken.",
	}, []string{"how"})
	startDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "agentsession_gateway_start_seconds",
		Help:    "Time that a call waited for the session that it had started.",
		Buckets: []float64{.1, .25, .5, 1, 2, 3, 5, 10, 20, 30, 60, 120},
	})
	conflictsTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "agentsession_gateway_conflicts_total",
		Help: "Calls that were refused since another one was starting or stopping the session.",
	})
	trafficWritesTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "agentsession_gateway_traffic_writes_total",
		Help: "Writes of status.traffic.",
	})
)

func init() {
	metrics.RegisterRESTClientMetrics(metrics.MetricRequestLatency)
	metrics.Registry.MustRegister(requestsTotal, requestDuration, inFlight, queued, startsTotal, startDuration, conflictsTotal, trafficWritesTotal)
}

func observe(op operation, w *recorder, began time.Time) {
	requestsTotal.WithLabelValues(string(op), strconv.Itoa(w.result())).Inc()
	if !w.firstByte.IsZero() {
		requestDuration.WithLabelValues(string(op)).Observe(w.firstByte.Sub(began).Seconds())
	}
}

func observeStart(c *call) {
	if !c.began.IsZero() {
		startDuration.Observe(time.Since(c.began).Seconds())
	}
}
