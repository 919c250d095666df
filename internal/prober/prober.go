package prober

import (
	"context"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Target is one agent to ask.
type Target struct {
	// Key names the session.
	Key types.NamespacedName
	// UID is the pod's: an answer counts only while it is still this pod, at
	// this address.
	UID types.UID
	// Addr is the pod's address and its ping port.
	Addr netip.AddrPort
	// Question is what it is asked.
	Question lifecycle.Question
	// FailureThreshold is the session's: when to tell of failures, see
	// lifecycle.Pulse.Tells.
	FailureThreshold int
}

// Event is what came of one ping, for metrics.
type Event struct {
	// Missed counts pings that were due and not made for a reason of our own:
	// no place, the last one still out, no descriptor, the process starved or
	// stopped. The other fields are zero then.
	Missed int
	// Failure is empty for a good answer.
	Failure lifecycle.Failure
	// Late is how long after its moment the ping was made.
	Late time.Duration
	// Took is how long the answer took.
	Took time.Duration
}

// Options of a Prober. The zero value is the contract's heartbeat over HTTP.
type Options struct {
	// Period is the time between two pings of an agent, whatever it answers;
	// contract.PingPeriod by default.
	Period time.Duration
	// Timeout is how long an answer may take. Three quarters of Period by
	// default, 500 ms at least: with a shorter period a slow agent is asked
	// more seldom, not failed.
	Timeout time.Duration
	// MaxInFlight bounds the pings that are out at the same time, 10,000 by
	// default: a place for each session that one operator serves, so that no
	// number of hanging agents takes another's place. Beyond that, half of
	// the places are for agents whose last ping did not fail, and the others
	// take turns. An idle connection is kept for each agent besides.
	MaxInFlight int
	// Pinger, if given, asks each agent in a goroutine: a fake in tests, or
	// HTTPPinger. By default one goroutine asks all agents over epoll where the
	// system has that (Linux), and HTTPPinger does elsewhere.
	Pinger Pinger
	// Tasks asks an agent GET /tasks, with a token; over HTTP by default.
	Tasks func(ctx context.Context, t Target, token string) (contract.Tasks, error)
	// Observe, if given, is called for every ping, from many goroutines, and
	// must be cheap.
	Observe func(Event)
}

func (o Options) withDefaults() Options {
	if o.Period <= 0 {
		o.Period = contract.PingPeriod
	}
	if o.Timeout <= 0 {
		o.Timeout = max(o.Period*3/4, 500*time.Millisecond)
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 10_000
	}
	if o.Tasks == nil {
		o.Tasks = FetchTasks
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	return o
}

// Prober asks the agents that it is told to track. Its methods may be called
// from any goroutine, before Start and after.
type Prober struct {
	opts   Options
	now    func() time.Time           // the time of pulses; the cadence does not go by it
	slot   time.Duration              // the time between two slots
	probes sync.WaitGroup             // goroutines that ask
	notify func(types.NamespacedName) // set by Start, before the first ping
	asker  asker                      // by Start too
	asked  []*entry                   // those of the slot that is fired
	made   time.Time
	turned atomic.Int64 // how long after made the last turn was; 0 while there is none

	mu       sync.Mutex
	entries  map[types.NamespacedName]*entry
	wheel    wheel
	outage   outage
	inFlight int
	crowded  int // the last slot in which an agent that fails found no place
	asking   int // how many are asked for their tasks
	started  bool
	ended    bool // nobody is asked any more
}

// entry is one pod at one address. A session whose pod or address is another
// gets another entry: what the old one's ping brings then finds itself gone.
type entry struct {
	target      Target // as first tracked
	slot, index int    // its place in the wheel

	// Under Prober.mu:
	line      line // nil before the first ping and after the end
	out       bool // a ping is
	next      int  // the slot from which it may be asked if it fails
	threshold int
	pulse     lifecycle.Pulse
	asking    bool            // for its tasks
	work      *lifecycle.Work // what it told of them; nil for the many that are never asked
}

// New returns a Prober that tracks nobody yet.
func New(opts Options) *Prober {
	opts = opts.withDefaults()
	return &Prober{
		opts:    opts,
		now:     wallNow,
		made:    time.Now(),
		slot:    max(opts.Period/slots, 1),
		entries: map[types.NamespacedName]*entry{},
		crowded: math.MinInt / 2, // never
	}
}

// GoBy has all pulses in the time that now tells, in the place of the machine's. It is for
// before anybody is tracked.
func (p *Prober) GoBy(now func() time.Time) { p.now = now }

// Track has the agent asked from its next slot on. It may be called at every
// look at a session: what is known changes nothing. Another UID starts from
// seed, on a new connection, and what the old pod still answers is dropped.
// Another Addr or Question of the same UID keeps the pulse, and else does the same.
func (p *Prober) Track(t Target, seed lifecycle.Pulse) {
	p.mu.Lock()
	old := p.entries[t.Key]
	if old != nil && old.target.UID == t.UID && old.target.Addr == t.Addr && old.target.Question == t.Question {
		old.threshold = t.FailureThreshold
		p.mu.Unlock()
		return
	}
	var before lifecycle.Pulse
	var idle line
	if old != nil {
		before, idle = old.pulse, p.remove(old)
		if old.target.UID == t.UID {
			seed = old.pulse
		}
	}
	added := &entry{target: t, threshold: t.FailureThreshold, pulse: seed}
	p.entries[t.Key] = added
	p.wheel.add(added)
	p.outage.move(t.Key.Namespace, before, seed, p.now())
	p.mu.Unlock()
	hangUp(idle)
}

// Forget ends the asking. What is still out is dropped.
func (p *Prober) Forget(key types.NamespacedName) {
	p.mu.Lock()
	var idle line
	if old := p.entries[key]; old != nil {
		idle = p.remove(old)
		p.outage.move(key.Namespace, old.pulse, lifecycle.Pulse{}, p.now())
	}
	p.mu.Unlock()
	hangUp(idle)
}

// remove takes e out and returns its line to be closed, or nil if a ping has
// it: that one is ended, finds its entry gone and closes the line itself.
func (p *Prober) remove(e *entry) line {
	delete(p.entries, e.target.Key)
	p.wheel.remove(e)
	if e.out {
		e.line.cancel()
		return nil
	}
	return e.line
}

func hangUp(l line) {
	if l != nil {
		l.close()
	}
}

// Pulse returns what is known of the session's agent, if it is the pod with
// that UID that is asked.
func (p *Prober) Pulse(key types.NamespacedName, uid types.UID) (lifecycle.Pulse, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[key]
	if e == nil || e.target.UID != uid {
		return lifecycle.Pulse{}, false
	}
	return e.pulse, true
}

// Outage returns the last moment at which most of all agents were silent at once:
// the present while that lasts, zero if it never happened. Then the fault is not
// theirs. It protects the agent of the pod with that UID for 10 to 40 minutes.
func (p *Prober) Outage(uid types.UID) time.Time {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outage.ProtectedUntil(now, string(uid))
}

// InOutage tells whether there is one now.
func (p *Prober) InOutage() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outage.Lasting
}

// Stalled tells for how long no agent's turn has come: far below a period while agents are
// asked, and 0 before Start and after the end. It waits for nothing that could hang.
func (p *Prober) Stalled() time.Duration {
	turned := p.turned.Load()
	if turned == 0 {
		return 0
	}
	return time.Since(p.made) - time.Duration(turned)
}

// Len returns how many agents are tracked.
func (p *Prober) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.entries)
}

// wallNow is the machine's time without its monotonic reading, which stands still while
// the machine sleeps.
func wallNow() time.Time { return time.Now().Round(0) }
