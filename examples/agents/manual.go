package main

import (
	"context"
	"log/slog"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// manual adds and completes its task by itself, for work that begins in one
// place and ends in another. The deferred completion is the safety net: it is
// reached by every way out, a panic included, and completing twice does no harm.
// The maximum duration is a second net, for work that hangs.
func manual(ctx context.Context, args []string) error {
	flags := newServer("manual")
	if err := flags.Parse(args); err != nil {
		return err
	}
	app := flags.app()
	app.Entrypoint(agentruntime.JSON(func(ctx context.Context, in order) (receipt, error) {
		work, err := in.work()
		if err != nil {
			return receipt{}, err
		}
		task := app.AddAsyncTask("manual", map[string]any{"seconds": in.Seconds}, agentruntime.MaxDuration(maxOrder))
		ctx = context.WithoutCancel(ctx) // the invocation is answered before the work is done
		go func() {
			defer app.CompleteAsyncTask(task)
			if err := work(ctx); err != nil {
				slog.ErrorContext(ctx, "Work failed", "error", err)
				return
			}
			slog.InfoContext(ctx, "Work done", "ping", app.GetCurrentPingStatus())
		}()
		return receipt{Started: "manual", Seconds: in.Seconds}, nil
	}))
	return app.Run(ctx)
}
