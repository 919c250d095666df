package prober

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// twice is how many connections are made to an agent whose connection is kept: one
// finds out whether it may be.
const twice = 2

// always answers every request on a connection.
func always(answer string) func(*server, *net.TCPConn) {
	return func(s *server, c *net.TCPConn) {
		for r := bufio.NewReader(c); s.request(r); {
			if _, err := c.Write([]byte(answer)); err != nil {
				return
			}
		}
	}
}

func TestGoodAnswers(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for name, answer := range map[string]string{
				"as usual":          ok(saysHealthy),
				"chunked":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"status\r\nc\r\n\":\"Healthy\"}\r\n0\r\n\r\n",
				"after 1xx answers": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 199 x\r\n\r\n" + ok(saysHealthy),
				"of 4096 bytes":     ok(fmt.Sprintf("%*s", -contract.MaxPingBytes, saysHealthy)),
				"HTTP/1.0, kept":    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 20\r\n\r\n" + saysHealthy,
			} {
				t.Run(name, func(t *testing.T) {
					g := NewWithT(t)
					s := listen(t, "127.0.0.1", always(answer))
					line := open(Target{Addr: s.addr})
					defer line.Close()
					for range 20 {
						g.Expect(ask(t, line, patient)).To(Equal(healthy))
					}
					made, _ := s.counts()
					g.Expect(made).To(Equal(twice), "one connection for all pings but the first")
				})
			}
		})
	}
}

// What is remembered of an answer is not taken for another.
func TestAnswersThatDiffer(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			bodies := []string{
				saysHealthy, saysHealthy, `{"status":"healthy"}`, `{"status":"healthy"}`, saysBusy, saysHealthy, "", "OK", `{"status":"Healthy","time_of_last_update":1}`,
				`{"status":"Healthy","time_of_last_update":2}`,
			}
			var next atomic.Int32
			s := listen(t, "127.0.0.1", func(s *server, c *net.TCPConn) {
				for r := bufio.NewReader(c); s.request(r); {
					_, _ = c.Write([]byte(ok(bodies[next.Load()])))
				}
			})
			line := open(Target{Addr: s.addr})
			defer line.Close()
			for i, body := range bodies {
				next.Store(int32(i))
				g.Expect(ask(t, line, patient)).To(Equal(lifecycle.Question{}.Judge([]byte(body))))
			}
			made, _ := s.counts()
			g.Expect(made).To(Equal(twice))
		})
	}
}

// The host is the same for all: a server that looks at it takes localhost.
func TestRequest(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for host, ip := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"} { // P19
				for name, row := range map[string]struct {
					question lifecycle.Question
					want     string
				}{
					"HTTP": {lifecycle.Question{}, "GET /ping HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: agentsession-prober\r\n\r\n"},
					"MCP": {lifecycle.Question{MCP: "/tools/"}, "POST /tools/ HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: agentsession-prober\r\n" +
						"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"},
				} {
					t.Run(name+" over "+host, func(t *testing.T) {
						g := NewWithT(t)
						var body atomic.Value
						s := listen(t, ip, func(s *server, c *net.TCPConn) {
							r := bufio.NewReader(c)
							for s.request(r) {
								sent := make([]byte, len(contract.MCPPing))
								if row.question.MCP != "" {
									_, _ = io.ReadFull(r, sent)
								}
								body.Store(string(sent))
								_, _ = c.Write([]byte(ok(saysHealthy)))
							}
						})
						line := open(Target{Addr: s.addr, Question: row.question})
						defer line.Close()
						for range 2 {
							g.Expect(ask(t, line, patient).Failure).To(BeEmpty())
						}
						s.mu.Lock()
						defer s.mu.Unlock()
						want := fmt.Sprintf(row.want, s.addr.Port())
						g.Expect(s.requests).To(HaveExactElements(want, want, want), "the first asks twice")
						if row.question.MCP != "" {
							g.Expect(body.Load()).To(Equal(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
						}
					})
				}
			}
		})
	}
}

