package prober

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

func init() {
	ways["loop"] = func(t Target) testLine { return openLoopTo(t) }
}

// loopLine is a loop with one agent.
type loopLine struct {
	*loop
	conn *conn
}

func openLoop(addr netip.AddrPort) *loopLine { return openLoopTo(Target{Addr: addr}) }

func openLoopTo(t Target) *loopLine {
	l := newLoop(New(Options{})).(*loop) //nolint:forcetypeassert // this is Linux
	return &loopLine{l, l.open(&entry{target: t}).(*conn)}
}

func (l *loopLine) asks() lifecycle.Question { return l.conn.question() }

func (l *loopLine) serves() beside { return l.conn.beside }

// Ping drives the loop as a Prober does.
func (l *loopLine) Ping(ctx context.Context) (answer lifecycle.Answer, err error) {
	answered := false
	l.answered = func(_ *entry, a lifecycle.Answer, e error, _, _ time.Time) { answer, err, answered = a, e, true }
	deadline, _ := ctx.Deadline()
	l.timeout = time.Until(deadline)
	l.wait(ctx, time.Now())
	l.conn.ask(time.Now())
	for !answered {
		if !l.wait(ctx, time.Now().Add(time.Millisecond)) && ctx.Err() == context.Canceled {
			l.conn.cancel()
			l.hangUpDropped()
		}
	}
	return answer, err
}

func (l *loopLine) Close() { l.conn.hangUp() }

func (l *loopLine) connected() bool { return l.conn.state != stateClosed }

func (l *loopLine) dialNow(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(l.conn.dial(l.conn.entry.target.Addr)).To(Succeed())
	n, err := unix.Poll([]unix.PollFd{{Fd: l.conn.fd, Events: unix.POLLOUT}}, int(patient/time.Millisecond))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(Equal(1))
	_, err = unix.EpollWait(l.epoll, l.events, 0) // that is not the agent's
	g.Expect(err).NotTo(HaveOccurred())
	l.conn.state = stateIdle
}

func (l *loopLine) awaitNoise(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func() bool {
		l.wait(t.Context(), time.Now().Add(time.Millisecond))
		return l.connected()
	}).WithTimeout(patient).Should(BeFalse())
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return len(entries)
}

// One agent that hangs, drips, floods, is gone or takes no connection costs
// itself only; and at the end nothing is left open.
func TestHostileAgentsCostThemselvesOnly(t *testing.T) {
	g := NewWithT(t)
	before := descriptors(t)
	honest := listen(t, "127.0.0.1", always(ok(saysHealthy)))
	hostile := []*server{
		listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { drain(c) }),
		listen(t, "127.0.0.1", drip("", "HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyyy\r\n")),
		listen(t, "127.0.0.1", endless("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<10))),
		listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { _ = c.SetLinger(0) }),
	}
	servers := descriptors(t)
	var s tally
	p := New(Options{Period: 100 * time.Millisecond, Timeout: patient, Observe: s.observe}) // no busy machine has the honest one fail
	for i := range 80 {
		target := agent(i)
		target.Addr = hostile[i%len(hostile)].addr
		p.Track(target, lifecycle.Pulse{})
	}
	target := agent(80)
	target.Addr = honest.addr
	p.Track(target, lifecycle.Pulse{})
	stop := start(t, p, ignore)
	g.Eventually(honest.asked).WithTimeout(5 * patient).Should(BeNumerically(">=", 20))
	pulse, _ := p.Pulse(target.Key, target.UID)
	g.Expect(pulse.Failures).To(BeZero())
	made, _ := honest.counts()
	g.Expect(made).To(Equal(twice))
	// The servers' ends of those that were given up are closed when their goroutines come to it.
	g.Eventually(func() int { return descriptors(t) }).WithTimeout(patient).Should(BeNumerically("<=", servers+2*81+2), "one connection each, with both its ends here")
	stop()
	g.Expect(p.inFlight).To(BeZero())
	for _, s := range append(hostile, honest) {
		g.Eventually(func() bool { made, over := s.counts(); return made == over }).WithTimeout(patient).Should(BeTrue())
	}
	g.Eventually(func() int { return descriptors(t) }).WithTimeout(patient).Should(BeNumerically("<=", servers))
	g.Expect(servers).To(BeNumerically(">", before))
}

