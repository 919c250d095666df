package main

import (
	"context"
	"net/http"
	"os"
	"runtime/debug"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// throttle is busy while it has tasks, while its container is short of memory or
// CPU, or while it is told to be: the ready-made ping handlers, put together.
// Asked with {"mebibytes": N} it holds on to that much memory.
func throttle(ctx context.Context, args []string) error {
	flags := newServer("throttle")
	if err := flags.Parse(args); err != nil {
		return err
	}
	app := flags.app()
	hold := &held{}
	app.PingHandler(agentruntime.AnyBusy(
		app.AutomaticPingStatus,
		agentruntime.BusyAboveMemory(0.8),
		agentruntime.BusyAboveCPU(0.95),
	))
	app.Entrypoint(agentruntime.JSON(hold.resize))
	return app.Run(ctx)
}

// held is memory that is in use; the invocations of a session come one by one.
type held struct{ bytes []byte }

type size struct {
	Mebibytes int `json:"mebibytes"`
}

func (h *held) resize(_ context.Context, in size) (size, error) {
	if in.Mebibytes < 0 || in.Mebibytes > 1024 {
		return size{}, &agentruntime.HTTPError{Code: http.StatusBadRequest, Message: "mebibytes must be from 0 to 1024"}
	}
	h.bytes = nil
	debug.FreeOSMemory() // Go would keep it for a while
	h.bytes = make([]byte, in.Mebibytes<<20)
	for i := 0; i < len(h.bytes); i += os.Getpagesize() {
		h.bytes[i] = 1 // pages that are only asked for cost nothing
	}
	return in, nil
}
