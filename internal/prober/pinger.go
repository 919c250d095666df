package prober

import (
	"context"
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Pinger is the way in which agents are asked: HTTPPinger, or PingFunc in tests.
type Pinger interface {
	// Open returns a line to one agent. It is called under the prober's lock
	// and does no I/O: connections are made by Ping.
	Open(t Target) Line
}

// Line asks one agent, over one connection at most. Its methods are never
// called at the same time.
type Line interface {
	// Ping asks once, and returns when ctx ends at the latest. An error is a
	// reason of our own for which the agent could not be asked: the ping was
	// missed. What the agent did wrong is a lifecycle.Failure. An empty
	// Answer.Detail of a timeout is filled in by the prober.
	Ping(ctx context.Context) (lifecycle.Answer, error)
	// Close drops the connection, if any.
	Close()
}

// PingFunc is a Pinger without connections.
type PingFunc func(ctx context.Context, t Target) lifecycle.Answer

// Open returns a Line that calls f.
func (f PingFunc) Open(t Target) Line { return funcLine{ping: f, target: t} }

type funcLine struct {
	ping   PingFunc
	target Target
}

func (l funcLine) Ping(ctx context.Context) (lifecycle.Answer, error) {
	return l.ping(ctx, l.target), nil
}

func (funcLine) Close() {}

// describe makes an answer fit for events and conditions, whatever the agent
// put into it: the same failure gives the same text, in one printable line.
func describe(a lifecycle.Answer, q lifecycle.Question, timeout time.Duration) lifecycle.Answer {
	if a.Detail == "" {
		switch a.Failure {
		case lifecycle.FailureTimeout:
			a.Detail = q.String() + " was not answered within " + timeout.String()
		case lifecycle.FailureConnect:
			a.Detail = "no connection within " + timeout.String()
		case lifecycle.FailureStatusCode, lifecycle.FailureProtocol, lifecycle.FailureBody, lifecycle.FailureUnhealthy:
		}
	}
	a.Detail = lifecycle.Printable(a.Detail)
	return a
}
