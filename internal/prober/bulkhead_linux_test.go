package prober

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// clock counts the periods of a prober by its events: each of its agents has
// one in every period.
type clock struct {
	agents int

	mu      sync.Mutex
	events  int
	skipped int // whole periods, in which the process stood still
}

func (c *clock) observe(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events += max(e.Missed, 1)
	if e.Missed >= c.agents {
		c.skipped += (e.Missed + c.agents - 1) / c.agents
	}
}

// periods is how many there were in which agents were asked.
func (c *clock) periods() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events/c.agents - c.skipped
}

// Agents that hang, drip, flood or take no connection are many, and those that
// are well are asked all the same (P4, P5), though a busy machine leaves some out.
func TestBulkhead(t *testing.T) {
	g := NewWithT(t)
	const head = "HTTP/1.1 200 OK\r\n"
	hostile := []struct {
		server *server
		agents int
	}{
		{listen(t, "127.0.0.1", func(_ *server, c *net.TCPConn) { drain(c) }), 40},
		{&server{addr: blackHole(t)}, 40},
		{listen(t, "127.0.0.1", drip(head+strings.Repeat("a:\r\n", 900), "a:\r\n")), 20},
		{listen(t, "127.0.0.1", drip(head+"Content-Length: 4096\r\n\r\n", " ")), 20},
		{listen(t, "127.0.0.1", drip(head+"Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n")), 20},
		{listen(t, "127.0.0.1", endless("", "HTTP/1.1 103 Early Hints\r\n\r\n")), 20},
	}
	const well = 20
	all := 0
	track := func(p *Prober, s *server) {
		target := agent(all)
		target.Addr = s.addr
		p.Track(target, lifecycle.Pulse{})
		all++
	}
	var beside clock
	p := New(Options{Period: time.Second, Observe: beside.observe})
	for _, kind := range hostile {
		for range kind.agents {
			track(p, kind.server)
		}
	}
	honest := make([]*server, well)
	for i := range honest {
		honest[i] = listen(t, "127.0.0.1", always(ok(saysHealthy)))
		track(p, honest[i])
	}
	beside.agents = all

	stop := start(t, p, ignore)
	g.Eventually(beside.periods).WithTimeout(5 * patient).Should(BeNumerically(">=", 9))
	stop()

	periods := beside.periods()
	for _, s := range honest {
		g.Expect(3*s.asked()).To(BeNumerically(">=", periods), "a prober that waits for others leaves out most")
	}
}

// What an agent sends is taken from the kernel up to a bound only (P3).
func TestBytesTakenAreBounded(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	kilobyte := strings.Repeat("x", 1024)
	for name, serve := range map[string]func(*server, *net.TCPConn){
		"endless body":     endless(head+"\r\n", kilobyte),
		"large body":       endless(head+"Content-Length: 99999999999\r\n\r\n", kilobyte),
		"gzip":             endless(head+"Content-Encoding: gzip\r\n\r\n", zipped(strings.Repeat(kilobyte, 8<<10))),
		"8 MB of headers":  once(head + "X: " + strings.Repeat(kilobyte, 8<<10) + "\r\n\r\n"),
		"many headers":     endless(head, "a:\r\n"),
		"103 flood":        endless("", "HTTP/1.1 103 Early Hints\r\nLink: "+kilobyte+"\r\n\r\n"),
		"chunked for ever": endless(head+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
		"marks of chunks":  endless(head+"Transfer-Encoding: chunked\r\n\r\n", "1;"+kilobyte+"\r\nx\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			line := openLoop(listen(t, "127.0.0.1", serve).addr)
			line.dialNow(t)
			witness, err := unix.Dup(int(line.conn.fd))
			g.Expect(err).NotTo(HaveOccurred())
			defer unix.Close(witness)
			g.Expect(ask(t, line, patient).Detail).NotTo(BeEmpty())
			g.Expect(line.connected()).To(BeFalse())
			g.Expect(line.conn.got).To(BeNil())
			g.Expect(taken(t, witness)).To(BeNumerically("<=", 3*contract.MaxPingBytes+2))
		})
	}
}

// taken is how many bytes were read from a connection that nobody reads now.
func taken(t *testing.T, fd int) int {
	t.Helper()
	for {
		before := unread(t, int32(fd))
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		if unread(t, int32(fd)) == before {
			return int(info.Bytes_received) - before
		}
	}
}
