package explain

import (
	"fmt"
	"math"
	"strconv"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// cost says what a session has reserved.
func (l *life) cost() []string {
	if l.status.Reserved == nil {
		return nil
	}
	r := lifecycle.ReservedBy(l.now, l.status)
	cpu, memory := Amounts(lifecycle.TotalOf(r))
	return []string{fmt.Sprintf("Its computes have reserved %s CPU-seconds and %s GB-seconds so far: Active %s, Idle %s, starting and stopping %s.",
		cpu, memory, amount(r.Active), amount(r.Idle), amount(r.Other))}
}

func amount(t v1alpha1.ResourceTime) string {
	cpu, memory := Amounts(t)
	return cpu + " and " + memory
}

// Amounts are in CPU-seconds and in GB-seconds, of 1,024 MiB.
func Amounts(t v1alpha1.ResourceTime) (cpu, memory string) {
	return tenths(float64(t.MilliCPUSeconds) / 1000), tenths(float64(t.MemoryMiBSeconds) / 1024)
}

// tenths is a number with one digit behind the point, if that is not 0.
func tenths(n float64) string {
	return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64)
}
