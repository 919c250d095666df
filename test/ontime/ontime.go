// Package ontime holds the promise on which stops are judged: that a pod is
// deleted within 2.5 s of the moment at which it was idle for long enough (one
// ping period and slack), and within 0.5 s of the end of its maximal lifetime.
// The operator's own metric says how late they were.
package ontime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var bounds = map[v1alpha1.StopReason]float64{
	v1alpha1.StopIdleTimeout: 2.5,
	v1alpha1.StopMaxLifetime: 0.5,
}

// starved is the lateness from which on the machine was too busy to judge it by
// the clock alone.
const starved = 100 * time.Millisecond

// steps is how often a stop waits for the machine: for its moment, for the
// write that announces it, and for the deletion.
const steps = 3

// Families are an operator's metrics by name.
type Families = map[string]*dto.MetricFamily

// Check judges the stops in an operator's metrics, without those that were
// there before. Where the operator's pings or the canary were late, so may stops
// be, in each of their steps. It is an error if there was no stop of one of the
// two kinds.
func Check(before, families Families, canary time.Duration) error {
	worst := canary.Seconds()
	for _, pings := range families["agentsession_ping_cadence_error_seconds"].GetMetric() {
		worst = max(worst, atLeast(nil, pings.GetHistogram()))
	}
	var slack float64
	if worst >= starved.Seconds() {
		slack = steps * worst
	}
	earlier := byReason(before)
	var late error
	for reason, stops := range byReason(families) {
		bound, judged := bounds[reason]
		if least := atLeast(earlier[reason], stops); judged && least >= bound+slack {
			late = errors.Join(late, fmt.Errorf("a stop for %s came more than %g s late, %.3g s are allowed (%.3g of them since the machine was busy)",
				reason, least, bound+slack, slack))
		}
	}
	for reason := range bounds {
		if byReason(families)[reason].GetSampleCount() == earlier[reason].GetSampleCount() {
			late = errors.Join(late, fmt.Errorf("no stop for %s was seen", reason))
		}
	}
	return late
}

func byReason(families Families) map[v1alpha1.StopReason]*dto.Histogram {
	stops := map[v1alpha1.StopReason]*dto.Histogram{}
	for _, metric := range families["agentsession_stop_lateness_seconds"].GetMetric() {
		stops[v1alpha1.StopReason(metric.GetLabel()[0].GetValue())] = metric.GetHistogram()
	}
	return stops
}

// atLeast is what the highest value of a histogram exceeds that was not there
// before: the lower bound of its bucket.
func atLeast(before, h *dto.Histogram) float64 {
	var least, edge float64
	var below uint64
	count := func(cumulated, earlier uint64) {
		if cumulated-earlier > below {
			least, below = edge, cumulated-earlier
		}
	}
	for i, bucket := range h.GetBucket() {
		var earlier uint64
		if before != nil {
			earlier = before.GetBucket()[i].GetCumulativeCount()
		}
		count(bucket.GetCumulativeCount(), earlier)
		edge = bucket.GetUpperBound()
	}
	count(h.GetSampleCount(), before.GetSampleCount())
	return least
}

// Canary does what a stop does, a wait and a write, again and again until the
// context ends, beside the operator and without it. It returns a function that
// tells by how much the slowest was late so far.
func Canary(ctx context.Context, api client.Client) (worst func() time.Duration, err error) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "canary-"}}
	if err := api.Create(ctx, object); err != nil {
		return nil, fmt.Errorf("create the canary: %w", err)
	}
	var slowest atomic.Int64
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			due := time.Now().Add(starved / 2)
			time.Sleep(time.Until(due))
			base := object.DeepCopy()
			object.Data = map[string]string{"song": strconv.Itoa(i)}
			_ = api.Patch(ctx, object, client.MergeFrom(base)) // how long it took counts, failed or not
			slowest.Store(max(slowest.Load(), int64(time.Since(due))))
		}
	}()
	return func() time.Duration { return time.Duration(slowest.Load()) }, nil
}
