package prober

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

const many = 5000

// expectCadence checks that t was asked every period, at the same moment.
func expectCadence(g *WithT, asked []time.Time, period time.Duration) {
	for i := 1; i < len(asked); i++ {
		if gap := asked[i].Sub(asked[i-1]); gap != period {
			g.Expect(gap).To(Equal(period), "between ask %d and the next of %v", i-1, asked)
		}
	}
}

// busiest returns the largest number of moments that fall into one slot.
func busiest(asked []time.Time, slot time.Duration) int {
	slices.SortFunc(asked, time.Time.Compare)
	top, first := 0, 0
	for last := range asked {
		for asked[last].Sub(asked[first]) >= slot {
			first++
		}
		top = max(top, last-first+1)
	}
	return top
}

func TestManyAgentsAreAskedEvenlyAndSteadily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var l log
		var s tally
		p := New(Options{Observe: s.observe, Pinger: l.ping(func(_ context.Context, t Target) lifecycle.Answer {
			time.Sleep(time.Duration(10+t.Addr.Addr().As4()[3]%50) * time.Millisecond)
			return healthy
		})})
		for i := range many {
			p.Track(agent(i), lifecycle.Pulse{})
		}
		stop := start(t, p, ignore)
		time.Sleep(time.Minute)
		stop()

		var first []time.Time
		for i := range many {
			asked := l.of(agent(i))
			g.Expect(len(asked)).To(BeNumerically("~", 30, 1))
			expectCadence(g, asked, 2*time.Second)
			first = append(first, asked[0])
		}
		_, failed, missed := s.counts()
		g.Expect(missed).To(BeZero())
		g.Expect(failed).To(BeZero())
		g.Expect(s.late).To(BeZero())
		g.Expect(busiest(first, 20*time.Millisecond)).To(BeNumerically("<", 2*many/slots), "a slot of fifty")
		g.Expect(l.top).To(BeNumerically("<", 400), "pings out at once")
	})
}

// A restart spreads the agents like the first start, each to where it was (P22).
func TestRestartMovesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		phases := func() map[int]time.Duration {
			var l log
			p := New(Options{Pinger: l.ping(func(context.Context, Target) lifecycle.Answer { return healthy })})
			for i := range many {
				p.Track(agent(i), lifecycle.Pulse{})
			}
			begun := time.Now()
			stop := start(t, p, ignore)
			time.Sleep(2*time.Second - time.Millisecond)
			stop()
			phases := map[int]time.Duration{}
			for i := range many {
				phases[i] = l.of(agent(i))[0].Sub(begun)
			}
			return phases
		}
		before := phases()
		time.Sleep(1234 * time.Millisecond)
		g.Expect(phases()).To(Equal(before))
	})
}

// Two of five agents hang, and the rest does not notice (P4).
func TestHangingAgentsDelayNobody(t *testing.T) {
	hangs := func(t Target) bool { return t.Addr.Addr().As4()[3]%5 < 2 }
	for name, row := range map[string]struct {
		places int
		missed bool
	}{
		"a place for each":                {places: 0},
		"fewer places than hanging pings": {places: 1000, missed: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				var l log
				var s tally
				p := New(Options{MaxInFlight: row.places, Observe: s.observe, Pinger: l.ping(func(ctx context.Context, t Target) lifecycle.Answer {
					if hangs(t) {
						return hang(ctx)
					}
					time.Sleep(10 * time.Millisecond)
					return healthy
				})})
				for i := range many {
					p.Track(agent(i), lifecycle.Pulse{})
				}
				stop := start(t, p, ignore)
				time.Sleep(20 * time.Second)
				warm := time.Now() // until here nobody could know who hangs
				time.Sleep(40 * time.Second)
				stop()

				for i := range many {
					if target := agent(i); !hangs(target) {
						asked := slices.DeleteFunc(l.of(target), func(at time.Time) bool { return at.Before(warm) })
						g.Expect(len(asked)).To(BeNumerically("~", 20, 1))
						expectCadence(g, asked, 2*time.Second)
					}
				}
				_, _, missed := s.counts()
				anyMissed := missed > 0
				g.Expect(anyMissed).To(Equal(row.missed))
			})
		})
	}
}

