package ontime_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentsession/agentsession/test/ontime"
)

func TestCheck(t *testing.T) {
	for name, row := range map[string]struct {
		idle, maximum, ping []float64
		before              []float64 // idle
		canary              time.Duration
		says                string
	}{
		"in time":                   {idle: []float64{.1, 2.4}, maximum: []float64{.4}},
		"idle late":                 {idle: []float64{.1, 2.6}, maximum: []float64{.4}, says: "IdleTimeout came more than 2.5 s late"},
		"max late":                  {idle: []float64{.1}, maximum: []float64{.4, .6}, says: "MaxLifetime came more than 0.5 s late"},
		"max late, a lively canary": {idle: []float64{.1}, maximum: []float64{.6}, canary: 90 * time.Millisecond, says: "MaxLifetime came more than 0.5 s late"},
		"max late, pings too":       {idle: []float64{.1}, maximum: []float64{.6}, ping: []float64{.3}},
		"max late, the canary too":  {idle: []float64{.1}, maximum: []float64{.6}, canary: 100 * time.Millisecond},
		"later than that explains":  {idle: []float64{.1}, maximum: []float64{1.2}, canary: 150 * time.Millisecond, says: "MaxLifetime came more than 1 s late, 0.95 s are allowed"},
		"beyond the last bucket":    {idle: []float64{900}, maximum: []float64{.1}, says: "IdleTimeout came more than 300 s"},
		"what was late before":      {before: []float64{9, 400}, idle: []float64{.1}, maximum: []float64{.4}},
		"late again":                {before: []float64{9, 400}, idle: []float64{.1, 2.6}, maximum: []float64{.4}, says: "IdleTimeout came more than 2.5 s late"},
		"nothing to judge":          {idle: []float64{.1}, says: "no stop for MaxLifetime was seen"},
		"nothing anew":              {before: []float64{.1}, maximum: []float64{.4}, says: "no stop for IdleTimeout was seen"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			registry := prometheus.NewRegistry()
			buckets := []float64{.01, .05, .1, .25, .5, 1, 2, 2.5, 5, 10, 30, 60, 300}
			late := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "agentsession_stop_lateness_seconds", Help: "x", Buckets: buckets}, []string{"reason"})
			cadence := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "agentsession_ping_cadence_error_seconds", Help: "x", Buckets: []float64{.001, .02, .1, .25, .5, 1}})
			registry.MustRegister(late, cadence)
			gather := func() ontime.Families {
				gathered, err := registry.Gather()
				g.Expect(err).NotTo(HaveOccurred())
				families := ontime.Families{}
				for _, family := range gathered {
					families[family.GetName()] = family
				}
				return families
			}
			for _, v := range row.before {
				late.WithLabelValues("IdleTimeout").Observe(v)
			}
			before := gather()
			for _, v := range row.idle {
				late.WithLabelValues("IdleTimeout").Observe(v)
			}
			for _, v := range row.maximum {
				late.WithLabelValues("MaxLifetime").Observe(v)
			}
			for _, v := range row.ping {
				cadence.Observe(v)
			}
			err := ontime.Check(before, gather(), row.canary)
			if row.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(row.says)))
		})
	}
}
