package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// invoke is a client, since an image made from scratch has no curl:
//
//	agents invoke [URL] [JSON]
//
// It invokes the agent at URL (default http://127.0.0.1:8080, the agent in the
// same pod) with JSON (default {}) and prints the answer.
func invoke(ctx context.Context, args []string) error {
	base, args := target(args)
	payload := "{}"
	switch len(args) {
	case 0:
	case 1:
		payload = args[0]
	default:
		return fmt.Errorf("usage: agents invoke [URL] [JSON], the JSON in quotes")
	}
	return ask(ctx, http.MethodPost, base+contract.InvocationsPath, payload)
}

// ping asks as the operator does: agents ping [URL].
func ping(ctx context.Context, args []string) error { return look(ctx, contract.PingPath, args) }

// tasks and events look at an agent that lets itself be looked at: agents tasks
// [URL], agents events [URL].
func tasks(ctx context.Context, args []string) error { return look(ctx, contract.TasksPath, args) }

func events(ctx context.Context, args []string) error { return look(ctx, contract.EventsPath, args) }

func look(ctx context.Context, path string, args []string) error {
	base, args := target(args)
	if len(args) > 0 {
		return fmt.Errorf("usage: agents %s [URL]", path[1:])
	}
	return ask(ctx, http.MethodGet, base+path, "")
}

// target takes the URL off the arguments.
func target(args []string) (base string, rest []string) {
	if len(args) > 0 && (strings.HasPrefix(args[0], "http://") || strings.HasPrefix(args[0], "https://")) {
		return strings.TrimRight(args[0], "/"), args[1:]
	}
	return fmt.Sprintf("http://127.0.0.1:%d", contract.Port), args
}

func ask(ctx context.Context, method, url, body string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute) // AgentCore's limit for an invocation
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body)) //nolint:gosec // a client goes where its user says
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if session := os.Getenv(contract.EnvRuntimeSessionID); session != "" { // set inside of a session's pod
		request.Header.Set(contract.HeaderSessionID, session)
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // see above
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, _ = fmt.Fprintln(os.Stdout)
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the agent answered %s", response.Status)
	}
	return nil
}