// Most agents hang, and there are far fewer places than those would take. The
// others fail once: whoever does is asked again as soon as all who fail could be,
// and so is each that hangs.
func TestFailingAgentsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		const agents, places, period = 500, 100, 2 * time.Second
		hangs := func(i int) bool { return i%5 > 0 }
		const timeout = 1510 * time.Millisecond // no slot is due then: the one after always gets the place
		begun := time.Now()
		var l log
		p := New(Options{MaxInFlight: places, Timeout: timeout, Pinger: l.ping(func(ctx context.Context, t Target) lifecycle.Answer {
			ip := t.Addr.Addr().As4()
			at := time.Since(begun)
			switch {
			case hangs(int(ip[2])<<8 + int(ip[3])):
				return hang(ctx)
			case at >= 20*period && at < 21*period:
				return refused
			}
			return healthy
		})})
		for i := range agents {
			p.Track(agent(i), lifecycle.Pulse{})
		}
		stop := start(t, p, ignore)
		time.Sleep(100 * period)
		stop()

		turn := 2 * agents / (places / 2) * period
		for i := range agents {
			last := begun
			for _, at := range append(l.of(agent(i)), time.Now()) {
				g.Expect(at.Sub(last)).To(BeNumerically("<=", turn), "agent %d", i)
				last = at
			}
			pulse, _ := p.Pulse(agent(i).Key, agent(i).UID)
			fails := pulse.Failures > 0
			g.Expect(fails).To(Equal(hangs(i)))
		}
	})
}

// Agents that start refuse for a while: that takes no places, and each is asked in
// every period.
func TestAgentsThatFailAtOnceNeedNoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents, periods = 500, 20
		var l log
		p := New(Options{MaxInFlight: 100, Pinger: l.ping(func(context.Context, Target) lifecycle.Answer { return refused })})
		for i := range agents {
			p.Track(agent(i), lifecycle.Pulse{})
		}
		stop := start(t, p, ignore)
		time.Sleep(periods*2*time.Second + time.Second)
		stop()
		for i := range agents {
			NewWithT(t).Expect(len(l.of(agent(i)))).To(BeNumerically(">=", periods), "agent %d", i)
		}
	})
}

func TestMissedIsNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var s tally
		p := New(Options{MaxInFlight: 3, Observe: s.observe, Pinger: PingFunc(func(ctx context.Context, _ Target) lifecycle.Answer { return hang(ctx) })})
		for i := range 10 {
			p.Track(inSlot(i*1000, 7), lifecycle.Pulse{})
		}
		stop := start(t, p, ignore)
		time.Sleep(1999 * time.Millisecond)
		stop()

		failures := 0
		for i := range 10 {
			target := inSlot(i*1000, 7)
			pulse, _ := p.Pulse(target.Key, target.UID)
			failures += pulse.Failures
		}
		_, failed, missed := s.counts()
		g.Expect([]int{failures, failed, missed}).To(Equal([]int{3, 3, 7}))
	})
}

// With a 100 ms period a slow agent is asked more seldom, and is not failed.
func TestSlowerThanThePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var l log
		var s tally
		p := New(Options{Period: 100 * time.Millisecond, Observe: s.observe, Pinger: l.ping(func(context.Context, Target) lifecycle.Answer {
			time.Sleep(450 * time.Millisecond)
			return healthy
		})})
		p.Track(agent(1), lifecycle.Pulse{})
		stop := start(t, p, ignore)
		time.Sleep(10 * time.Second)
		stop()

		expectCadence(g, l.of(agent(1)), 500*time.Millisecond)
		good, failed, missed := s.counts()
		g.Expect(good).To(BeNumerically("~", 20, 1))
		g.Expect(missed).To(BeNumerically("~", 80, 1))
		g.Expect(failed).To(BeZero())
		g.Expect(l.top).To(Equal(1))
	})
}