// An agent that sends byte by byte does not wake the loop for each.
func TestPiecesAreReadAtOurPace(t *testing.T) {
	g := NewWithT(t)
	sent := ok(saysHealthy)
	says := make(chan string, 1) // of pieces that are taken one by one
	line := openLoop(listen(t, "127.0.0.1", saying(t, says)).addr)
	defer line.Close()
	line.dialNow(t)
	var answer lifecycle.Answer
	answered := false
	line.answered = func(_ *entry, a lifecycle.Answer, _ error, _, _ time.Time) { answer, answered = a, true }
	line.timeout = patient
	line.conn.ask(time.Now())
	for n := range freePieces + 1 {
		says <- sent[n : n+1]
		g.Eventually(func() int {
			line.wait(t.Context(), time.Now().Add(time.Millisecond))
			return len(line.conn.got)
		}).WithTimeout(patient).WithPolling(time.Millisecond).Should(Equal(n + 1))
	}
	g.Expect(line.paced).To(ConsistOf(line.conn))
	says <- sent[freePieces+1:]
	g.Eventually(func() int { return unread(t, line.conn.fd) }).WithTimeout(patient).Should(Equal(len(sent) - freePieces - 1))
	g.Expect(line.poll(time.Now().Add(10 * time.Millisecond))).To(BeFalse())
	g.Expect(answered).To(BeFalse(), "no event is for it")
	g.Eventually(func() bool {
		line.wait(t.Context(), time.Now())
		return answered
	}).WithTimeout(patient).WithPolling(time.Millisecond).Should(BeTrue())
	g.Expect(answer).To(Equal(healthy))
	g.Expect(line.connected()).To(BeFalse())
	g.Expect(line.paced).To(BeEmpty())
}

// An answer in crumbs is judged a few times, from its begin each, however many
// they are, and a last time at its deadline.
func TestCrumbsAreSeldomJudged(t *testing.T) {
	const slot, timeout = 20 * time.Millisecond, 1500 * time.Millisecond
	const head = "HTTP/1.1 200 OK\r\n"
	for name, row := range map[string]struct{ begin, crumb, end string }{
		"header":     {head, "a:\r\n", "Content-Length: 20\r\n\r\n" + saysHealthy},
		"to the end": {head + "\r\n", " ", saysHealthy},
		"body":       {head + "Content-Length: 100\r\n\r\n", " ", fmt.Sprintf("%100s", saysHealthy)[freePieces+75:]},
		"chunks":     {head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", "14\r\n" + saysHealthy + "\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			says := make(chan string, 1) // of pieces that are taken one by one
			line := openLoop(listen(t, "127.0.0.1", saying(t, says)).addr)
			defer line.Close()
			line.dialNow(t)
			var answers []lifecycle.Answer
			line.answered = func(_ *entry, a lifecycle.Answer, _ error, _, _ time.Time) { answers = append(answers, a) }
			line.timeout = timeout
			c := line.conn
			line.conn.ask(time.Now())
			come := 0
			say := func(s string) {
				says <- s
				come += len(s)
				g.Eventually(func() int { return len(c.got) + unread(t, c.fd) }).WithTimeout(patient).WithPolling(time.Millisecond).Should(Equal(come))
			}
			say(row.begin)
			g.Expect(line.poll(time.Now())).To(BeFalse())
			for range freePieces {
				say(row.crumb)
				g.Expect(line.poll(time.Now())).To(BeFalse())
				g.Expect(c.got).To(HaveLen(come))
			}
			var judged []int // in which slots
			for n := range int(timeout / slot) {
				say(row.crumb)
				before := len(c.got)
				line.readPaced(c.begun.Add(time.Duration(n) * slot))
				if len(c.got) > before {
					judged = append(judged, n)
				}
			}
			g.Expect(len(judged)).To(BeNumerically("<", 10), "%v", judged)
			say(row.end)
			close(says)
			_, err := unix.Poll([]unix.PollFd{{Fd: c.fd, Events: unix.POLLRDHUP}}, int(patient/time.Millisecond))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(answers).To(BeEmpty())
			line.expire(c.begun.Add(timeout))
			g.Expect(answers).To(ConsistOf(healthy))
			g.Expect(line.connected()).To(BeFalse())
		})
	}
}

