package prober

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// lines is a Pinger that counts how often lines are opened and closed.
type lines struct {
	ping           func(ctx context.Context, t Target) (lifecycle.Answer, error)
	opened, closed atomic.Int32
}

func (l *lines) Open(t Target) Line {
	l.opened.Add(1)
	return &countedLine{lines: l, target: t}
}

type countedLine struct {
	lines  *lines
	target Target
	used   sync.Mutex
}

func (l *countedLine) Ping(ctx context.Context) (lifecycle.Answer, error) {
	if !l.used.TryLock() {
		panic("a line is used twice at once")
	}
	defer l.used.Unlock()
	return l.lines.ping(ctx, l.target)
}

func (l *countedLine) Close() {
	if !l.used.TryLock() {
		panic("a line is closed while it is used")
	}
	defer l.used.Unlock()
	l.lines.closed.Add(1)
}

func TestOptionsDefault(t *testing.T) {
	g := NewWithT(t)
	o := Options{}.withDefaults()
	g.Expect([]time.Duration{o.Period, o.Timeout}).To(Equal([]time.Duration{2 * time.Second, 1500 * time.Millisecond}))
	o = Options{Period: 100 * time.Millisecond}.withDefaults()
	g.Expect(o.Timeout).To(Equal(500 * time.Millisecond))
}

func TestTrackIsIdempotent(t *testing.T) {
	g := NewWithT(t)
	p := New(Options{})
	p.Track(agent(1), lifecycle.Pulse{Failures: 4})
	first := p.entries[agent(1).Key]
	again := agent(1)
	again.FailureThreshold = 3
	p.Track(again, lifecycle.Pulse{Failures: 9})

	pulse, ok := p.Pulse(again.Key, again.UID)
	g.Expect(ok).To(BeTrue())
	g.Expect(pulse.Failures).To(Equal(4), "the seed is for new pods")
	g.Expect(p.entries[again.Key]).To(BeIdenticalTo(first))
	g.Expect(first.threshold).To(Equal(3))
	g.Expect(p.Len()).To(Equal(1))

	p.Forget(again.Key)
	p.Forget(again.Key)
	_, ok = p.Pulse(again.Key, again.UID)
	g.Expect(ok).To(BeFalse())
}

// What an agent answers counts only while it is the one that is tracked (P16).
func TestAnswerOfOneThatIsGone(t *testing.T) {
	old, next := agent(1), agent(2)
	newPod, newAddr := old, old
	newPod.UID, newAddr.Addr = next.UID, next.Addr
	for name, row := range map[string]struct {
		change func(p *Prober)
		now    Target
		kept   bool // the pulse
		gone   bool
	}{
		"another pod":       {change: func(p *Prober) { p.Track(newPod, lifecycle.Pulse{Failures: 7}) }, now: newPod},
		"another address":   {change: func(p *Prober) { p.Track(newAddr, lifecycle.Pulse{Failures: 7}) }, now: newAddr, kept: true},
		"forgotten":         {change: func(p *Prober) { p.Forget(old.Key) }, now: old, gone: true},
		"forgotten, and on": {change: func(p *Prober) { p.Forget(old.Key); p.Track(old, lifecycle.Pulse{Failures: 7}) }, now: old},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				var asked atomic.Int32
				answers := make(chan lifecycle.Answer)
				l := &lines{ping: func(context.Context, Target) (lifecycle.Answer, error) {
					if asked.Add(1) == 1 {
						return healthy, nil
					}
					return <-answers, nil // and does not heed its context
				}}
				told := make(chan types.NamespacedName, 10)
				p := New(Options{Pinger: l})
				p.Track(old, lifecycle.Pulse{})
				stop := start(t, p, func(key types.NamespacedName) { told <- key })
				time.Sleep(4 * time.Second)
				g.Expect(asked.Load()).To(BeEquivalentTo(2))
				g.Expect(<-told).To(Equal(old.Key), "the first answer")

				row.change(p)
				answers <- busy
				synctest.Wait()
				pulse, ok := p.Pulse(row.now.Key, row.now.UID)
				g.Expect(ok).To(Equal(!row.gone))
				g.Expect(pulse.Status).NotTo(Equal(busy.Ping.Status))
				kept, seeded := pulse.Status != "", pulse.Failures == 7
				g.Expect(kept).To(Equal(row.kept))
				g.Expect(seeded).To(Equal(!row.kept && !row.gone))
				g.Expect(told).To(BeEmpty())
				g.Expect(l.closed.Load()).To(BeEquivalentTo(1))

				close(answers)
				stop()
				g.Expect(l.closed.Load()).To(Equal(l.opened.Load()), "every line is closed, once")
			})
		})
	}
}

func TestTellsOnlyWhatIsWorthALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var answer atomic.Pointer[lifecycle.Answer]
		p := New(Options{Pinger: PingFunc(func(context.Context, Target) lifecycle.Answer { return *answer.Load() })})
		target := agent(1)
		target.FailureThreshold = 5
		var told atomic.Int32
		answer.Store(&healthy)
		p.Track(target, lifecycle.Pulse{})
		start(t, p, func(key types.NamespacedName) {
			p.Pulse(key, target.UID) // no lock is held
			p.Track(target, lifecycle.Pulse{})
			told.Add(1)
		})
		time.Sleep(time.Millisecond) // to be between two slots
		for _, row := range []struct {
			answer lifecycle.Answer
			pings  int
			told   int32
			why    string
		}{
			{healthy, 30, 1, "the first answer"},
			{busy, 30, 2, "another status"},
			{refused, 4, 2, "fewer failures than the threshold"},
			{refused, 1, 3, "the threshold"},
			{refused, 30, 3, "beyond it"},
			{busy, 1, 4, "recovery"},
			{busy, 30, 4, "the same again"},
		} {
			answer.Store(&row.answer)
			time.Sleep(time.Duration(row.pings) * 2 * time.Second)
			synctest.Wait()
			g.Expect(told.Load()).To(Equal(row.told), row.why)
		}
	})
}

