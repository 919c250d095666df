package prober

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Most agents are silent at once, then some answer again (P24).
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var down atomic.Int32 // agents below this number fail
		p := New(Options{Pinger: PingFunc(func(_ context.Context, t Target) lifecycle.Answer {
			if int32(t.Addr.Addr().As4()[3]) < down.Load() {
				return refused
			}
			return healthy
		})})
		for i := range 20 {
			p.Track(agent(i), lifecycle.Pulse{})
		}
		start(t, p, ignore)
		time.Sleep(time.Millisecond) // to be between two slots
		pings := func(n int) {
			time.Sleep(time.Duration(n) * 2 * time.Second)
			synctest.Wait()
		}
		pings(5)
		down.Store(10)
		pings(10)
		g.Expect(p.Outage(agent(0).UID)).To(BeZero(), "half is not most")

		down.Store(11)
		pings(2)
		g.Expect(p.Outage(agent(0).UID)).To(BeZero(), "two failures are not three")
		pings(1)
		g.Expect(p.Outage(agent(0).UID)).To(BeTemporally("==", time.Now()))
		pings(100)
		g.Expect(p.Outage(agent(0).UID)).To(BeTemporally("==", time.Now()), "while it lasts")

		down.Store(10)
		before := time.Now()
		pings(1)
		ended := p.Outage(agent(0).UID)
		g.Expect(ended).To(BeTemporally("~", before.Add(time.Second), time.Second))
		pings(100)
		g.Expect(p.Outage(agent(0).UID)).To(Equal(ended), "afterwards it stays when it ended")
	})
}

func TestOutageCountsWhoIsTracked(t *testing.T) {
	silent := lifecycle.Pulse{HealthyAt: time.Unix(1, 0), Failures: 3, LastFailure: refused}
	ill := silent
	ill.LastFailure = lifecycle.Answer{Failure: lifecycle.FailureStatusCode}
	fine := lifecycle.Pulse{HealthyAt: time.Unix(1, 0)}
	for name, row := range map[string]struct {
		silent, fine  int
		change        func(p *Prober)
		before, after bool
	}{
		"forgetting those that are silent ends it": {silent: 11, fine: 10, change: func(p *Prober) { p.Forget(agent(0).Key) }, before: true},
		"so does another pod": {silent: 11, fine: 10, before: true, change: func(p *Prober) {
			target := agent(0)
			target.UID = "another"
			p.Track(target, lifecycle.Pulse{})
		}},
		"another address does not": {silent: 11, fine: 10, before: true, after: true, change: func(p *Prober) {
			target := agent(0)
			target.Addr = agent(99).Addr
			p.Track(target, lifecycle.Pulse{})
		}},
		"replacing one that is fine does not make one": {silent: 10, fine: 10, change: func(p *Prober) {
			target := agent(19)
			target.UID = "another"
			p.Track(target, fine)
		}},
		"forgetting one that is fine may": {silent: 10, fine: 10, after: true, change: func(p *Prober) { p.Forget(agent(19).Key) }},
		"nine agents make none":           {silent: 9, change: func(*Prober) {}},
		"agents that never answered do not count": {silent: 9, change: func(p *Prober) {
			for i := range 50 {
				p.Track(agent(100+i), lifecycle.Pulse{Failures: 99, LastFailure: refused})
			}
		}},
		"agents that answer errors do not count": {silent: 10, fine: 10, change: func(p *Prober) {
			for i := range 50 {
				p.Track(agent(100+i), ill)
			}
		}},
		"a namespace's fault is its own, if three others can tell": {silent: 20, before: true, change: func(p *Prober) {
			for i := range 3 {
				p.Track(stranger(i), fine)
			}
		}},
		"two others cannot tell": {silent: 20, before: true, after: true, change: func(p *Prober) {
			for i := range 2 {
				p.Track(stranger(i), fine)
			}
		}},
		"others that are silent too make one of all": {silent: 20, before: true, after: true, change: func(p *Prober) {
			for i := range 3 {
				seed := silent
				if i == 2 {
					seed = fine
				}
				p.Track(stranger(i), seed)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := New(Options{})
			for i := row.silent + row.fine - 1; i >= 0; i-- {
				seed := silent
				if i >= row.silent {
					seed = fine
				}
				p.Track(agent(i), seed)
			}
			g.Expect(p.InOutage()).To(Equal(row.before))
			row.change(p)
			g.Expect(p.InOutage()).To(Equal(row.after))
			g.Expect(p.outage.Ended.IsZero()).To(Equal(!row.before || row.after))
		})
	}
}

// stranger is an agent of another namespace.
func stranger(i int) Target {
	t := agent(1000 + i)
	t.Key.Namespace = "another-team"
	return t
}

// The counters are kept step by step; they must be what a count would give.
func TestOutageCountersHold(t *testing.T) {
	g := NewWithT(t)
	random := rand.New(rand.NewPCG(1, 2))
	p := New(Options{})
	failures := []lifecycle.Answer{refused, {Failure: lifecycle.FailureTimeout}, {Failure: lifecycle.FailureStatusCode}}
	for range 20_000 {
		target := agent(random.IntN(30))
		if random.IntN(2) == 0 {
			target = stranger(random.IntN(10))
		}
		e := p.entries[target.Key]
		switch roll := random.IntN(20); {
		case roll == 0:
			p.Forget(target.Key)
		case roll == 1:
			target.UID += "'"
			p.Track(target, lifecycle.Pulse{})
		case roll == 2 || e == nil:
			p.Track(target, lifecycle.Pulse{HealthyAt: time.Unix(1, 0)})
		case roll < 15:
			p.take(e, failures[random.IntN(len(failures))], wallNow())
		default:
			p.take(e, healthy, wallNow())
		}
		var want outage
		for _, e := range p.entries {
			want.count(e.target.Key.Namespace, e.pulse, 1)
		}
		got := p.outage
		g.Expect(got.Lasting).To(Equal(lifecycle.MassFailure(want.all, want.spaces)))
		if len(got.spaces) == 0 {
			got.spaces = nil
		}
		got.Outage = lifecycle.Outage{}
		g.Expect(got).To(Equal(want))
	}
}
