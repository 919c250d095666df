package prober

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// stalledFor is how long after its deadline a ping may end: beyond that it was this
// process that was late, and perhaps not the agent. A good answer that lay in the
// socket meanwhile says what was, and perhaps is no more.
const stalledFor = 500 * time.Millisecond

// Start asks the agents until ctx ends, waits for the pings that are out,
// closes all connections and returns nil. It works once. notify is called with
// the sessions that are worth a look (lifecycle.Pulse.Tells) from many
// goroutines at once, and must not block.
func (p *Prober) Start(ctx context.Context, notify func(types.NamespacedName)) error {
	p.mu.Lock()
	again := p.started
	p.started = true
	if !again {
		p.notify = notify
	}
	p.mu.Unlock()
	if again {
		return errors.New("start prober: it was started before")
	}
	p.asker = p.newAsker()
	p.turn(ctx)
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.asker.end()
	p.probes.Wait()
	p.hangUpAll()
	return nil
}

// turn fires slot after slot: number n is due n slots after the start, however
// long the ones before took, so nothing drifts. Slots that are late are made
// up for at once. After a whole period without a turn (a stopped process) it
// goes on with the present one: nobody is asked twice for one period.
func (p *Prober) turn(ctx context.Context) {
	start := time.Now()
	p.turns()
	defer p.turned.Store(0)
	for next := 0; p.asker.wait(ctx, start.Add(time.Duration(next)*p.slot)); {
		p.turns()
		present := int(time.Since(start) / p.slot)
		if behind := present - next; behind >= slots {
			p.skip(next, behind)
			next = present
		}
		for ; next <= present; next++ {
			p.fire(next, start.Add(time.Duration(next)*p.slot))
		}
	}
}

// turns notes that the loop goes on.
func (p *Prober) turns() { p.turned.Store(int64(max(time.Since(p.made), 1))) }

// skip counts the pings of n slots as missed.
func (p *Prober) skip(first, n int) {
	p.mu.Lock()
	missed := p.wheel.count(first%slots, n)
	p.mu.Unlock()
	if missed > 0 {
		p.opts.Observe(Event{Missed: missed})
	}
}

// fire asks the agents of slot n, counted from the start, which was due at due.
func (p *Prober) fire(n int, due time.Time) {
	p.mu.Lock()
	missed := 0
	for _, e := range p.wheel[n%slots] {
		if e.out || !p.hasPlace(e, n) {
			missed++
			continue
		}
		p.inFlight++
		e.out, e.next = true, n+p.round()
		if e.line == nil {
			e.line = p.asker.open(e)
		}
		p.asked = append(p.asked, e)
	}
	p.mu.Unlock()
	if missed > 0 {
		p.opts.Observe(Event{Missed: missed})
	}
	for _, e := range p.asked {
		e.line.ask(due)
	}
	clear(p.asked)
	p.asked = p.asked[:0]
}

// hasPlace tells whether e may be asked in slot n. Agents whose last ping failed
// get half of the places, so that those that hang leave room for the rest. Where
// that was too few a round ago, they take turns: one that was asked waits until all
// of them could have been, or else those that are due first would take the places of
// the others for ever.
func (p *Prober) hasPlace(e *entry, n int) bool {
	if e.pulse.Failures == 0 {
		return p.inFlight < p.opts.MaxInFlight
	}
	if p.inFlight >= p.failingPlaces() {
		p.crowded = n
		return false
	}
	return n >= e.next || n-p.crowded > p.round()
}

func (p *Prober) failingPlaces() int { return max(p.opts.MaxInFlight/2, 1) }

// round is how many slots it takes to ask all agents that fail, if all hang.
func (p *Prober) round() int {
	out := max(int(p.opts.Timeout/p.slot), slots) // a ping is, at most
	return p.outage.failed * out / p.failingPlaces()
}

// answered takes what a ping brought that was made at begun, and lets its agent
// be asked again. err is context.Canceled if nobody waits for it any more, and
// else a reason of our own for which the agent could not be asked.
func (p *Prober) answered(e *entry, answer lifecycle.Answer, err error, due, begun time.Time) {
	took, now := time.Since(begun), p.now()
	cancelled := errors.Is(err, context.Canceled)
	answer.Took = max(took, wallNow().Sub(begun.Round(0))) // the machine may have slept
	missed := err != nil || answer.Took > p.opts.Timeout+stalledFor

	p.mu.Lock()
	p.inFlight--
	e.out = false
	gone := p.entries[e.target.Key] != e
	tells := !gone && !missed && p.take(e, answer, now)
	p.mu.Unlock()

	switch {
	case gone:
		e.line.close()
	case cancelled:
	case missed:
		p.opts.Observe(Event{Missed: 1})
	default:
		p.opts.Observe(Event{Failure: answer.Failure, Late: begun.Sub(due), Took: took})
	}
	if tells {
		p.notify(e.target.Key)
	}
}

// take adds an answer that came at now to the pulse and tells whether that is worth a
// look.
func (p *Prober) take(e *entry, a lifecycle.Answer, now time.Time) bool {
	before := e.pulse
	e.pulse = before.Observe(describe(a, e.target.Question, p.opts.Timeout), now, p.opts.Period)
	p.outage.move(e.target.Key.Namespace, before, e.pulse, now)
	return before.Tells(e.pulse, e.threshold)
}

// hangUpAll closes what is idle; nothing is out any more.
func (p *Prober) hangUpAll() {
	p.mu.Lock()
	lines := make([]line, 0, len(p.entries))
	for _, e := range p.entries {
		lines = append(lines, e.line)
		e.line = nil // or else Forget would close it too, at the same time
	}
	p.mu.Unlock()
	for _, line := range lines {
		hangUp(line)
	}
}
