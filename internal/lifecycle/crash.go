package lifecycle

import (
	"slices"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// crashLoop is how many activations in a row must have failed.
	crashLoop = 3
	// crashWindow is how long ago the first of them ended at most. So a session that
	// nobody wakes any more counts no longer than that.
	crashWindow = time.Hour
	// calm is for how long an agent has to be healthy until its crashes are no loop any more.
	calm = 10 * time.Minute
)

// crashes are the stops that say that an agent does not run, or does not answer.
var crashes = []v1alpha1.StopReason{v1alpha1.StopAgentExited, v1alpha1.StopStartFailed, v1alpha1.StopStartTimeout, v1alpha1.StopUnhealthy}

// CrashLoops tells whether a session is woken again and again, and its agent fails each
// time: its last three activations all ended so, within an hour, and it has not been healthy
// for ten minutes since.
func CrashLoops(now time.Time, status *v1alpha1.AgentSessionStatus) bool {
	if len(status.History) < crashLoop {
		return false
	}
	last, scale := status.History[:crashLoop], time.Duration(max(status.TimeScale, 1))
	if Living(status.State) && status.HealthyAt != nil && now.Sub(status.HealthyAt.Time) >= calm/scale {
		return false
	}
	window := crashWindow / scale
	return now.Sub(last[crashLoop-1].Until.Time) <= window && !slices.ContainsFunc(last, func(p v1alpha1.PastActivation) bool {
		return !slices.Contains(crashes, p.Reason)
	})
}
