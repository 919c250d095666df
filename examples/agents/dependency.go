package main

import (
	"context"
	"sync/atomic"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// backlog is how deep the queue may be before the agent counts as busy.
const backlog = 1000

// dependency decides about its ping status itself: it is busy while a queue that
// it works on is backed up, or while it has tasks. The depth of the queue is
// what the last invocation said: {"depth": 2000}.
func dependency(ctx context.Context, args []string) error {
	flags := newServer("dependency")
	if err := flags.Parse(args); err != nil {
		return err
	}
	app := flags.app()
	var depth atomic.Int64
	app.PingHandler(func(ctx context.Context) (agentruntime.Status, error) {
		if depth.Load() > backlog {
			return agentruntime.HealthyBusy, nil
		}
		return app.AutomaticPingStatus(ctx)
	})
	app.Entrypoint(agentruntime.JSON(func(_ context.Context, in queue) (queue, error) {
		depth.Store(in.Depth)
		return in, nil
	}))
	return app.Run(ctx)
}

type queue struct {
	Depth int64 `json:"depth"`
}