func TestOwnFaultIsMissed(t *testing.T) {
	for name, ping := range map[string]func(context.Context, Target) (lifecycle.Answer, error){
		"could not ask": func(context.Context, Target) (lifecycle.Answer, error) {
			return lifecycle.Answer{}, errors.New("too many open files")
		},
		"noticed the deadline much too late": func(ctx context.Context, _ Target) (lifecycle.Answer, error) {
			<-ctx.Done()
			time.Sleep(stalledFor + time.Millisecond)
			return lifecycle.Answer{Failure: lifecycle.FailureTimeout}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				var s tally
				p := New(Options{Pinger: &lines{ping: ping}, Observe: s.observe})
				p.Track(agent(1), lifecycle.Pulse{})
				stop := start(t, p, ignore)
				time.Sleep(20 * time.Second)
				stop()
				pulse, _ := p.Pulse(agent(1).Key, agent(1).UID)
				g.Expect(pulse).To(Equal(lifecycle.Pulse{}))
				_, failed, missed := s.counts()
				g.Expect(failed).To(BeZero())
				g.Expect(missed).To(BeNumerically("~", 10, 1))
			})
		})
	}
}

func TestForgetEndsThePing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		l := &lines{ping: func(ctx context.Context, _ Target) (lifecycle.Answer, error) { return hang(ctx), nil }}
		p := New(Options{Pinger: l})
		p.Track(inSlot(0, 0), lifecycle.Pulse{})
		start(t, p, ignore)
		time.Sleep(time.Second)
		p.Forget(inSlot(0, 0).Key)
		synctest.Wait()
		g.Expect(l.closed.Load()).To(BeEquivalentTo(1))
	})
}

// Between the moment at which a ping is due and that at which it is made, its
// agent may be let go.
func TestCancelBeforeTheAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		l := &lines{ping: func(ctx context.Context, _ Target) (lifecycle.Answer, error) { return hang(ctx), nil }}
		var s tally
		p := New(Options{Pinger: l, Observe: s.observe})
		p.inFlight++
		e := &entry{target: agent(1), out: true}
		e.line = newGoroutines(p, l).open(e)
		e.line.cancel()
		e.line.ask(time.Now())
		synctest.Wait()
		g.Expect(p.inFlight).To(BeZero())
		g.Expect(l.closed.Load()).To(BeEquivalentTo(1))
		good, failed, missed := s.counts()
		g.Expect(good + failed + missed).To(BeZero())
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var s tally
		l := &lines{ping: func(ctx context.Context, _ Target) (lifecycle.Answer, error) { return hang(ctx), nil }}
		p := New(Options{Pinger: l, Observe: s.observe})
		p.Track(inSlot(0, 0), lifecycle.Pulse{})
		stop := start(t, p, ignore)
		time.Sleep(time.Second)
		before := time.Now()
		stop()
		g.Expect(time.Since(before)).To(BeZero(), "what is out is ended")
		g.Expect(l.closed.Load()).To(BeEquivalentTo(1))
		_, failed, missed := s.counts()
		g.Expect(failed + missed).To(BeZero())

		p.Track(agent(2), lifecycle.Pulse{})
		p.Forget(inSlot(0, 0).Key)
		g.Expect(l.closed.Load()).To(BeEquivalentTo(1))
		g.Expect(p.Start(t.Context(), ignore)).To(MatchError(ContainSubstring("started before")))
	})
}

func TestDescribe(t *testing.T) {
	g := NewWithT(t)
	text := func(how lifecycle.Failure, detail string) string {
		return describe(lifecycle.Answer{Failure: how, Detail: detail}, lifecycle.Question{}, 1500*time.Millisecond).Detail
	}
	g.Expect(text(lifecycle.FailureTimeout, "")).To(Equal("GET /ping was not answered within 1.5s"))
	g.Expect(text(lifecycle.FailureConnect, "")).To(Equal("no connection within 1.5s"))
	g.Expect(text(lifecycle.FailureBody, "a\nb\x1b[31m\u202e\xff")).To(Equal("a b?[31m?\ufffd"))
	g.Expect([]rune(text(lifecycle.FailureBody, strings.Repeat("ü", 300)))).To(HaveLen(200))
	g.Expect(text("", "")).To(BeEmpty())
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		l := &lines{ping: func(_ context.Context, t Target) (lifecycle.Answer, error) {
			time.Sleep(time.Duration(t.Addr.Port()) * time.Millisecond)
			return healthy, nil
		}}
		p := New(Options{Period: 100 * time.Millisecond, Pinger: l})
		stop := start(t, p, ignore)
		var users sync.WaitGroup
		for user := range 8 {
			users.Go(func() {
				for step := range 500 {
					target := agent((user + step) % 20)
					target.Addr = netip.AddrPortFrom(target.Addr.Addr(), uint16(1+step%90))
					target.FailureThreshold = step
					p.Track(target, lifecycle.Pulse{})
					p.Pulse(target.Key, target.UID)
					p.Outage("")
					time.Sleep(3 * time.Millisecond)
					if step%7 == 0 {
						p.Forget(target.Key)
					}
				}
			})
		}
		users.Wait()
		stop()
		g.Expect(l.closed.Load()).To(Equal(l.opened.Load()))
		g.Expect(p.inFlight).To(BeZero())
	})
}
