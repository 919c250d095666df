package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// order is a payload that tells the agent what to do.
type order struct {
	Do       string              `json:"do"`
	Value    json.RawMessage     `json:"value"`
	Text     string              `json:"text"`
	Task     string              `json:"task"`
	Metadata map[string]any      `json:"metadata"`
	Status   agentruntime.Status `json:"status"`
	Kind     string              `json:"kind"`
	Count    int                 `json:"count"`
	Code     int                 `json:"code"`
}

// invoke is the entrypoint.
func (a *agent) invoke(ctx context.Context, r agentruntime.Request) (any, error) {
	var o order
	_ = json.Unmarshal(r.Payload, &o) // what is no order is echoed below
	switch o.Do {
	case "echo":
		return o.Value, nil
	case "context":
		return contextOf(ctx), nil
	case "log":
		a.app.Logger().InfoContext(ctx, o.Text)
		return contextOf(ctx), nil
	case "block":
		a.waitForRelease()
		return "released", nil
	case "serve-websocket":
		a.app.WebSocket(talk)
		return "served", nil
	case "add", "complete", "complete-unknown", "info", "wrapper", "storm":
		return a.task(ctx, o), nil
	case "force", "clear", "ping-handler", "custom-status":
		return a.status(o), nil //nolint:contextcheck // AWS's SDK gives its status functions none either
	case "raise", "http-error", "response", "unencodable", "stream", "stream-error", "stream-endless":
		return a.answer(o)
	}
	return r.Payload, nil
}

// answer obeys the orders to answer in a way.
func (a *agent) answer(o order) (any, error) {
	switch o.Do {
	case "raise":
		return nil, errors.New(o.Text)
	case "http-error":
		return nil, &agentruntime.HTTPError{Code: o.Code, Message: o.Text}
	case "response":
		header := http.Header{"Content-Type": {"text/csv; charset=utf-8"}}
		return agentruntime.Response{Code: o.Code, Header: header, Body: strings.NewReader(o.Text)}, nil
	case "stream":
		return a.stream(3, nil), nil
	case "stream-error":
		return a.stream(2, errors.New("mid")), nil
	case "stream-endless":
		return a.streamEndless(), nil
	}
	return func() {}, nil // no JSON
}

// task obeys the orders about tasks.
func (a *agent) task(ctx context.Context, o order) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch o.Do {
	case "add":
		a.tasks[o.Task] = a.app.AddAsyncTask(o.Task, o.Metadata)
		return "added"
	case "complete":
		return a.app.CompleteAsyncTask(a.tasks[o.Task])
	case "complete-unknown":
		return a.app.CompleteAsyncTask(4711)
	case "wrapper":
		return a.runWrapper(ctx, o.Text)
	case "storm":
		return a.storm(o.Count)
	}
	return a.app.TaskInfo()
}

// status obeys the orders about the ping status.
func (a *agent) status(o order) any {
	switch o.Do {
	case "force":
		a.app.ForcePingStatus(o.Status)
		return "forced"
	case "clear":
		a.app.ClearForcedPingStatus()
		return "cleared"
	case "ping-handler":
		a.app.PingHandler(a.pingHandler(o.Kind))
		return "set"
	}
	a.customStatus.Store(o.Status)
	return "set"
}