func TestRealServerKeepsOneConnection(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for name, serve := range map[string]http.HandlerFunc{
				"one write": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(saysHealthy)) },
				"two writes": func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", strconv.Itoa(len(saysHealthy)))
					_ = http.NewResponseController(w).Flush()
					_, _ = w.Write([]byte(saysHealthy))
				},
				"two chunks": func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write([]byte(saysHealthy[:10]))
					_ = http.NewResponseController(w).Flush()
					_, _ = w.Write([]byte(saysHealthy[10:]))
				},
			} {
				t.Run(name, func(t *testing.T) {
					g := NewWithT(t)
					var made atomic.Int32
					s := httptest.NewUnstartedServer(serve)
					s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
						if state == http.StateNew {
							made.Add(1)
						}
					}
					s.Start()
					defer s.Close()
					line := open(Target{Addr: netip.MustParseAddrPort(s.Listener.Addr().String())})
					defer line.Close()
					for range 50 {
						g.Expect(ask(t, line, patient)).To(Equal(healthy))
					}
					g.Expect(made.Load()).To(BeEquivalentTo(twice))
				})
			}
		})
	}
}

// A server may close a connection between two pings, at any moment.
func TestClosedBetweenPingsIsNoFailure(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for name, row := range map[string]struct {
				serve  func(*server, *net.TCPConn)
				before int // connections that find out whether one may be kept
			}{
				"said so":              {finAfter("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n" + saysHealthy), 0},
				"said so, and did not": {always("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n" + saysHealthy), 0},
				"HTTP/1.0":             {finAfter("HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n" + saysHealthy), 0},
				"ends by FIN":          {finAfter("HTTP/1.1 200 OK\r\n\r\n" + saysHealthy), 0},
				"without a say":        {finAfter(ok(saysHealthy)), 1},
				"when it is asked again": {func(s *server, c *net.TCPConn) {
					r := bufio.NewReader(c)
					if s.request(r) {
						_, _ = c.Write([]byte(ok(saysHealthy)))
						s.request(r)
					}
				}, 1},
				"by a reset, when it is asked again": {func(s *server, c *net.TCPConn) {
					r := bufio.NewReader(c)
					if s.request(r) {
						_, _ = c.Write([]byte(ok(saysHealthy)))
						s.request(r)
						_ = c.SetLinger(0)
					}
				}, 1},
			} {
				t.Run(name, func(t *testing.T) {
					g := NewWithT(t)
					s := listen(t, "127.0.0.1", row.serve)
					line := open(Target{Addr: s.addr})
					defer line.Close()
					for i := range 10 {
						g.Expect(ask(t, line, patient)).To(Equal(healthy))
						made, _ := s.counts()
						g.Expect(made).To(Equal(row.before + i + 1))
					}
				})
			}
		})
	}
}

// A second answer that nobody asked for is never taken for one.
func TestUnsolicitedAnswer(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for name, row := range map[string]struct {
				answer string
				later  bool
				before int // connections that find out whether one may be kept
			}{
				"in one piece": {answer: ok(saysHealthy) + ok(saysBusy)},
				"later":        {answer: ok(saysHealthy), later: true, before: 1},
			} {
				t.Run(name, func(t *testing.T) {
					g := NewWithT(t)
					s := listen(t, "127.0.0.1", once(row.answer))
					line := open(Target{Addr: s.addr})
					defer line.Close()
					for i := range 5 {
						g.Expect(ask(t, line, patient)).To(Equal(healthy))
						made, _ := s.counts()
						g.Expect(made).To(Equal(row.before + i + 1))
						if row.later {
							_, err := s.last().Write([]byte(ok(saysBusy)))
							g.Expect(err).NotTo(HaveOccurred())
						}
						line.awaitNoise(t)
					}
				})
			}
		})
	}
}

func TestConnectFailures(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			_, deaf := bound(t) // and nobody else listens there
			for range 3 {
				g.Expect(ask(t, open(Target{Addr: deaf}), patient)).To(Equal(refused))
			}

			for _, ip := range []string{"0.0.0.0", "::ffff:0.0.0.0", "::", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1%lo", "224.0.0.1", "ff02::1"} {
				answer := ask(t, open(Target{Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), 80)}), patient)
				g.Expect(answer.Failure).To(Equal(lifecycle.FailureConnect))
				g.Expect(answer.Detail).To(HavePrefix("not an address of a pod"))
			}
			g.Expect(ask(t, open(Target{Addr: netip.AddrPort{}}), patient).Failure).To(Equal(lifecycle.FailureConnect))
		})
	}
}

// bound is a socket with an address of its own, on which nobody listens yet.
func bound(t *testing.T) (fd int, addr netip.AddrPort) {
	t.Helper()
	g := NewWithT(t)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = syscall.Close(fd) })
	g.Expect(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})).To(Succeed())
	name, err := syscall.Getsockname(fd)
	g.Expect(err).NotTo(HaveOccurred())
	return fd, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
}

