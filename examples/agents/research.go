package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// order is what research is asked for.
type order struct {
	Seconds float64 `json:"seconds"` // how long the work takes
}

// maxOrder is AgentCore's longest life of a session.
const maxOrder = 8 * time.Hour

// work is what the order asks for.
func (o order) work() (func(context.Context) error, error) {
	if o.Seconds <= 0 || o.Seconds > maxOrder.Seconds() {
		return nil, &agentruntime.HTTPError{
			Code:    http.StatusBadRequest,
			Message: "seconds must be more than 0 and at most 28800, for example {\"seconds\": 20}",
		}
	}
	return read(time.Duration(o.Seconds * float64(time.Second))), nil
}

type receipt struct {
	Started string  `json:"started"`
	Seconds float64 `json:"seconds"`
}

// research answers at once and works on in the background. While it does, pings
// say HealthyBusy, and the session is kept.
func research(ctx context.Context, args []string) error {
	flags := newServer("research")
	atStart := flags.Duration("task-on-start", 0, "begin with a research of that `length`, before anybody asks")
	if err := flags.Parse(args); err != nil {
		return err
	}
	app := flags.app()
	app.Entrypoint(agentruntime.JSON(func(ctx context.Context, in order) (receipt, error) {
		work, err := in.work()
		if err != nil {
			return receipt{}, err
		}
		app.Go(ctx, "research", work)
		return receipt{Started: "research", Seconds: in.Seconds}, nil
	}))
	if *atStart > 0 {
		app.Go(context.WithoutCancel(ctx), "research", read(*atStart)) // SIGTERM alone does not end it: Run gives it time
	}
	return app.Run(ctx)
}

// read is the work: it takes its time, and stops early when it is told to.
func read(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		done := time.NewTimer(d)
		defer done.Stop()
		select {
		case <-done.C:
			slog.InfoContext(ctx, "Research finished")
			return nil
		case <-ctx.Done(): // the place to save what was found
			return context.Cause(ctx)
		}
	}
}
