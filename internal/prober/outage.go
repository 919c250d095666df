package prober

import (
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// What makes an outage: of at least outageAgents agents that have answered
// before, more than half were silent outageFailures times in a row or more.
// Whatever an agent answers shows that the network is there. Where it is so only
// because of one namespace's agents, and at least outageOthers of others are there
// to tell, the fault is that namespace's own.
const (
	outageAgents   = 10
	outageFailures = 3
	outageOthers   = 3
)

// An outage protects an agent for outageLimit, and after it for a part of
// outageSpread that each agent has for itself. So a network that is away for so
// long takes few agents a minute with it, and agents that are dead do not stay.
const (
	outageLimit  = 10 * time.Minute
	outageSpread = 30 * time.Minute
)

// crowd counts the agents that have answered before, and those of them that are silent.
type crowd struct{ known, silent int }

func (c crowd) mostSilent() bool { return 2*c.silent > c.known }

// outage tells when most of all agents are silent at once: then the fault is ours,
// or the network's, and nobody should be stopped for it.
type outage struct {
	failed int // agents whose last ping failed
	all    crowd
	spaces map[string]crowd // by namespace
	// lasting is whether there is one, that began and ended then: the last one, or
	// several that came one soon after the other.
	lasting      bool
	began, ended time.Time
}

// move takes in that the pulse of one agent in a namespace is another now. The
// zero Pulse stands for an agent that is not tracked.
func (o *outage) move(namespace string, before, after lifecycle.Pulse, now time.Time) {
	if sortOf(before) == sortOf(after) { // as after nearly every ping
		return
	}
	o.count(namespace, before, -1)
	o.count(namespace, after, 1)
	lasts := o.lasts()
	switch {
	case lasts == o.lasting:
		return
	case !lasts:
		o.ended = now
	case o.began.IsZero() || now.Sub(o.ended) > outageLimit:
		o.began = now
	}
	o.lasting = lasts
}

// sort is what of a pulse is counted.
type sort struct{ failed, known, silent bool }

func sortOf(p lifecycle.Pulse) sort {
	return sort{p.Failures > 0, !p.HealthyAt.IsZero(), p.Failures >= outageFailures && p.LastFailure.Failure.Silent()}
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
		o.spaces = map[string]crowd{}
	}
	space := o.spaces[namespace]
	for _, c := range []*crowd{&o.all, &space} {
		c.known += by
		if is.silent {
			c.silent += by
		}
	}
	if o.spaces[namespace] = space; space.known == 0 {
		delete(o.spaces, namespace)
	}
}

func (o *outage) lasts() bool {
	if o.all.known < outageAgents || !o.all.mostSilent() {
		return false
	}
	var worst crowd
	for _, space := range o.spaces {
		if space.silent > worst.silent || space.silent == worst.silent && space.known < worst.known {
			worst = space
		}
	}
	others := crowd{o.all.known - worst.known, o.all.silent - worst.silent}
	return others.known < outageOthers || others.mostSilent()
}

// last is the last moment of an outage that protects the agent of a pod; zero if
// there was none.
func (o *outage) last(uid types.UID, now time.Time) time.Time {
	at := o.ended
	if o.lasting {
		at = now
	}
	if end := o.began.Add(outageLimit + share(uid)); end.Before(at) {
		return end
	}
	return at
}

// share is the part of outageSpread that a pod has for itself.
func share(uid types.UID) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid)) // it never fails
	return time.Duration(float64(h.Sum32()) / (1 << 32) * float64(outageSpread))
}
