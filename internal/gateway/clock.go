package gateway

import (
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

const (
	// clockTolerance is by how much the clock may differ from the API server's. Leases
	// need it right to a quarter of the idle timeout, 15 s at least.
	clockTolerance = 5 * time.Second
	// slowAnswer is how long an answer may take and still tell the time.
	slowAnswer = time.Second
)

// Clock is the API server's, as near as its answers tell: the moments that operator and
// gateways write are compared with it. Between answers it runs with the machine's
// monotonic clock. The wall clock of the machine, which may be set at any moment, is only
// where it begins.
type Clock struct {
	log     logr.Logger
	wall    func() time.Time
	elapsed func() time.Duration

	mu   sync.Mutex
	zero time.Time     // when nothing had elapsed
	said time.Duration // how far the wall clock was ahead, when that was last said
}

// NewClock makes a clock that no answer has told the time yet.
func NewClock(log logr.Logger) *Clock {
	began := time.Now()
	return newClock(log, func() time.Time { return time.Now().Round(0) }, func() time.Duration { return time.Since(began) })
}

func newClock(log logr.Logger, wall func() time.Time, elapsed func() time.Duration) *Clock {
	return &Clock{log: log, wall: wall, elapsed: elapsed, zero: wall().Add(-elapsed())}
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.zero.Add(c.elapsed())
}

// Through has the answers on a way to the API server tell the time.
func (c *Clock) Through(way http.RoundTripper) http.RoundTripper { return timed{way, c} }

type timed struct {
	http.RoundTripper

	clock *Clock
}

func (t timed) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := t.clock.elapsed()
	answer, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		t.clock.hear(at, asked)
	}
	return answer, nil
}

// hear takes up which second it was at the API server, at a moment since it was asked.
func (c *Clock) hear(second time.Time, asked time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.elapsed()
	if now-asked > slowAnswer {
		return
	}
	at := second.Add(time.Second / 2)
	if ahead := c.zero.Add(now).Sub(at); ahead.Abs() > clockTolerance {
		c.zero = c.zero.Add(-ahead)
	}
	c.say(c.wall().Sub(at))
}

// say says how far the machine's wall clock is ahead, once for each change.
func (c *Clock) say(ahead time.Duration) {
	clockAhead.Set(ahead.Seconds())
	switch {
	case ahead.Abs() > clockTolerance && (ahead-c.said).Abs() > clockTolerance:
		c.said = ahead
		c.log.Info("The clock of this machine is not the API server's, by which leases go", "ahead", ahead.Round(time.Second).String())
	case ahead.Abs() < clockTolerance/2 && c.said != 0:
		c.said = 0
		c.log.Info("The clock of this machine is the API server's again")
	}
}
