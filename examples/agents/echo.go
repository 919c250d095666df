package main

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"sync/atomic"
	"time"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// reply shows what a session remembers: invocations counts up as long as the
// compute lives, and starts at 1 in the next activation.
type reply struct {
	Payload     json.RawMessage `json:"payload"`
	SessionID   string          `json:"sessionId"`
	Invocations int64           `json:"invocations"`
	StartedAt   time.Time       `json:"startedAt"`
}

// echo answers with what it was asked, and keeps a counter in memory.
func echo(ctx context.Context, args []string) error {
	flags := newServer("echo")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var invocations atomic.Int64
	startedAt := time.Now().UTC().Truncate(time.Millisecond)
	app := flags.app()
	app.Entrypoint(agentruntime.JSON(func(ctx context.Context, payload json.RawMessage) (reply, error) {
		return reply{
			Payload: payload,
			// Without a gateway nobody sends the header; the operator says it in
			// the environment too.
			SessionID:   cmp.Or(agentruntime.SessionID(ctx), os.Getenv(contract.EnvRuntimeSessionID)),
			Invocations: invocations.Add(1),
			StartedAt:   startedAt,
		}, nil
	}))
	return app.Run(ctx)
}
