package main

import (
	"context"
	"sync"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// forgetful has the bug that costs most: it adds a task and never completes it,
// for example since the callback that should do so is never called. Pings say
// HealthyBusy until the session's maximum lifetime.
func forgetful(ctx context.Context, args []string) error {
	flags := newServer("forgetful")
	atStart := flags.Bool("forget-at-start", false, "forget a task at the start, before anybody asks")
	if err := flags.Parse(args); err != nil {
		return err
	}
	app := flags.app()
	forget := sync.OnceValue(func() agentruntime.TaskID {
		return app.AddAsyncTask("wait for a callback", map[string]any{"callback": "never comes"})
	})
	app.Entrypoint(func(context.Context, agentruntime.Request) (any, error) {
		return map[string]any{"forgot": forget(), "tasks": app.TaskInfo()}, nil
	})
	if *atStart {
		forget()
	}
	return app.Run(ctx)
}