// saying answers in pieces, each of them one segment, and closes after the last.
func saying(t *testing.T, says <-chan string) func(*server, *net.TCPConn) {
	t.Helper()
	return func(s *server, c *net.TCPConn) {
		if !s.request(bufio.NewReader(c)) {
			return
		}
		for {
			select {
			case piece, more := <-says:
				if !more {
					return
				}
				_, _ = c.Write([]byte(piece))
			case <-t.Context().Done():
				return
			}
		}
	}
}

// What an agent says before it is asked comes with the connection itself, and no
// event tells of it again.
func TestAgentsThatSpeakFirst(t *testing.T) {
	for name, row := range map[string]struct {
		serve func(*server, *net.TCPConn)
		says  string
	}{
		"another protocol": {func(_ *server, c *net.TCPConn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.6\r\n\r\n")); drain(c) }, "SSH-2.0"},
		"the end":          {func(_ *server, c *net.TCPConn) { _ = c.CloseWrite(); drain(c) }, "connection closed without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			line := openLoop(listen(t, "127.0.0.1", row.serve).addr)
			defer line.Close()
			var answer lifecycle.Answer
			line.answered = func(_ *entry, a lifecycle.Answer, _ error, _, _ time.Time) { answer = a }
			line.timeout = patient
			line.conn.ask(time.Now())
			n, err := unix.Poll([]unix.PollFd{{Fd: line.conn.fd, Events: unix.POLLIN}}, int(patient/time.Millisecond))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(n).To(Equal(1))
			line.wait(t.Context(), time.Now())
			g.Expect(answer.Detail).To(ContainSubstring(row.says))
		})
	}
}

// unread is how many bytes the kernel has for us.
func unread(t *testing.T, fd int32) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return n
}

// The second half of an answer may come between the event of the first and the
// read, which takes both. The event that the second made then finds nothing.
func TestEventWithNothingBehindIt(t *testing.T) {
	g := NewWithT(t)
	answer := ok(saysHealthy)
	half := len(answer) - len(saysHealthy)
	next := make(chan struct{}, 1)
	defer close(next)
	s := listen(t, "127.0.0.1", func(s *server, c *net.TCPConn) {
		for r := bufio.NewReader(c); s.request(r); {
			_, _ = c.Write([]byte(answer[:half]))
			<-next
			_, _ = c.Write([]byte(answer[half:]))
		}
	})
	line := openLoop(s.addr)
	defer line.Close()
	line.dialNow(t)
	line.timeout = patient
	line.conn.beside = besideServed
	for range 3 {
		var got lifecycle.Answer
		line.answered = func(_ *entry, a lifecycle.Answer, _ error, _, _ time.Time) { got = a }
		line.conn.ask(time.Now())
		g.Eventually(func() int { return unread(t, line.conn.fd) }).WithTimeout(patient).Should(Equal(half))
		n, err := unix.EpollWait(line.epoll, line.events, 0)
		g.Expect(n, err).To(Equal(1))
		next <- struct{}{}
		g.Eventually(func() int { return unread(t, line.conn.fd) }).WithTimeout(patient).Should(Equal(len(answer)))
		line.handle(line.events[0])
		g.Expect(got).To(HaveField("Ping", healthy.Ping))
		g.Expect(got.Failure).To(BeEmpty())
		line.wait(t.Context(), time.Now())
		g.Expect(line.connected()).To(BeTrue())
	}
	made, _ := s.counts()
	g.Expect(made).To(Equal(1))
}

// An event may be one of an earlier connection with the same descriptor.
func TestEventsAreHints(t *testing.T) {
	for name, row := range map[string]struct {
		addr  netip.AddrPort
		begin func(t *testing.T, line *loopLine)
	}{
		"idle": {
			listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { drain(c) }).addr,
			func(t *testing.T, line *loopLine) { t.Helper(); line.dialNow(t) },
		},
		"asked": {
			listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { drain(c) }).addr,
			func(t *testing.T, line *loopLine) { t.Helper(); line.dialNow(t); line.conn.ask(time.Now()) },
		},
		"connecting": {
			blackHole(t),
			func(t *testing.T, line *loopLine) { t.Helper(); line.conn.ask(time.Now()) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			line := openLoop(row.addr)
			defer line.Close()
			line.answered = func(_ *entry, a lifecycle.Answer, err error, _, _ time.Time) { t.Errorf("ended with %+v, %v", a, err) }
			row.begin(t, line)
			state := line.conn.state
			line.handle(unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR, Fd: line.conn.fd})
			g.Expect(line.conn.state).To(Equal(state))
		})
	}
}

