package prober

import (
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// What makes an outage: of at least outageAgents agents that have answered
// before, more than half have failed outageFailures times in a row or more.
const (
	outageAgents   = 10
	outageFailures = 3
)

// outage tells when most of all agents fail at once: then the fault is ours,
// or the network's, and nobody should be stopped for it.
type outage struct {
	failed  int // agents whose last ping failed
	known   int // agents that have answered before,
	failing int // and those of them that fail
	lasting bool
	ended   time.Time
}

// move takes in that one agent's pulse is another now. The zero Pulse stands
// for an agent that is not tracked.
func (o *outage) move(before, after lifecycle.Pulse, now time.Time) {
	o.count(before, -1)
	o.count(after, 1)
	lasting := o.known >= outageAgents && 2*o.failing > o.known
	if o.lasting && !lasting {
		o.ended = now
	}
	o.lasting = lasting
}

func (o *outage) count(p lifecycle.Pulse, by int) {
	if p.Failures > 0 {
		o.failed += by
	}
	if p.HealthyAt.IsZero() {
		return
	}
	o.known += by
	if p.Failures >= outageFailures {
		o.failing += by
	}
}

// last is the last moment of an outage; zero if there was none.
func (o *outage) last(now time.Time) time.Time {
	if o.lasting {
		return now
	}
	return o.ended
}
