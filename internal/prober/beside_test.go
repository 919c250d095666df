package prober

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// oneThread is a server that keeps connections and serves one at a time, as Python's
// http.server in HTTP/1.1 does.
func oneThread(answer string) func(*server, *net.TCPConn) {
	var thread sync.Mutex
	return func(s *server, c *net.TCPConn) {
		thread.Lock()
		defer thread.Unlock()
		always(answer)(s, c)
	}
}

// call calls the server as others than the heartbeat do.
func call(t *testing.T, s *server) {
	t.Helper()
	g := NewWithT(t)
	c, err := net.Dial("tcp", s.addr.String())
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = c.Close() }()
	g.Expect(c.SetDeadline(time.Now().Add(patient))).To(Succeed())
	_, err = c.Write([]byte("POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
	g.Expect(err).NotTo(HaveOccurred())
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	g.Expect(err).NotTo(HaveOccurred(), "the heartbeat holds its only connection")
	_ = answer.Body.Close()
}

// find asks until it is known whether the agent serves a second connection, and
// returns the answer with which it was. A busy machine may take several.
func find(t *testing.T, line testLine) lifecycle.Answer {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < patient; {
		if answer := ask(t, line, 5*hasty); line.serves() != besideUnknown && line.serves() != besideDoubted {
			return answer
		}
	}
	t.Fatal("it was not found out")
	return lifecycle.Answer{}
}

// An agent that serves one connection at a time can be called between two pings, and
// is not failed for it.
func TestOneThreadIsNotHeld(t *testing.T) {
	for way, open := range ways {
		for name, q := range map[string]lifecycle.Question{"HTTP": {}, "MCP": {MCP: "/mcp"}} {
			t.Run(way+" "+name, func(t *testing.T) {
				g := NewWithT(t)
				s := listen(t, "127.0.0.1", oneThread("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"))
				if q.MCP == "" {
					s = listen(t, "127.0.0.1", oneThread(ok(saysHealthy)))
				}
				line := open(Target{Addr: s.addr, Question: q})
				defer line.Close()
				g.Expect(find(t, line).Failure).To(BeEmpty(), "that is no failure")
				g.Expect(line.serves()).To(Equal(besideNot))
				g.Expect(line.connected()).To(BeFalse())
				call(t, s)
				before, _ := s.counts()
				for range 5 {
					g.Expect(ask(t, line, patient).Failure).To(BeEmpty())
					g.Expect(line.connected()).To(BeFalse())
					call(t, s)
				}
				made, _ := s.counts()
				g.Expect(made).To(Equal(before+5+5), "it is found out at the first two answers")
			})
		}
	}
}

// The same, as the operator does it, with an agent that is restarted under another
// UID: that one may serve more.
func TestProberGivesTheOnlyConnectionBack(t *testing.T) {
	for name, pinger := range map[string]Pinger{"goroutine": HTTPPinger{}, "as is the default": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := listen(t, "127.0.0.1", oneThread(ok(saysHealthy)))
			p := New(Options{Period: 100 * time.Millisecond, Timeout: 10 * hasty, Pinger: pinger})
			start(t, p, ignore)
			target := agent(1)
			target.Addr = s.addr
			p.Track(target, lifecycle.Pulse{})
			pulse := func() lifecycle.Pulse { pulse, _ := p.Pulse(target.Key, target.UID); return pulse }
			g.Eventually(pulse).WithTimeout(patient).ShouldNot(HaveField("HealthyAt", BeZero()))
			g.Eventually(pulse).WithTimeout(patient).Should(HaveField("Connections", lifecycle.ConnectionsOne))
			for range 3 {
				call(t, s)
			}

			many := listen(t, "127.0.0.1", always(ok(saysHealthy)))
			target.UID, target.Addr = agent(2).UID, many.addr
			p.Track(target, lifecycle.Pulse{})
			g.Eventually(many.asked).WithTimeout(patient).Should(BeNumerically(">=", 20))
			g.Eventually(func() int { made, over := many.counts(); return made - over }).WithTimeout(patient).Should(BeNumerically("<=", 2))
			made, _ := many.counts()
			g.Expect(made).To(BeNumerically("<", 10), "its connection is kept")
			g.Expect(pulse()).To(HaveField("Connections", lifecycle.ConnectionsMany))
		})
	}
}

