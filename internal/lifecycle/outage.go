package lifecycle

import (
	"hash/fnv"
	"time"
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

// Silent tells whether an agent counts as silent towards an outage.
func (p Pulse) Silent() bool { return p.Failures >= outageFailures && p.LastFailure.Failure.Silent() }

// Crowd counts the agents that have answered before, and those of them that are silent.
type Crowd struct{ Known, Silent int }

func (c Crowd) mostSilent() bool { return 2*c.Silent > c.Known }

// MassFailure tells whether most of all agents are silent at once, and not because of one
// namespace's: then the fault is ours, or the network's, and nobody should be stopped for it.
func MassFailure(all Crowd, namespaces map[string]Crowd) bool {
	if all.Known < outageAgents || !all.mostSilent() {
		return false
	}
	var worst Crowd
	for _, space := range namespaces {
		if space.Silent > worst.Silent || space.Silent == worst.Silent && space.Known < worst.Known {
			worst = space
		}
	}
	others := Crowd{all.Known - worst.Known, all.Silent - worst.Silent}
	return others.Known < outageOthers || others.mostSilent()
}

// Outage is the last mass failure, or several that came one soon after the other. The zero
// Outage is none.
type Outage struct {
	// Lasting tells whether it lasts.
	Lasting bool
	// Began and Ended are when. Ended is zero before it first ended.
	Began, Ended time.Time
}

// Observe is after it was seen whether there is a mass failure now.
func (o Outage) Observe(failing bool, now time.Time) Outage {
	switch {
	case failing == o.Lasting:
		return o
	case !failing:
		o.Ended = now
	case o.Began.IsZero() || now.Sub(o.Ended) > outageLimit:
		o.Began = now
	}
	o.Lasting = failing
	return o
}

// ProtectedUntil is the last moment at which it protects the agent of the pod with a UID:
// now while it does; zero if there was none.
func (o Outage) ProtectedUntil(now time.Time, uid string) time.Time {
	at := o.Ended
	if o.Lasting {
		at = now
	}
	if end := o.Began.Add(outageLimit + shareOf(uid)); end.Before(at) {
		return end
	}
	return at
}

// shareOf is the part of outageSpread that a pod has for itself.
func shareOf(uid string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid)) // it never fails
	return time.Duration(float64(h.Sum32()) / (1 << 32) * float64(outageSpread))
}
