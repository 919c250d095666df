package prober

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// freePieces is in how many pieces an answer may come before it is paced:
	// an agent must not have it judged for every byte.
	freePieces = 4
	// maxMemo is how long an answer's body may be to be remembered.
	maxMemo = 128
)

// read takes in a piece of the answer. hungUp tells that the agent sends no
// more after that.
func (c *conn) read(hungUp bool) {
	b := append(c.loop.buffer[:0], c.got...)
	n, err := unix.Read(int(c.fd), b[len(b):cap(b)])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil || n == 0:
		c.readEnd(b, err)
		return
	}
	b = b[:len(b)+n]
	answer, keep, more := c.judge(b, false)
	switch {
	case !more:
		c.finish(answer, nil, keep && c.pieces <= freePieces)
	case hungUp:
		c.got = append(c.got[:0], b...)
		c.read(true) // up to the end, which no event will tell
	default:
		c.got = append(c.got[:0], b...)
		if c.pieces++; c.pieces == freePieces+1 {
			c.pace()
		}
	}
}

// readEnd judges what came before the end of a connection.
func (c *conn) readEnd(b []byte, err error) {
	switch {
	case len(b) == 0:
		c.isLost()
	case err != nil:
		c.finish(c.cut(b, cutOff(err)), nil, false)
	default:
		answer, _, _ := c.judge(b, true)
		c.finish(answer, nil, false)
	}
}

// cut judges an answer of which b came and no more, which is a failure: but of MCP's,
// and of one with a code of failure, the head is enough.
func (c *conn) cut(b []byte, failure lifecycle.Answer) lifecycle.Answer {
	if len(b) == 0 {
		return failure
	}
	answer, _, _ := c.judge(b, true)
	mcp := c.question().MCP != ""
	if answer.Failure == "" && mcp || answer.Failure == lifecycle.FailureStatusCode && !mcp {
		return answer
	}
	return failure
}

// judge reads an answer of which b has come. ended tells that there will be no
// more of it; if there must be, it returns more.
func (c *conn) judge(b []byte, ended bool) (answer lifecycle.Answer, keep, more bool) {
	code, body, usual := usualAnswer(c.question(), b)
	switch {
	case !usual:
		return judge(c.question(), b, ended)
	case len(body) > 0 && string(body) == string(c.memo):
		return c.memoAnswer, true, false
	}
	answer = judgeUsual(c.question(), code, body)
	if c.memo = c.memo[:0]; answer.Failure == "" && len(body) <= maxMemo {
		c.memo, c.memoAnswer = append(c.memo, body...), answer
	}
	return answer, true, false
}

// pace has the connection read at times of our own, after too many pieces.
func (c *conn) pace() {
	_ = unix.EpollCtl(c.loop.epoll, unix.EPOLL_CTL_DEL, int(c.fd), nil) // it is there
	c.loop.paced, c.look = append(c.loop.paced, c), 0
}

func (c *conn) paced() bool { return c.state == stateAsked && c.pieces > freePieces }

// readPaced is called once a slot. Each look is at all that has come, and the
// next one comes when the answer has taken twice as long: they are few, however
// long it takes, and find its end in twice its time at the latest.
func (l *loop) readPaced(now time.Time) {
	l.paced = slices.DeleteFunc(l.paced, func(c *conn) bool {
		if took := now.Sub(c.begun); c.paced() && took >= c.look {
			c.look = 2 * took
			c.read(false)
		}
		return !c.paced()
	})
}
