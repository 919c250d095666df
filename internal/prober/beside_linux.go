package prober

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// trial is the second connection's: the first one is held, with what came over it.
type trial struct {
	fd     int32
	answer lifecycle.Answer
}

// try asks on a second connection. No event tells of the first one meanwhile.
func (c *conn) try(answer lifecycle.Answer) {
	c.trial = &trial{c.fd, answer}
	c.loop.byFD[c.fd] = nil
	c.state, c.got, c.pieces = stateClosed, nil, 0
	c.connect()
}

// endTrial takes what came of the second connection, which is the one that is kept,
// and returns what came over the first.
func (c *conn) endTrial(second lifecycle.Answer, err error, keep bool) (lifecycle.Answer, error, bool) {
	first := c.trial
	c.trial = nil
	_ = unix.Close(int(first.fd))
	switch {
	case errors.Is(err, context.Canceled):
		return lifecycle.Answer{}, err, false
	case err == nil: // else it could not be made for a reason of our own, and is another time
		c.beside = c.beside.after(second)
	}
	return first.answer, nil, keep
}
