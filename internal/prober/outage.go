package prober

import (
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// outage counts, step by step, what the rule of mass failures goes by.
type outage struct {
	lifecycle.Outage

	failed int // agents whose last ping failed
	all    lifecycle.Crowd
	spaces map[string]lifecycle.Crowd // by namespace
}

// move takes in that the pulse of one agent in a namespace is another now. The
// zero Pulse stands for an agent that is not tracked.
func (o *outage) move(namespace string, before, after lifecycle.Pulse, now time.Time) {
	if sortOf(before) == sortOf(after) { // as after nearly every ping
		return
	}
	o.count(namespace, before, -1)
	o.count(namespace, after, 1)
	o.Outage = o.Observe(lifecycle.MassFailure(o.all, o.spaces), now)
}

// sort is what of a pulse is counted.
type sort struct{ failed, known, silent bool }

func sortOf(p lifecycle.Pulse) sort {
	return sort{p.Failures > 0, !p.HealthyAt.IsZero(), p.Silent()}
}

func (o *outage) count(namespace string, p lifecycle.Pulse, by int) {
	is := sortOf(p)
	if is.failed {
		o.failed += by
	}
	if !is.known {
		return
	}
	if o.spaces == nil {
		o.spaces = map[string]lifecycle.Crowd{}
	}
	space := o.spaces[namespace]
	for _, c := range []*lifecycle.Crowd{&o.all, &space} {
		c.Known += by
		if is.silent {
			c.Silent += by
		}
	}
	if o.spaces[namespace] = space; space.Known == 0 {
		delete(o.spaces, namespace)
	}
}