// blackHole is an address that answers no SYN: that of a listener that accepts
// nobody and whose queue is full.
func blackHole(t *testing.T) netip.AddrPort {
	t.Helper()
	g := NewWithT(t)
	fd, addr := bound(t)
	g.Expect(syscall.Listen(fd, 0)).To(Succeed())
	timeout := patient // there is room for one at least
	for range 10 {
		conn, err := net.DialTimeout("tcp", addr.String(), timeout)
		timeout = hasty
		if err != nil {
			g.Expect(err).To(Satisfy(isTimeout))
			return addr
		}
		t.Cleanup(func() { _ = conn.Close() }) // it still fitted into the queue
	}
	if runtime.GOOS == "linux" {
		t.Fatal("the queue does not fill")
	}
	t.Skip("this system's queue never fills")
	return addr
}

// A connection that is not made in time is another failure than an answer
// that does not come.
func TestConnectTimeout(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			answer := ask(t, open(Target{Addr: blackHole(t)}), hasty)
			NewWithT(t).Expect(answer).To(Equal(lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: "no connection within 200ms"}))
		})
	}
}

func TestOwnLacks(t *testing.T) {
	g := NewWithT(t)
	g.Expect(isLocalError(&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)})).To(BeTrue())
	g.Expect(isLocalError(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})).To(BeFalse())
}

func TestCancelEndsAPing(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			s := listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { drain(c) })
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			time.AfterFunc(hasty/10, cancel)
			_, err := open(Target{Addr: s.addr}).Ping(ctx)
			g.Expect(err).To(MatchError(context.Canceled))
		})
	}
}

// onlyDeadline has a deadline and never ends by itself.
type onlyDeadline struct {
	context.Context //nolint:containedctx // it is one
	at              time.Time
}

func (c onlyDeadline) Deadline() (time.Time, bool) { return c.at, true }

// The connection itself has the deadline: no timer of ours must fire for it.
func TestDeadlineIsOnTheConnection(t *testing.T) {
	g := NewWithT(t)
	s := listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { drain(c) })
	answer, err := HTTPPinger{}.open(Target{Addr: s.addr}).Ping(onlyDeadline{t.Context(), time.Now().Add(hasty)})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(answer.Failure).To(Or(Equal(lifecycle.FailureTimeout), Equal(lifecycle.FailureConnect)))
}

// Another pod, or another address, gets a connection of its own, and the old
// one is closed: also if the newcomer has the address of the one before (P16).
func TestConnectionBelongsToThePod(t *testing.T) {
	for name, pinger := range map[string]Pinger{"goroutine": HTTPPinger{}, "as is the default": nil} {
		t.Run(name, func(t *testing.T) { testConnectionBelongsToThePod(t, pinger) })
	}
}

func testConnectionBelongsToThePod(t *testing.T, pinger Pinger) {
	t.Helper()
	g := NewWithT(t)
	first, second := listen(t, "127.0.0.1", always(ok(saysHealthy))), listen(t, "127.0.0.5", always(ok(saysBusy)))
	p := New(Options{Period: 100 * time.Millisecond, Timeout: patient, Pinger: pinger})
	start(t, p, ignore)
	status := func(target Target) func() contract.Status {
		return func() contract.Status { pulse, _ := p.Pulse(target.Key, target.UID); return pulse.Status }
	}
	connections := func(s *server) func() [2]int {
		return func() [2]int { made, over := s.counts(); return [2]int{made, over} }
	}

	target := agent(1)
	target.Addr = first.addr
	p.Track(target, lifecycle.Pulse{})
	g.Eventually(status(target)).WithTimeout(patient).Should(Equal(contract.Healthy))

	target.UID = agent(2).UID
	p.Track(target, lifecycle.Pulse{})
	g.Eventually(status(target)).WithTimeout(patient).Should(Equal(contract.Healthy))
	g.Eventually(connections(first)).WithTimeout(patient).Should(Equal([2]int{4, 3}))

	target.Addr = second.addr
	p.Track(target, lifecycle.Pulse{})
	g.Eventually(status(target)).WithTimeout(patient).Should(Equal(contract.HealthyBusy))
	g.Eventually(connections(first)).WithTimeout(patient).Should(Equal([2]int{4, 4}))

	p.Forget(target.Key)
	g.Eventually(connections(second)).WithTimeout(patient).Should(Equal([2]int{2, 2}))
}
