package explain

import (
	"math"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Prices are what an hour of a vCPU and of a GB (1,024 MiB) costs.
type Prices struct {
	VCPUHour float64 `json:"vcpuHour"`
	GBHour   float64 `json:"gbHour"`
}

// AgentCorePrices are what AgentCore asked for in 2026, in dollars. It asks that for what was
// consumed: docs/operating.md says what is different.
var AgentCorePrices = Prices{VCPUHour: 0.0895, GBHour: 0.00945}

// Of is what a reservation costs, to a millionth.
func (p Prices) Of(t v1alpha1.ResourceTime) float64 {
	const hour, millionth = 3600, 1e6
	cost := (float64(t.MilliCPUSeconds)/1000*p.VCPUHour + float64(t.MemoryMiBSeconds)/1024*p.GBHour) / hour
	return math.Round(cost*millionth) / millionth
}
