package prober

import (
	"context"
	"errors"
	"time"
)

// asker makes the pings of one Prober: loop, or goroutines.
type asker interface {
	// open returns a line to one agent. It is called under Prober.mu and does no
	// I/O.
	open(e *entry) line
	// wait returns true at a moment, or false when ctx ends.
	wait(ctx context.Context, until time.Time) bool
	// end cancels what is out.
	end()
}

// line asks one agent, over one connection at most.
type line interface {
	// ask makes a ping that is due at a moment. Prober.answered gets what came
	// of it, once. No other may be out.
	ask(due time.Time)
	// cancel ends the ping that is out, or about to be. It may be called from
	// any goroutine, under Prober.mu.
	cancel()
	// close drops the connection. No ping may be out.
	close()
}

func (p *Prober) newAsker() asker {
	if p.opts.Pinger == nil {
		return newLoop(p)
	}
	return newGoroutines(p, p.opts.Pinger)
}

// goroutines is the portable asker: a goroutine for each ping that is out.
type goroutines struct {
	prober  *Prober
	pinger  Pinger
	running context.Context //nolint:containedctx // the parent of all pings
	stop    context.CancelFunc
	timer   *time.Timer
}

func newGoroutines(p *Prober, pinger Pinger) *goroutines {
	running, stop := context.WithCancel(context.Background())
	return &goroutines{p, pinger, running, stop, time.NewTimer(0)}
}

func (g *goroutines) open(e *entry) line {
	return &goLine{all: g, entry: e, line: g.pinger.Open(e.target)}
}

func (g *goroutines) wait(ctx context.Context, until time.Time) bool {
	g.timer.Reset(time.Until(until))
	select {
	case <-ctx.Done():
		return false
	case <-g.timer.C:
		return true
	}
}

func (g *goroutines) end() {
	g.timer.Stop()
	g.stop()
}

// goLine is a Line that is asked in a goroutine.
type goLine struct {
	all   *goroutines
	entry *entry
	line  Line

	// Under Prober.mu:
	cancelled bool
	stop      context.CancelFunc // ends the ping that is out
}

func (l *goLine) ask(due time.Time) {
	p := l.all.prober
	ctx, stop := context.WithTimeout(l.all.running, p.opts.Timeout)
	p.mu.Lock()
	l.stop = stop
	if l.cancelled {
		stop()
	}
	p.mu.Unlock()
	p.probes.Go(func() {
		defer stop()
		begun := time.Now()
		answer, err := l.line.Ping(ctx)
		if errors.Is(ctx.Err(), context.Canceled) { // an answer in time does not cancel
			err = context.Canceled
		}
		p.answered(l.entry, answer, err, due, begun)
	})
}

func (l *goLine) cancel() {
	l.cancelled = true
	if l.stop != nil {
		l.stop()
	}
}

func (l *goLine) close() { l.line.Close() }
