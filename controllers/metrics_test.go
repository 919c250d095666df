package controllers_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// cached are the statuses of the sessions in a cache.
type cached struct {
	client.Reader
	statuses []v1alpha1.AgentSessionStatus
}

func (c cached) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	sessions := list.(*v1alpha1.AgentSessionList) //nolint:forcetypeassert // what the collector asks for
	for _, status := range c.statuses {
		sessions.Items = append(sessions.Items, v1alpha1.AgentSession{Status: status})
	}
	return nil
}

// values are those of a metric, by its label.
func values(g Gomega, from prometheus.Gatherer, name string) map[string]float64 {
	families, err := from.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() != name {
				continue
			}
			var label string
			for _, pair := range m.GetLabel() {
				label = pair.GetValue()
			}
			all[label] = m.GetGauge().GetValue()
			if family.GetType() == dto.MetricType_COUNTER {
				all[label] = m.GetCounter().GetValue()
			}
		}
	}
	return all
}

func TestSessionsAreCounted(t *testing.T) {
	g, now := NewWithT(t), time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	condition := func(kind string, status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: status, Reason: reason}}
	}
	crash := v1alpha1.PastActivation{Reason: v1alpha1.StopAgentExited, Until: metav1.NewTime(now)}
	registry := prometheus.NewRegistry()
	registry.MustRegister(controllers.SessionCollector{Now: func() time.Time { return now }, Reader: cached{statuses: []v1alpha1.AgentSessionStatus{
		{State: v1alpha1.StateActive, PingStatus: "HealthyBusy", Conditions: condition(v1alpha1.ConditionStuck, metav1.ConditionTrue, v1alpha1.ReasonBusyTooLong)},
		{State: v1alpha1.StateIdle, PingStatus: "Healthy", Conditions: condition(v1alpha1.ConditionPingContract, metav1.ConditionFalse, v1alpha1.ReasonPingNotJSON)},
		{State: v1alpha1.StateStarting, Conditions: condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodRefused)},
		{State: v1alpha1.StateStarting, Conditions: condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnschedulable)},
		{State: v1alpha1.StateStopped, History: []v1alpha1.PastActivation{crash, crash, crash}},
		{State: "Dreaming", PingStatus: "made up", Conditions: condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "MadeUp")},
	}}})
	g.Expect(values(g, registry, "agentsession_sessions")).To(Equal(map[string]float64{"Starting": 2, "Active": 1, "Idle": 1, "Stopping": 0, "Stopped": 1}))
	g.Expect(values(g, registry, "agentsession_sessions_by_ping_status")).To(Equal(map[string]float64{"Healthy": 1, "HealthyBusy": 1}))
	g.Expect(values(g, registry, "agentsession_sessions_refused")).To(Equal(map[string]float64{
		"PodRefused": 1, "PodNotMade": 0, "PodNameTaken": 0, "StorageRefused": 0, "StorageNameTaken": 0, "AddressRefused": 0, "RuntimeNotFound": 0, "Unreadable": 0,
	}))
	for _, name := range []string{"stuck", "breaching_ping_contract", "crash_looping"} {
		g.Expect(values(g, registry, "agentsession_sessions_"+name)).To(Equal(map[string]float64{"": 1}), name)
	}
}

// TestSeriesAreThereFromTheBeginning: Prometheus sees no increase in one that begins with 1.
func TestSeriesAreThereFromTheBeginning(t *testing.T) {
	g := NewWithT(t)
	for name, of := range map[string][]string{
		"agentsession_stops_total": {
			"IdleTimeout", "MaxLifetime", "StopRequested", "Unhealthy", "StartTimeout", "StartFailed", "StuckBusy", "AgentExited", "ComputeLost",
		},
		"agentsession_stop_lateness_seconds": {
			"IdleTimeout", "MaxLifetime", "StopRequested", "Unhealthy", "StartTimeout", "StartFailed", "StuckBusy", "AgentExited", "ComputeLost",
		},
		"agentsession_ping_failures_total": {"Connect", "Timeout", "StatusCode", "Protocol", "Body", "Unhealthy"},
	} {
		found := values(g, metrics.Registry, name)
		for _, label := range of {
			g.Expect(found).To(HaveKey(label), name)
		}
		g.Expect(found).To(HaveLen(len(of)), name)
	}
}
