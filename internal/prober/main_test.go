package prober

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	healthy = lifecycle.Answer{Ping: contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing}}
	busy    = lifecycle.Answer{Ping: contract.Ping{Status: contract.HealthyBusy, Stamp: contract.StampMissing}}
	refused = lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: "connection refused"}
)

// agent is the i-th target.
func agent(i int) Target {
	return Target{
		Key:              types.NamespacedName{Namespace: "team", Name: fmt.Sprintf("session-%d", i)},
		UID:              types.UID(fmt.Sprintf("0b8f7d1e-%04x-4c8e-9a51-%012x", i, i*i)),
		Addr:             netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), contract.Port),
		FailureThreshold: 15,
	}
}

// inSlot is the first target from i on that is asked in the given slot.
func inSlot(i, slot int) Target {
	for slotOf(agent(i).UID) != slot {
		i++
	}
	return agent(i)
}

// start runs p until the test ends or the returned function is called, which
// also waits for it.
func start(t *testing.T, p *Prober, notify func(types.NamespacedName)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx, notify) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func ignore(types.NamespacedName) {}

func hang(ctx context.Context) lifecycle.Answer {
	<-ctx.Done()
	return lifecycle.Answer{Failure: lifecycle.FailureTimeout}
}

// log is when each target was asked.
type log struct {
	mu       sync.Mutex
	asked    map[types.NamespacedName][]time.Time
	out, top int // how many pings are out, and how many were at most
}

// ping wraps a fake agent.
func (l *log) ping(answer func(context.Context, Target) lifecycle.Answer) PingFunc {
	return func(ctx context.Context, t Target) lifecycle.Answer {
		l.mu.Lock()
		if l.asked == nil {
			l.asked = map[types.NamespacedName][]time.Time{}
		}
		l.asked[t.Key] = append(l.asked[t.Key], time.Now())
		l.out++
		l.top = max(l.top, l.out)
		l.mu.Unlock()
		defer func() {
			l.mu.Lock()
			l.out--
			l.mu.Unlock()
		}()
		return answer(ctx, t)
	}
}

func (l *log) of(t Target) []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Time(nil), l.asked[t.Key]...)
}

// tally sums up events.
type tally struct {
	mu     sync.Mutex
	missed int
	failed int
	good   int
	late   time.Duration // the latest
}

func (s *tally) observe(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Missed > 0:
		s.missed += e.Missed
	case e.Failure != "":
		s.failed++
	default:
		s.good++
	}
	s.late = max(s.late, e.Late)
}

func (s *tally) counts() (good, failed, missed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good, s.failed, s.missed
}
