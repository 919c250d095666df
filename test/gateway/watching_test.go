package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/agentsession/agentsession/internal/gateway"
)

// series are what the process has counted of a metric, by its labels' values.
func series(name string) map[string]float64 {
	GinkgoHelper()
	families, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	counted := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			key := ""
			for _, label := range m.GetLabel() {
				key += label.GetValue() + " "
			}
			counted[key] += value(m)
		}
	}
	return counted
}

func value(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetHistogram() != nil:
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetGauge().GetValue()
}

var _ = Describe("A call to be watched", func() {
	It("is a line in the log, and is counted", func(ctx context.Context) {
		var mu sync.Mutex
		var lines []map[string]any
		log := funcr.NewJSON(func(line string) {
			defer GinkgoRecover()
			said := map[string]any{}
			Expect(json.Unmarshal([]byte(line), &said)).To(Succeed(), line)
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, said)
		}, funcr.Options{})
		d := openDoor(func(o *gateway.Options) { o.Log = log })
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		const served, firstBytes = "agentsession_gateway_requests_total", "agentsession_gateway_first_byte_seconds"
		calls, bytes := series(served), series(firstBytes)
		begun, started := series("agentsession_gateway_starts_total"), series("agentsession_gateway_start_seconds")
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		failed := d.invoke(ctx, agent, session, ask{Code: http.StatusTeapot})
		Expect(failed.code).To(Equal(http.StatusFailedDependency))
		Eventually(func() int { mu.Lock(); defer mu.Unlock(); return len(lines) }).Should(Equal(2))

		Expect(lines[0]).To(And(
			HaveKeyWithValue("operation", "InvokeAgentRuntime"), HaveKeyWithValue("code", BeEquivalentTo(200)), HaveKeyWithValue("caller", "anybody"),
			HaveKeyWithValue("namespace", agent.Namespace), HaveKeyWithValue("runtime", agent.Name), HaveKeyWithValue("session", session),
			HaveKey("took"), Not(HaveKey("error"))))
		Expect(lines[1]).To(And(
			HaveKeyWithValue("code", BeEquivalentTo(424)), HaveKeyWithValue("error", ContainSubstring("Received error (418)")),
			HaveKeyWithValue("request", failed.header.Get("X-Amzn-RequestId"))))
		Eventually(func() float64 { return series(firstBytes)["InvokeAgentRuntime "] }).Should(Equal(bytes["InvokeAgentRuntime "]+2), "a moment after the lines")
		Expect(series(served)["200 InvokeAgentRuntime "]).To(Equal(calls["200 InvokeAgentRuntime "] + 1))
		Expect(series(served)["424 InvokeAgentRuntime "]).To(Equal(calls["424 InvokeAgentRuntime "] + 1))
		Expect(series("agentsession_gateway_starts_total")["created "]).To(Equal(begun["created "] + 1))
		Expect(series("agentsession_gateway_start_seconds")[""]).To(Equal(started[""] + 1))
		Expect(series("agentsession_gateway_in_flight")[""]).To(BeZero())
	})
})
