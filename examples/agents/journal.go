package main

import (
	"context"
	"log/slog"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// journal records the events of its tasks, each with the ping status of the
// moment, and lets the operator and kubectl look at tasks and events. Asked with
// {"seconds": N, "forget": true} it has the bug that journals are for: the work
// is done, and the task stays. The event TASK_COMPLETED then says HealthyBusy,
// and the session's condition Stuck names the task.
func journal(ctx context.Context, args []string) error {
	flags := newServer("journal")
	if err := flags.Parse(args); err != nil {
		return err
	}
	flags.options.Introspection = true
	app := flags.app()
	app.Entrypoint(agentruntime.JSON(func(ctx context.Context, in chore) (receipt, error) {
		work, err := in.work()
		if err != nil {
			return receipt{}, err
		}
		task := app.AddAsyncTask("chore", map[string]any{"seconds": in.Seconds})
		ctx = context.WithoutCancel(ctx) // the invocation is answered before the work is done
		app.RecordEvent(ctx, agentruntime.EventTaskStarted, slog.Any("task", task))
		go func() {
			status := agentruntime.EventTaskCompleted
			if err := work(ctx); err != nil {
				status = agentruntime.EventTaskFailed
			}
			if !in.Forget {
				app.CompleteAsyncTask(task) // before the event: it notes the status that follows
			}
			app.RecordEvent(ctx, status, slog.Any("task", task))
		}()
		return receipt{Started: "chore", Seconds: in.Seconds}, nil
	}))
	return app.Run(ctx)
}

type chore struct {
	order
	Forget bool `json:"forget"`
}
