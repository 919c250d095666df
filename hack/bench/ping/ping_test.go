//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestTheHistogramIsExactToTwoPercent(t *testing.T) {
	g := NewWithT(t)
	for _, value := range []time.Duration{0, 63 * time.Microsecond, 64 * time.Microsecond, time.Millisecond, 2 * time.Second, time.Hour} {
		h := &histogram{}
		h.add(value)
		exact := float64(value.Microseconds()) / 1e3
		g.Expect(h.milliseconds(.5)).To(BeNumerically("~", exact, exact*.02+.001))
	}
	h := &histogram{}
	for i := range 1000 {
		h.add(time.Duration(i) * time.Millisecond)
	}
	g.Expect(h.milliseconds(.5)).To(BeNumerically("~", 500, 10))
	g.Expect(h.milliseconds(.99)).To(BeNumerically("~", 990, 20))
	h.add(24 * time.Hour) // more than there is room for
	h.reset()
	g.Expect(h.milliseconds(.99)).To(BeZero())
}

func TestAgentsNoticeWhatIsMissing(t *testing.T) {
	g := NewWithT(t)
	begun := time.Unix(1_795_423_194, 0)
	at := func(seconds float64) time.Time { return begun.Add(time.Duration(seconds * float64(time.Second))) }
	l := &arrivalLog{}
	l.note(0, at(-1))
	l.begin(begun)
	l.note(0, at(1))   // in time
	l.note(0, at(3.1)) // late by 100 ms
	l.note(1, at(.5))  // of its first gap nothing is known
	l.note(0, at(7))   // one is missing
	l.note(1, at(2.5))
	got := l.end(at(8)) // and for agent 1, those of 4.5 and 6.5

	g.Expect(got.Asked).To(Equal(2))
	g.Expect(got.Missed).To(Equal(1 + 2))
	g.Expect(l.errors.count.Load()).To(BeEquivalentTo(4))
	g.Expect(got.CadenceP99).To(BeNumerically("~", 1900, 40))
}

func TestAgentsAnswerByTheContract(t *testing.T) {
	now := time.Unix(1_795_423_194, 0)
	a := newAnswers(now)
	for _, agent := range []int{0, 1, 9999} {
		t.Run(strconv.Itoa(agent), func(t *testing.T) {
			g := NewWithT(t)
			for _, later := range []time.Duration{0, time.Second} {
				response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(a.of(agent, now.Add(later)))), nil)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(response.Header).To(HaveKeyWithValue("Content-Type", ConsistOf("application/json")))
				g.Expect(response.Header.Get("Date")).To(Equal(now.Add(later).UTC().Format(http.TimeFormat)))
				body := make([]byte, response.ContentLength+1)
				n, _ := response.Body.Read(body)
				g.Expect(n).To(BeEquivalentTo(response.ContentLength))
				ping, err := contract.ParsePing(body[:n])
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(ping.Status).To(Equal(contract.Healthy))
			}
		})
	}
}

func TestMCPServersAnswerAsMCPServersDo(t *testing.T) {
	now := time.Unix(1_795_423_194, 0)
	a := newAnswers(now)
	for agent, want := range []struct {
		code int
		kind string
	}{{http.StatusBadRequest, "application/json"}, {http.StatusOK, "text/event-stream"}} {
		t.Run(strconv.Itoa(want.code), func(t *testing.T) {
			g := NewWithT(t)
			response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(a.ofMCP(agent, now))), nil)
			g.Expect(err).NotTo(HaveOccurred())
			body, err := io.ReadAll(response.Body)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(response).To(And(HaveHTTPStatus(want.code), HaveHTTPHeaderWithValue("Content-Type", want.kind)))
			g.Expect(lifecycle.Question{MCP: contract.MCPPath}.JudgeMCP(response.StatusCode, "", body).Failure).To(BeEmpty())
		})
	}
}

func TestFourInTenAreHostile(t *testing.T) {
	g := NewWithT(t)
	p := ports{Healthy: 1, Dripping: 2, BlackHole: 3}
	for _, n := range []int{10, 17, 1000, 10_009} {
		seen := map[uint16]int{}
		for i := range n {
			addr := p.hostileAgent(i)
			seen[addr.Port()]++
			g.Expect(agentOf(addr.Addr().As4())).To(Equal(i))
		}
		g.Expect(seen[p.Healthy]).To(Equal(healthyOf(n)))
		g.Expect(seen[p.BlackHole]).To(BeNumerically("~", n*3/10, 3))
		g.Expect(seen[p.Dripping]).To(Equal(n / 10))
	}
}

func TestNobodyAnswersFromTheBlackHole(t *testing.T) {
	g := NewWithT(t)
	port, err := blackHole()
	g.Expect(err).NotTo(HaveOccurred())
	for range 20 {
		answered, err := fill(port)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(answered).To(BeFalse())
	}
}
