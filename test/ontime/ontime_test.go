package ontime_test

import (
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/agentsession/agentsession/test/ontime"
)

func TestCheck(t *testing.T) {
	for name, row := range map[string]struct {
		idle, maximum, ping []float64
		says                string
	}{
		"in time":                  {idle: []float64{.1, 2.4}, maximum: []float64{.4}},
		"idle late":                {idle: []float64{.1, 2.6}, maximum: []float64{.4}, says: "IdleTimeout came up to 5 s late"},
		"max late":                 {idle: []float64{.1}, maximum: []float64{.4, .6}, says: "MaxLifetime came up to 1 s late"},
		"max late, a busy machine": {idle: []float64{.1}, maximum: []float64{.6}, ping: []float64{.3}},
		"later than that explains": {idle: []float64{.1}, maximum: []float64{1.2}, ping: []float64{.3}, says: "MaxLifetime came up to 2 s late"},
		"beyond the last bucket":   {idle: []float64{900}, maximum: []float64{.1}, says: "IdleTimeout"},
		"nothing to judge":         {idle: []float64{.1}, says: "for map[IdleTimeout:true] only"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			registry := prometheus.NewRegistry()
			buckets := []float64{.01, .05, .1, .25, .5, 1, 2, 2.5, 5, 10, 30, 60, 300}
			late := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "agentsession_stop_lateness_seconds", Help: "x", Buckets: buckets}, []string{"reason"})
			cadence := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "agentsession_ping_cadence_error_seconds", Help: "x", Buckets: []float64{.001, .02, .1, .25, .5, 1}})
			registry.MustRegister(late, cadence)
			for _, v := range row.idle {
				late.WithLabelValues("IdleTimeout").Observe(v)
			}
			for _, v := range row.maximum {
				late.WithLabelValues("MaxLifetime").Observe(v)
			}
			for _, v := range row.ping {
				cadence.Observe(v)
			}
			gathered, err := registry.Gather()
			g.Expect(err).NotTo(HaveOccurred())
			families := map[string]*dto.MetricFamily{}
			for _, family := range gathered {
				families[family.GetName()] = family
			}
			err = ontime.Check(families)
			if row.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(row.says)))
		})
	}
}
