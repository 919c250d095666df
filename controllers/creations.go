package controllers

import (
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// How long a try to make a compute waits for the API server. What fails is told within 10 s,
// also where an admission webhook does not answer. Once it is told, a try has the time of a
// webhook that may take its 30 s and lets the pod through then (failurePolicy Ignore).
const (
	firstCreation = 5 * time.Second
	laterCreation = 40 * time.Second
)

// creations are the tries to make a compute that run now. They never take all workers: stops
// wait for no webhook, and first tries for none that was told of.
type creations struct{ first, later chan struct{} }

func newCreations(workers int) creations {
	return creations{make(chan struct{}, max(1, workers/2)), make(chan struct{}, max(1, workers/4))}
}

// begin takes a place for a try, if the verdict is to make a compute, and says how long it
// may take. free: there is one.
func (c creations) begin(o *outcome) (end func(), free bool) {
	if o.verdict.Action != lifecycle.ActStart {
		return func() {}, true
	}
	places := c.first
	if o.patience = firstCreation; o.facts.Refusal != "" {
		places, o.patience = c.later, laterCreation
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	default:
		return nil, false
	}
}
