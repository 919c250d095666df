package explain_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// TestPrices: an hour of two vCPUs and 8 GB, which is AgentCore's microVM.
func TestPrices(t *testing.T) {
	g := NewWithT(t)
	hour := v1alpha1.ResourceTime{MilliCPUSeconds: 2000 * int64(time.Hour/time.Second), MemoryMiBSeconds: 8192 * int64(time.Hour/time.Second)}
	g.Expect(explain.AgentCorePrices.Of(hour)).To(BeNumerically("~", 2*0.0895+8*0.00945, 1e-9))
	g.Expect(explain.AgentCorePrices.Of(v1alpha1.ResourceTime{})).To(BeZero())
}
