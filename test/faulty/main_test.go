package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lint"
)

// start runs an agent until the test ends, and returns where it is.
func start(t *testing.T, args ...string) string {
	t.Helper()
	g := NewWithT(t)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), write)
		_ = write.CloseWithError(err) // as nobody writes any more, that cannot fail
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		g.Eventually(ended).WithTimeout(time.Minute).Should(Receive(BeNil()))
	})
	line, err := bufio.NewReader(read).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred())
	return "http://" + strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}

// quick are options with which a watch is short, and with which no busy machine makes an
// agent slow.
func quick(base string, f fault) lint.Options {
	o := lint.Options{
		Base: base, Period: 250 * time.Millisecond, For: 2500 * time.Millisecond, Slow: time.Minute, Wait: time.Minute,
		Invoke: f.called || f.twice, SessionID: "lint-" + strings.Repeat("0", 40), Elsewhere: []netip.Addr{},
	}
	if f.twice {
		o.SecondID, o.Started = "lint-"+strings.Repeat("1", 40), time.Now()
	}
	if f.mcp {
		o.Protocol = v1alpha1.ProtocolMCP
	}
	switch f.breaks {
	case "stamp-advances":
		o.Period, o.For = time.Second, 6*time.Second // stamps count whole seconds
	case "ping-slow", "ping-blocked-by-call":
		o.Slow, o.Wait, o.For = slowness*3/4, slowness*5/4, slowness*5/4
	case "invocations-fail", "invocations-missing":
		o.Payload = []byte(`{"prompt":"x"}`)
	case "loopback-only":
		o.Elsewhere = []netip.Addr{netip.MustParseAddr("127.0.0.2")} // where all of a Linux machine's agents are
	}
	return o
}

// startAgain starts an agent as it was started before, to be called for other sessions.
func startAgain(t *testing.T, f fault, args ...string) lint.Options {
	t.Helper()
	o := quick("", f)
	o.SessionID, o.SecondID = "lint-"+strings.Repeat("2", 40), "lint-"+strings.Repeat("3", 40)
	o.Base = start(t, args...)
	return o
}

// found are the rules of findings.
func found(r lint.Report) (ids []string) {
	for _, f := range r.Findings {
		ids = append(ids, f.ID)
	}
	return ids
}

// look starts an agent with a fault, and returns what finds that and nothing else, in so many
// times what is quick.
func look(t *testing.T, name string, f fault, times time.Duration) (finds func() error) {
	t.Helper()
	o, again := quick("", f), lint.Options{}
	o.Base = start(t, "-fault", name)
	o.For *= times
	if f.twice {
		again = startAgain(t, f, "-fault", name)
		again.For *= times
	}
	return func() error {
		seen, err := lint.Watch(t.Context(), o)
		if err != nil {
			return err
		}
		if f.twice {
			lint.Again(t.Context(), &seen, again)
		}
		report := lint.Judge(o.Base, &seen)
		want := []string{f.breaks}
		if name == "no-status" { // it has nothing at all
			want = append(want, "stamp-missing")
		}
		if ids := found(report); !slices.Equal(ids, want) {
			return fmt.Errorf("found %v, not %v alone\n%s", ids, want, report.Text())
		}
		return nil
	}
}

