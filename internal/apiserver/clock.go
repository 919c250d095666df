package apiserver

import (
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Clock tells the time of the cluster: the API server's, as its answers say it, and what
// has passed here since. That the machine's own clock is set, or is wrong, changes
// nothing but what Skew says, and a line in the log.
type Clock struct {
	machine clock.PassiveClock
	log     logr.Logger
	made    time.Time // with the reading that Since goes by

	mu       sync.RWMutex
	measured lifecycle.Clock
	skew     time.Duration // of the machine's clock
	logged   time.Duration // what of it was said
	steps    int
}

// tolerance is how far the machine's clock may be off before that is said.
const tolerance = 5 * time.Second

// NewClock returns a clock that has heard nothing yet and begins with the machine's time.
func NewClock(machine clock.PassiveClock, log logr.Logger) *Clock {
	return &Clock{machine: machine, log: log, made: machine.Now()}
}

// monotonic is the process's own count: it is never set.
func (c *Clock) monotonic() time.Time { return c.made.Round(0).Add(c.machine.Since(c.made)) }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.measured.At(c.monotonic())
}

// Heard tells whether the API server has said what time it is: until then, and where all its
// answers are slow or without a Date, Now is the machine's.
func (c *Clock) Heard() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.measured.Heard()
}

// Read returns facts as they are at a moment by this clock.
func (c *Clock) Read(f lifecycle.Facts, now time.Time) lifecycle.Facts {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.measured.Read(f, now)
}

// Past is a moment that somebody wrote, as long ago as has passed since.
func (c *Clock) Past(t time.Time) time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.measured.Past(t)
}

// Skew is by how much the machine's clock is ahead, as of the API server's last answer.
func (c *Clock) Skew() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.skew
}

// Steps is how often the API server's time moved otherwise than what passed here.
func (c *Clock) Steps() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.steps
}

// Series are the metrics that tell of clocks.
func (c *Clock) Series() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "agentsession_clock_skew_seconds",
			Help: "By how much the clock of this machine is ahead of the API server's, by which rules and leases go, to about 6 s.",
		}, func() float64 { return c.Skew().Seconds() }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "agentsession_clock_steps_total",
			Help: "How often the API server's time moved otherwise than what passed here: its clock was set, or this machine stood still.",
		}, func() float64 { return float64(c.Steps()) }),
	}
}

// Listen has the clock hear what the API server answers.
func (c *Clock) Listen(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &listening{next, c} })
	return config
}

type listening struct {
	http.RoundTripper
	clock *Clock
}

func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := l.clock.monotonic()
	answer, err := l.RoundTripper.RoundTrip(r)
	if err != nil || answer.StatusCode >= http.StatusInternalServerError { // which a proxy may say in its place
		return answer, err
	}
	if said, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		l.clock.observe(said, sent)
	}
	return answer, nil
}

func (c *Clock) observe(said, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	received := c.monotonic()
	next, by := c.measured.Hear(said, sent, received)
	c.measured, c.skew = next, c.machine.Now().Sub(next.At(received))
	if by != 0 {
		c.steps++
		c.log.Info("The API server's clock was set, or this machine stood still: what was before counts as long ago as has passed here", "by", by)
	}
	c.logSkew()
}

// logSkew says how far the machine's clock is off, once for each change.
func (c *Clock) logSkew() {
	switch off := c.skew.Abs() > tolerance; {
	case off && (c.skew-c.logged).Abs() > tolerance:
		c.logged = c.skew
		c.log.Info("The clock of this machine is not the API server's, by which the rules go", "ahead", c.skew.Round(time.Second).String())
	case !off && c.logged != 0:
		c.logged = 0
		c.log.Info("The clock of this machine is the API server's again")
	}
}
