package prober

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// patient is a timeout that no test waits for, hasty one that tests do.
const (
	patient = time.Minute
	hasty   = 200 * time.Millisecond
)

// server is an agent on a socket, as bad as its serve function makes it.
type server struct {
	addr netip.AddrPort

	mu       sync.Mutex
	conns    []net.Conn
	closed   int // connections that serve has returned from
	requests []string
}

// listen starts a server on a loopback address that ends with the test, and
// waits for its goroutines. serve may return early: that closes the connection.
func listen(t *testing.T, host string, serve func(s *server, c *net.TCPConn)) *server {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil && strings.Contains(host, ":") {
		t.Skipf("this system has no IPv6: %v", err)
	}
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	s := &server{addr: netip.MustParseAddrPort(l.Addr().String())}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			running.Go(func() {
				serve(s, c.(*net.TCPConn))
				_ = c.Close()
				s.mu.Lock()
				s.closed++
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		running.Wait()
	})
	return s
}

// counts returns how many connections were made and how many are over.
func (s *server) counts() (made, over int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.closed
}

// last is the connection that was made last.
func (s *server) last() net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[len(s.conns)-1]
}

// asked returns how many requests came.
func (s *server) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// request reads one request; ok is false at the end of the connection.
func (s *server) request(r *bufio.Reader) (ok bool) {
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		head.WriteString(line)
	}
	s.mu.Lock()
	s.requests = append(s.requests, head.String())
	s.mu.Unlock()
	return true
}

// drain waits for the other side to close.
func drain(c net.Conn) {
	b := make([]byte, 1024)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// once answers the first request with answer, and keeps the connection.
func once(answer string) func(*server, *net.TCPConn) {
	return func(s *server, c *net.TCPConn) {
		if s.request(bufio.NewReader(c)) {
			_, _ = c.Write([]byte(answer))
			drain(c)
		}
	}
}

// endless answers with begin, and then with more as long as it is read.
func endless(begin, more string) func(*server, *net.TCPConn) {
	return func(s *server, c *net.TCPConn) {
		if !s.request(bufio.NewReader(c)) {
			return
		}
		_, err := c.Write([]byte(begin))
		for err == nil {
			_, err = c.Write([]byte(more))
		}
	}
}

// drip answers byte by byte, each in much less than the timeout.
func drip(begin, more string) func(*server, *net.TCPConn) {
	return func(s *server, c *net.TCPConn) {
		if !s.request(bufio.NewReader(c)) {
			return
		}
		_, err := c.Write([]byte(begin))
		for i := 0; err == nil; i++ {
			time.Sleep(hasty / 5)
			_, err = c.Write([]byte{more[i%len(more)]})
		}
	}
}

// ok is a good answer in HTTP/1.1.
func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// chunk is a part of an answer of unknown length.
func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

const (
	saysHealthy = `{"status":"Healthy"}`
	// saysUnhealthy is no word of the contract.
	saysUnhealthy = `{"status":"Unhealthy"}`
	saysBusy      = `{"status":"HealthyBusy"}`
	saysPong      = "event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n\r\n"
)

// testLine is a Line that tests look into.
type testLine interface {
	Line
	// dialNow makes the connection without asking.
	dialNow(t *testing.T)
	connected() bool
	// awaitNoise waits until the agent has closed the idle connection or sent on
	// it.
	awaitNoise(t *testing.T)
	asks() lifecycle.Question
	// serves tells what is known of a second connection.
	serves() beside
}

// ways are all in which an agent can be asked.
var ways = map[string]func(Target) testLine{
	"goroutine": func(t Target) testLine { return HTTPPinger{}.open(t) },
}

func (l *httpLine) asks() lifecycle.Question { return l.question }

func (l *httpLine) serves() beside { return l.beside }

func (l *httpLine) connected() bool { return l.conn != nil }

func (l *httpLine) dialNow(t *testing.T) {
	t.Helper()
	if _, err := l.dial(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// awaitNoise: untouched reads a byte of it, so the look is the last.
func (l *httpLine) awaitNoise(t *testing.T) {
	t.Helper()
	if l.conn != nil {
		_ = l.conn.SetDeadline(time.Now().Add(patient))
		NewWithT(t).Eventually(func() bool { return untouched(l.conn) }).WithTimeout(patient).Should(BeFalse())
	}
}

// ask pings once, described as the prober would, but for the connections, which are looked at
// here.
func ask(t *testing.T, line testLine, timeout time.Duration) lifecycle.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	answer, err := line.Ping(ctx)
	if err != nil {
		t.Fatal(err)
	}
	told := map[beside]lifecycle.Connections{besideServed: lifecycle.ConnectionsMany, besideDoubted: lifecycle.ConnectionsOne, besideNot: lifecycle.ConnectionsOne}
	NewWithT(t).Expect(answer.Connections).To(Equal(told[line.serves()]))
	answer.Connections = lifecycle.ConnectionsUnknown
	return describe(answer, line.asks(), timeout)
}