// TestFaults: each is found, and nothing else of that agent. A slow machine shows too little of
// some in so short a time, and so many at once: those are watched again, for longer and alone.
func TestFaults(t *testing.T) {
	places := make(chan struct{}, 24) // they wait more than they work
	var all sync.WaitGroup
	defer all.Wait()
	var again sync.Map
	for name, f := range faults {
		finds := look(t, name, f, 1)
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if finds() != nil {
				again.Store(name, f)
			}
		})
	}
	all.Wait()
	for name, f := range again.Range {
		if err := look(t, name.(string), f.(fault), 4)(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoFault: an agent without one has nothing to mend, called or not.
func TestNoFault(t *testing.T) {
	g := NewWithT(t)
	o := quick(start(t), fault{called: true, twice: true})
	o.For = 5 * time.Second
	seen, err := lint.Watch(t.Context(), o)
	g.Expect(err).NotTo(HaveOccurred())
	lint.Again(t.Context(), &seen, startAgain(t, fault{twice: true}))
	report := lint.Judge(o.Base, &seen)
	g.Expect(report.Findings).To(BeEmpty(), report.Text())
	var open []string
	for _, u := range report.Unchecked {
		open = append(open, u.Rule)
	}
	g.Expect(open).To(ConsistOf("stream-buffered", "loopback-only", "made-at-start"), "all others were looked at")
}

// TestOnAllAddresses: what is reached at another address than that of loopback is looked at,
// and is fine.
func TestOnAllAddresses(t *testing.T) {
	g := NewWithT(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(start(t, "-addr", "0.0.0.0:0"), "http://"))
	g.Expect(err).NotTo(HaveOccurred())
	o := quick("http://localhost:"+port, fault{breaks: "loopback-only"})
	seen, err := lint.Watch(t.Context(), o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(seen.Listens).To(Equal(lint.ListensWide))
}

// TestHostThatRequestsName: one that an agent serves, if there is one. An address in the place
// of localhost is that of the pod.
func TestHostThatRequestsName(t *testing.T) {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(start(t, "-addr", "0.0.0.0:0", "-fault", "mcp-local-hosts"), "http://"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for name, row := range map[string]struct{ base, host, seen string }{
		"at an address": {"http://127.0.0.2:" + port, "", "MCP's ping (POST /mcp) is answered with 421 if Host is 127.0.0.2:" + port + ", and is served if it is localhost:" + port},
		"at a name":     {"http://127.0.0.1:" + port, "agent.example", "MCP's ping (POST /mcp) is answered with 421 if Host is agent.example, and is served if it is localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			o := quick(row.base, faults["mcp-local-hosts"])
			o.Host = row.host
			seen, err := lint.Watch(t.Context(), o)
			g.Expect(err).NotTo(HaveOccurred())
			report := lint.Judge(o.Base, &seen)
			g.Expect(report.Findings).To(HaveExactElements(And(HaveField("ID", "host-refused"), HaveField("Severity", lint.Warning), HaveField("Seen", row.seen))), report.Text())
			g.Expect(len(seen.Pings)).To(BeNumerically(">", 2))
			for _, p := range seen.Pings {
				g.Expect(p.Answer.Failure).To(BeEmpty(), "the rest is looked at")
			}
		})
	}
}

// TestNoFaultOfAnMCPServer: the rules of GET /ping say nothing of it.
func TestNoFaultOfAnMCPServer(t *testing.T) {
	g := NewWithT(t)
	o := quick(start(t), fault{mcp: true})
	seen, err := lint.Watch(t.Context(), o)
	g.Expect(err).NotTo(HaveOccurred())
	report := lint.Judge(o.Base, &seen)
	g.Expect(report.Findings).To(BeEmpty(), report.Text())
	g.Expect(report.Unchecked).To(ContainElements(HaveField("Rule", "stamp-missing"), HaveField("Rule", "ping-not-json")))
	g.Expect(report.Unchecked).NotTo(ContainElement(HaveField("Rule", BeElementOf("mcp-ping-refused", "host-refused"))))
}

// TestEveryRuleHasAFault: of each rule an agent is there that breaks it.
func TestEveryRuleHasAFault(t *testing.T) {
	g := NewWithT(t)
	broken := map[string]string{}
	for name, f := range faults {
		broken[f.breaks] = cmp.Or(broken[f.breaks], name)
	}
	for _, rule := range lint.Rules() {
		g.Expect(broken).To(HaveKey(rule.ID))
		delete(broken, rule.ID)
	}
	g.Expect(broken).To(BeEmpty(), "faults that no rule is for")
}

// TestTLS: whether such a server answers plain HTTP with 400, or closes the connection, that it
// speaks TLS is all that is found, and at once.
func TestTLS(t *testing.T) {
	tells := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tells.Close)
	closes, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: tells.TLS.Certificates})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = closes.Close() })
	go func() {
		for {
			conn, err := closes.Accept()
			if err != nil {
				return // the test is over
			}
			_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	}()
	for name, addr := range map[string]string{"tells": tells.Listener.Addr().String(), "closes": closes.Addr().String()} {
		for _, forwarded := range []bool{false, true} {
			g := NewWithT(t)
			seen, err := lint.Watch(t.Context(), lint.Options{Base: "http://" + addr, For: 4 * time.Second, Forwarded: forwarded})
			g.Expect(err).NotTo(HaveOccurred(), name)
			report := lint.Judge("it", &seen)
			g.Expect(found(report)).To(Equal([]string{"ping-not-http"}), name)
			g.Expect(seen.Pings).To(HaveLen(1), "there is no more to see")
			g.Expect(report.Findings[0].Seen).To(Equal("it speaks TLS, and takes no plain HTTP"), name)
		}
	}
}

// TestForwardedToNobody: what forwards a port of a pod takes connections all the same.
func TestForwardedToNobody(t *testing.T) {
	g := NewWithT(t)
	base := start(t, "-fault", "closes")
	_, err := lint.Watch(t.Context(), lint.Options{Base: base, Forwarded: true})
	g.Expect(err).To(MatchError(HavePrefix("nobody is at " + base + ": ")))
}

// TestNobodyThere is no finding: nothing was seen.
func TestNobodyThere(t *testing.T) {
	_, err := lint.Watch(t.Context(), lint.Options{Base: "http://127.0.0.1:1"})
	NewWithT(t).Expect(err).To(MatchError("nobody is at http://127.0.0.1:1: connection refused"))
}

func TestUnknownFault(t *testing.T) {
	NewWithT(t).Expect(run(t.Context(), []string{"-fault", "none"}, io.Discard)).To(MatchError(ContainSubstring(`-fault is "none", and there is none of that name`)))
}
