package prober

import (
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// beside is whether an agent serves a second connection beside the one that is kept.
// A server with one thread that keeps connections alive does not: whoever keeps one
// keeps everybody else out. It is found out at the first good answer: the agent is asked
// again, on another connection, before that answer is told. So nobody knows of an agent that
// cannot be called yet. Where the second connection was not served it is tried once more, at
// the next good answer: a machine that stood still for a moment would else cost a connection
// for each ping as long as the agent lives.
type beside uint8

const (
	besideUnknown beside = iota
	// besideServed is an agent whose connection is kept.
	besideServed
	// besideDoubted is one whose second connection was not served once. It gets its
	// connection back.
	besideDoubted
	// besideNot is one that gets its connection back after each ping.
	besideNot
)

// tries tells whether to find it out now, with an answer that took a part of the time
// that a ping has. The rest must be enough: an agent that is merely slow is asked
// again another time.
func (b beside) tries(answer lifecycle.Answer, took, timeout time.Duration) bool {
	return (b == besideUnknown || b == besideDoubted) && answer.Failure == "" && took < timeout/2
}

// connections is what is told of it. An agent in doubt counts as one that serves one: a call
// that closes its connection costs little, and one that keeps it may hold all others up.
func (b beside) connections() lifecycle.Connections {
	switch b {
	case besideServed:
		return lifecycle.ConnectionsMany
	case besideDoubted, besideNot:
		return lifecycle.ConnectionsOne
	case besideUnknown:
	}
	return lifecycle.ConnectionsUnknown
}

// after is what is known after an answer on the second connection, or none. What it says
// of the agent does not count.
func (b beside) after(second lifecycle.Answer) beside {
	switch second.Failure {
	case lifecycle.FailureConnect, lifecycle.FailureTimeout, lifecycle.FailureProtocol:
		if b == besideUnknown {
			return besideDoubted
		}
		return besideNot
	case lifecycle.FailureStatusCode, lifecycle.FailureBody, lifecycle.FailureUnhealthy:
	}
	return besideServed
}