// The same stream, as the loop ends it.
func TestStreamIsEndedAtItsDeadline(t *testing.T) {
	for name, row := range map[string]struct {
		question lifecycle.Question
		sent     string
		want     lifecycle.Answer
	}{
		"of MCP":              {asMCP, stream + chunk(saysPong), pong},
		"of MCP, in mid-head": {asMCP, stream[:20], failed(lifecycle.FailureTimeout, "")},
		"of MCP, no session":  {asMCP, strings.TrimSuffix(code("400 Bad Request", noSession), "}"), failed(lifecycle.FailureTimeout, "")},
		"of HTTP":             {lifecycle.Question{}, "HTTP/1.1 200 OK\r\n\r\n" + saysHealthy, failed(lifecycle.FailureTimeout, "")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			line := openLoopTo(Target{Addr: listen(t, "127.0.0.1", once(row.sent)).addr, Question: row.question})
			defer line.Close()
			var answers []lifecycle.Answer
			line.answered = func(_ *entry, a lifecycle.Answer, _ error, _, _ time.Time) { answers = append(answers, a) }
			line.timeout = patient
			line.conn.ask(time.Now())
			g.Eventually(func() int {
				line.wait(t.Context(), time.Now().Add(time.Millisecond))
				return len(line.conn.got)
			}).WithTimeout(patient).Should(Equal(len(row.sent)))
			g.Expect(answers).To(BeEmpty())
			line.expire(line.conn.begun.Add(patient))
			g.Expect(answers).To(ConsistOf(row.want))
			g.Expect(line.connected()).To(BeFalse())
		})
	}
}

// Of two connections one is left, and the loop knows of no other.
func TestTrialLeavesOneConnection(t *testing.T) {
	g := NewWithT(t)
	line := openLoop(listen(t, "127.0.0.1", always(ok(saysHealthy))).addr)
	defer line.Close()
	g.Expect(ask(t, line, patient)).To(Equal(healthy))
	for fd, c := range line.byFD {
		if int32(fd) == line.conn.fd {
			g.Expect(c).To(BeIdenticalTo(line.conn))
		} else {
			g.Expect(c).To(BeNil())
		}
	}
}

// A second connection that could not be made for a reason of our own tells nothing.
func TestTrialWithoutADescriptor(t *testing.T) {
	g := NewWithT(t)
	line := openLoop(listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { drain(c) }).addr)
	var got lifecycle.Answer
	line.answered = func(_ *entry, a lifecycle.Answer, err error, _, _ time.Time) {
		g.Expect(err).NotTo(HaveOccurred())
		got = a
	}
	line.dialNow(t)
	c := line.conn
	held := c.fd
	c.out, c.trial = true, &trial{held, healthy}
	line.byFD[held] = nil
	c.state = stateClosed
	c.unconnected(unix.EMFILE)
	g.Expect(got).To(Equal(healthy))
	g.Expect(line.serves()).To(Equal(besideUnknown))
	_, err := unix.FcntlInt(uintptr(held), unix.F_GETFD, 0)
	g.Expect(err).To(MatchError(unix.EBADF), "the first connection is given back")
}

// Without a descriptor the agent is not asked, which is not its failure.
func TestNoDescriptorIsOurOwnLack(t *testing.T) {
	g := NewWithT(t)
	line := openLoop(agent(1).Addr)
	free, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(unix.Close(free)).To(Succeed())
	var limit unix.Rlimit
	g.Expect(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
	low := limit
	low.Cur = uint64(free)
	g.Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &low)).To(Succeed())
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	_, err = line.Ping(ctx)
	g.Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
	g.Expect(err).To(MatchError(ContainSubstring("too many open files")))
}
