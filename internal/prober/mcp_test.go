package prober

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

var (
	asMCP = lifecycle.Question{MCP: "/mcp"}
	pong  = lifecycle.Answer{Ping: contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing}, Finding: v1alpha1.ReasonPingMCP}
)

const (
	stream    = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	noSession = `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}`
)

// code is an answer with another code than 200.
func code(status, body string) string {
	return strings.Replace(ok(body), "200 OK", status, 1)
}

// Answers of MCP servers as they are, over kept connections.
func TestGoodAnswersOfMCP(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for name, answer := range map[string]string{
				"a stream of one event":    stream + chunk(saysPong) + "0\r\n\r\n",
				"a stream in pieces":       stream + chunk(saysPong[:10]) + chunk(saysPong[10:]) + "0\r\n\r\n",
				"JSON":                     ok(`{"jsonrpc":"2.0","id":1,"result":{}}`),
				"what is no JSON":          ok("pong"),
				"nothing":                  "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
				"204":                      "HTTP/1.1 204 No Content\r\n\r\n",
				"no session":               code("400 Bad Request", noSession),
				"no session, in one chunk": "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(noSession) + "0\r\n\r\n",
			} {
				t.Run(name, func(t *testing.T) {
					g := NewWithT(t)
					s := listen(t, "127.0.0.1", always(answer))
					line := open(Target{Addr: s.addr, Question: asMCP})
					defer line.Close()
					for range 10 {
						g.Expect(ask(t, line, patient)).To(Equal(pong))
					}
					made, _ := s.counts()
					g.Expect(made).To(Equal(twice))
				})
			}
		})
	}
}

// Of a good answer the head is enough: the rest is bounded, and may break off.
func TestTheHeadOfMCPIsEnough(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for name, serve := range map[string]func(*server, *net.TCPConn){
				"events without end": endless(stream, chunk(saysPong)),
				"large":              endless("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "x"),
				"cut off":            finAfter(stream + chunk(saysPong)),
				"reset":              resetAfter(stream + chunk(saysPong)),
				"no chunk":           once(stream + "x\r\n"),
				"until it is closed": finAfter("HTTP/1.1 200 OK\r\n\r\n" + saysPong),
			} {
				t.Run(name, func(t *testing.T) {
					g := NewWithT(t)
					line := open(Target{Addr: listen(t, "127.0.0.1", serve).addr, Question: asMCP})
					defer line.Close()
					for range 3 {
						g.Expect(ask(t, line, patient)).To(Equal(pong))
						g.Expect(line.connected()).To(BeFalse())
					}
				})
			}
		})
	}
}

func TestRefusalsOfMCP(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			for name, row := range map[string]struct {
				answer string
				want   lifecycle.Failure
				detail string
			}{
				"401":                     {code("401 Unauthorized", "{}"), lifecycle.FailureStatusCode, "MCP's ping (POST /mcp) was answered with 401: it carries no authorization, as on AgentCore"},
				"404 in JSON-RPC":         {code("404 Not Found", noSession), lifecycle.FailureStatusCode, "MCP's ping (POST /mcp) was answered with 404: the MCP server has another path"},
				"405":                     {code("405 Method Not Allowed", ""), lifecycle.FailureStatusCode, "answered with 405"},
				"307":                     {"HTTP/1.1 307 Temporary Redirect\r\nLocation: /mcp/\r\nContent-Length: 0\r\n\r\n", lifecycle.FailureStatusCode, `answered with 307 to "/mcp/", and redirects are not followed`},
				"400 in words":            {code("400 Bad Request", "Bad Request"), lifecycle.FailureStatusCode, "answered with 400: and not in JSON-RPC"},
				"400 of too much":         {code("400 Bad Request", noSession+strings.Repeat(" ", contract.MaxPingBytes)), lifecycle.FailureStatusCode, "answered with 400: and not in JSON-RPC"},
				"500":                     {code("500 Internal Server Error", noSession), lifecycle.FailureStatusCode, "MCP's ping (POST /mcp) was answered with 500"},
				"101":                     {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", lifecycle.FailureStatusCode, "answered with 101"},
				"HTTP/2":                  {"HTTP/2.0 200 OK\r\n\r\n", lifecycle.FailureProtocol, "MCP's ping (POST /mcp) was not answered in HTTP/1.1"},
				"421, as to another host": {code("421 Misdirected Request", "Invalid Host header"), lifecycle.FailureStatusCode, "answered with 421"},
			} {
				t.Run(name, func(t *testing.T) {
					g := NewWithT(t)
					line := open(Target{Addr: listen(t, "127.0.0.1", once(row.answer)).addr, Question: asMCP})
					defer line.Close()
					answer := ask(t, line, patient)
					g.Expect(answer).To(And(HaveField("Failure", row.want), HaveField("Detail", ContainSubstring(row.detail)), HaveField("Detail", Satisfy(fitForEvents))))
					g.Expect(line.connected()).To(BeFalse())
				})
			}
		})
	}
}

// A stream of events may stay open: when the time of the ping is over, what had come
// counts.
func TestStreamNeedNotEnd(t *testing.T) {
	late := func(sent string) io.Reader {
		return io.MultiReader(strings.NewReader(sent), errorReader{os.ErrDeadlineExceeded})
	}
	for name, row := range map[string]struct {
		question lifecycle.Question
		sent     string
		want     lifecycle.Answer
	}{
		"of MCP":                {asMCP, stream + chunk(saysPong), pong},
		"of MCP, the head only": {asMCP, stream, pong},
		"of MCP, in mid-head":   {asMCP, stream[:20], failed(lifecycle.FailureTimeout, "")},
		"of MCP, no session":    {asMCP, strings.TrimSuffix(code("400 Bad Request", noSession), "}"), failed(lifecycle.FailureTimeout, "")},
		"of HTTP":               {lifecycle.Question{}, stream + chunk(saysHealthy), failed(lifecycle.FailureTimeout, "")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := newAnswerReader()
			r.reset(late(row.sent))
			answer, keep := r.read(row.question)
			g.Expect(answer).To(Equal(row.want))
			g.Expect(keep).To(BeFalse())
		})
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// Another question is another entry, which keeps what is known of the pod.
func TestAnotherQuestion(t *testing.T) {
	g := NewWithT(t)
	p := New(Options{})
	target := agent(1)
	seed := lifecycle.Pulse{Status: contract.Healthy, HealthyAt: time.Unix(1, 0)}
	p.Track(target, seed)
	first := p.entries[target.Key]
	target.Question = asMCP
	p.Track(target, lifecycle.Pulse{})
	g.Expect(p.entries[target.Key]).NotTo(BeIdenticalTo(first))
	g.Expect(p.entries[target.Key].pulse).To(Equal(seed))
	g.Expect(p.entries[target.Key].target.Question).To(Equal(asMCP))
	second := p.entries[target.Key]
	p.Track(target, lifecycle.Pulse{})
	g.Expect(p.entries[target.Key]).To(BeIdenticalTo(second))
}
