// Package ontime holds the promise on which stops are judged: that a pod is
// deleted within 2.5 s of the moment at which it was idle for long enough (one
// ping period and slack), and within 0.5 s of the end of its maximal lifetime.
// The operator's own metric says how late they were.
package ontime

import (
	"errors"
	"fmt"

	dto "github.com/prometheus/client_model/go"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var bounds = map[v1alpha1.StopReason]float64{
	v1alpha1.StopIdleTimeout: 2.5,
	v1alpha1.StopMaxLifetime: 0.5,
}

// starved is the lateness of the operator's pings, in seconds, from which on
// the machine was too busy to judge it by the clock alone: then what the
// machine took is added to the bounds.
const starved = 0.1

// Check judges the stops in an operator's metrics. It is an error if there was
// no stop of one of the two kinds.
func Check(families map[string]*dto.MetricFamily) error {
	var slack float64
	for _, metric := range families["agentsession_ping_cadence_error_seconds"].GetMetric() {
		if worst := worstOf(metric.GetHistogram()); worst >= starved {
			slack = worst
		}
	}
	seen := map[v1alpha1.StopReason]bool{}
	var late error
	for _, metric := range families["agentsession_stop_lateness_seconds"].GetMetric() {
		reason := v1alpha1.StopReason(metric.GetLabel()[0].GetValue())
		bound, judged := bounds[reason]
		if !judged {
			continue
		}
		seen[reason] = true
		if worst := worstOf(metric.GetHistogram()); worst > bound+slack {
			late = errors.Join(late, fmt.Errorf("a stop for %s came up to %g s late, %g s are allowed (%g of them since the machine was busy)",
				reason, worst, bound+slack, slack))
		}
	}
	if len(seen) != len(bounds) {
		late = errors.Join(late, fmt.Errorf("stops were seen for %v only", seen))
	}
	return late
}

// worstOf is the upper bound of the highest bucket that holds anything.
func worstOf(h *dto.Histogram) float64 {
	var worst float64
	var before uint64
	for _, bucket := range h.GetBucket() {
		if bucket.GetCumulativeCount() > before {
			worst, before = bucket.GetUpperBound(), bucket.GetCumulativeCount()
		}
	}
	if h.GetSampleCount() > before {
		worst = h.GetSampleSum() // beyond the last bucket
	}
	return worst
}