// The wheel's goroutine calls Observe for what it misses; a hook that sleeps
// there is a process that stands still.
func TestProcessStandsStill(t *testing.T) {
	for name, row := range map[string]struct {
		pause  time.Duration
		missed int // by the agent that is watched,
		all    int // and by both
		late   time.Duration
	}{
		"late slots are made up for": {pause: time.Second, all: 7, late: 600 * time.Millisecond},
		"whole periods are left out": {pause: 11 * time.Second, missed: 6, all: 16},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				stuck, watched := inSlot(0, 10), inSlot(0, 30)
				var l log
				var s tally
				paused := false
				observe := func(e Event) {
					s.observe(e)
					if e.Missed > 0 && !paused {
						paused = true
						time.Sleep(row.pause)
					}
				}
				p := New(Options{Timeout: 3 * time.Second, Observe: observe, Pinger: l.ping(func(ctx context.Context, t Target) lifecycle.Answer {
					if t.Key == stuck.Key {
						hang(ctx)
					}
					return healthy
				})})
				p.Track(stuck, lifecycle.Pulse{})
				p.Track(watched, lifecycle.Pulse{})
				begun := time.Now()
				stop := start(t, p, ignore)
				time.Sleep(30 * time.Second)
				stop()

				asked := l.of(watched)
				g.Expect(asked).To(HaveLen(15 - row.missed))
				late := time.Duration(0)
				for _, at := range asked {
					late = max(late, (at.Sub(begun)-600*time.Millisecond)%(2*time.Second))
				}
				g.Expect(late).To(Equal(row.late))
				g.Expect(s.late).To(Equal(row.late))
				gaps := time.Hour
				for i := 1; i < len(asked); i++ {
					gaps = min(gaps, asked[i].Sub(asked[i-1]))
				}
				g.Expect(gaps).To(BeNumerically(">=", 2*time.Second-row.late), "nobody is asked twice for one period")
				_, failed, missed := s.counts()
				g.Expect(failed).To(BeZero())
				g.Expect(missed).To(Equal(row.all))
			})
		})
	}
}

// An answer that lay in the socket while the process stood still, or was starved,
// says what was then: it is not taken for one of now.
func TestStaleAnswerIsMissed(t *testing.T) {
	for name, row := range map[string]struct {
		took time.Duration
		good int
	}{
		"within its time":             {1500 * time.Millisecond, 1},
		"a little late, as we are":    {2 * time.Second, 1},
		"the process had stood still": {2*time.Second + time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				var s tally
				p := New(Options{Observe: s.observe, Pinger: PingFunc(func(context.Context, Target) lifecycle.Answer {
					time.Sleep(row.took)
					return healthy
				})})
				p.Track(inSlot(0, 0), lifecycle.Pulse{})
				begun := time.Now()
				stop := start(t, p, ignore)
				time.Sleep(row.took + time.Millisecond/2)
				good, failed, _ := s.counts()
				g.Expect([]int{good, failed}).To(Equal([]int{row.good, 0}))
				pulse, _ := p.Pulse(inSlot(0, 0).Key, inSlot(0, 0).UID)
				g.Expect(pulse.AnsweredAt.IsZero()).To(Equal(row.good == 0))
				if row.good > 0 {
					g.Expect(pulse.AnsweredAt).To(BeTemporally("==", begun), "it is as old as its question")
				}
				stop()
			})
		})
	}
}

// Pulses have the time that they are told, whatever the machine says, and the cadence has
// not.
func TestPulsesGoByOneClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var l log
		p := New(Options{Pinger: l.ping(func(context.Context, Target) lifecycle.Answer { return healthy })})
		begun, ahead := time.Now(), 24*time.Hour
		p.GoBy(func() time.Time { return time.Now().Add(ahead) })
		target := inSlot(0, 0)
		p.Track(target, lifecycle.Pulse{})
		stop := start(t, p, ignore)
		time.Sleep(4*time.Second + time.Millisecond)
		synctest.Wait()
		expectCadence(g, l.of(target), 2*time.Second)
		pulse, _ := p.Pulse(target.Key, target.UID)
		g.Expect(pulse.AnsweredAt).To(BeTemporally("==", begun.Add(ahead+4*time.Second)))
		g.Expect(pulse.Fresh(time.Now().Add(ahead), 2*time.Second)).To(BeTrue())
		stop()
	})
}

func TestWheelCounts(t *testing.T) {
	g := NewWithT(t)
	p := New(Options{})
	for _, slot := range []int{0, 0, 50, 99} {
		p.Track(inSlot(p.Len()*1000, slot), lifecycle.Pulse{})
	}
	g.Expect(p.wheel.count(0, 100)).To(Equal(4))
	g.Expect(p.wheel.count(60, 250)).To(Equal(4+4+3), "60 to 99 and 0 to 9 a third time")
	for i := range 4 {
		p.Forget(inSlot(i*1000, []int{0, 0, 50, 99}[i]).Key)
	}
	g.Expect(p.Len()).To(BeZero())
	g.Expect(p.wheel.count(0, 100)).To(BeZero())
}