// What the second connection brings tells only whether it is served.
func TestSecondConnection(t *testing.T) {
	for way, open := range ways {
		for name, row := range map[string]struct {
			second func(*server, *net.TCPConn)
			want   beside
		}{
			"answered":             {always(ok(saysBusy)), besideServed},
			"answered 503":         {once("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), besideServed},
			"closed at once":       {func(*server, *net.TCPConn) {}, besideNot},
			"closed in mid-answer": {finAfter("HTTP/1.1 200 OK\r\nContent-Le"), besideNot},
		} {
			t.Run(way+" "+name, func(t *testing.T) {
				g := NewWithT(t)
				var mu sync.Mutex
				made := 0
				s := listen(t, "127.0.0.1", func(s *server, c *net.TCPConn) {
					mu.Lock()
					made++
					odd := made%2 == 1
					mu.Unlock()
					if odd {
						always(ok(saysHealthy))(s, c)
					} else {
						row.second(s, c)
					}
				})
				line := open(Target{Addr: s.addr})
				defer line.Close()
				g.Expect(ask(t, line, patient)).To(Equal(healthy), "the first answer is the one that counts")
				connections := 2
				if row.want == besideNot {
					g.Expect(line.serves()).To(Equal(besideDoubted))
					g.Expect(line.connected()).To(BeFalse(), "it may be the only one")
					g.Expect(ask(t, line, patient)).To(Equal(healthy))
					connections = 4
				}
				g.Expect(line.serves()).To(Equal(row.want))
				g.Expect(line.connected()).To(Equal(name == "answered"))
				if name != "answered" {
					g.Eventually(func() bool { made, over := s.counts(); return made == connections && over == connections }).WithTimeout(patient).Should(BeTrue())
				}
			})
		}
	}
}

// One second connection that is not served, as on a machine that stood still, costs an agent
// nothing for good.
func TestASecondConnectionIsTriedTwice(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			var made atomic.Int32
			s := listen(t, "127.0.0.1", func(s *server, c *net.TCPConn) {
				if made.Add(1) != 2 {
					always(ok(saysHealthy))(s, c)
				}
			})
			line := open(Target{Addr: s.addr})
			defer line.Close()
			for range 10 {
				g.Expect(ask(t, line, patient)).To(Equal(healthy))
			}
			g.Expect(line.serves()).To(Equal(besideServed))
			g.Expect(made.Load()).To(BeEquivalentTo(4), "the last is kept")
		})
	}
}

// An agent that fails, or is slow, is not asked a second time, and its connection is
// not kept either.
func TestOnlyAGoodAnswerTries(t *testing.T) {
	g := NewWithT(t)
	g.Expect(besideUnknown.tries(healthy, time.Second, 3*time.Second)).To(BeTrue())
	g.Expect(besideUnknown.tries(healthy, 2*time.Second, 3*time.Second)).To(BeFalse())
	g.Expect(besideUnknown.tries(healthy, 1500*time.Millisecond-1, 3*time.Second)).To(BeTrue())
	g.Expect(besideUnknown.tries(healthy, 1500*time.Millisecond, 3*time.Second)).To(BeFalse(), "as much time is left as it took")
	g.Expect(besideUnknown.tries(refused, time.Second, 3*time.Second)).To(BeFalse())
	g.Expect(besideDoubted.tries(healthy, time.Second, 3*time.Second)).To(BeTrue())
	g.Expect(besideServed.tries(healthy, time.Second, 3*time.Second)).To(BeFalse())
	g.Expect(besideNot.tries(healthy, time.Second, 3*time.Second)).To(BeFalse())
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			s := listen(t, "127.0.0.1", always(ok("OK")))
			line := open(Target{Addr: s.addr, Question: lifecycle.Question{Strict: true}})
			defer line.Close()
			g.Expect(ask(t, line, patient).Failure).To(Equal(lifecycle.FailureBody))
			g.Expect(line.serves()).To(Equal(besideUnknown))
			g.Expect(line.connected()).To(BeFalse())
			g.Expect(s.asked()).To(Equal(1))
		})
	}
}

// Who ends a ping while the second connection is tried ends both.
func TestCancelEndsTheTrial(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			thread := make(chan struct{}, 1)
			s := listen(t, "127.0.0.1", func(s *server, c *net.TCPConn) {
				select {
				case thread <- struct{}{}:
					always(ok(saysHealthy))(s, c)
				default:
					cancel()
					drain(c)
				}
			})
			line := open(Target{Addr: s.addr})
			_, err := line.Ping(ctx)
			g.Expect(err).To(MatchError(context.Canceled))
			g.Expect(line.serves()).To(Equal(besideUnknown))
			g.Expect(line.connected()).To(BeFalse())
			g.Eventually(func() bool { made, over := s.counts(); return made == 2 && over == 2 }).WithTimeout(patient).Should(BeTrue())
		})
	}
}
