package lint

import (
	"context"
	"errors"
	"time"
)

// Start is one start of an agent, and the calls that were made to it then, each for another
// session.
type Start struct {
	// Began is when it was started, and Ready when it was seen to answer.
	Began, Ready time.Time
	Calls        []Call
}

// Await waits until an agent that was started just now answers a ping, however it does. It is
// an error if ctx ends before that.
func Await(ctx context.Context, o Options) error {
	w := newWatcher(o)
	again := time.NewTicker(w.Period / 10)
	defer again.Stop()
	var last error
	for {
		nobody := w.nobody(ctx, w.ping(ctx))
		switch {
		case nobody == nil:
			return nil
		case ctx.Err() == nil:
			last = nobody
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		}
	}
}

// Again calls an agent that was started for a second time, so that its answers can be held
// against those of the first.
func Again(ctx context.Context, seen *Observation, o Options) {
	w := newWatcher(o)
	if err := w.nobody(ctx, w.ping(ctx)); err != nil {
		seen.NotAgain = err.Error()
	} else {
		start := Start{Began: w.Started, Ready: time.Now()}
		start.Calls = w.callTwice(ctx)
		seen.Starts = append(seen.Starts, start)
	}
	seen.Incomplete = ctx.Err() != nil
}
