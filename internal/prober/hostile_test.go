package prober

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// Each of these is asked over a socket: the ping must end by itself, or by
// its deadline where hasty is set, and let the connection go.
func TestHostileAgents(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			const head = "HTTP/1.1 200 OK\r\n"
			kilobyte := strings.Repeat("x", 1024)
			for name, row := range map[string]struct {
				serve  func(*server, *net.TCPConn)
				hasty  bool
				want   lifecycle.Failure // empty: it is alive
				detail string            // a part of it
			}{
				"404":                      {serve: once("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), want: lifecycle.FailureStatusCode, detail: "GET /ping was answered with 404"},
				"204":                      {serve: once("HTTP/1.1 204 No Content\r\n\r\n"), want: lifecycle.FailureStatusCode, detail: "answered with 204"},
				"500 with a good body":     {serve: once(strings.Replace(ok(saysHealthy), "200", "500", 1)), want: lifecycle.FailureStatusCode, detail: "answered with 500"},
				"Unhealthy, and 503":       {serve: once(strings.Replace(ok(saysUnhealthy), "200", "503", 1)), want: lifecycle.FailureUnhealthy, detail: `answered with 503 and the status "Unhealthy"`},
				"Unhealthy, and 200":       {serve: once(ok(saysUnhealthy)), want: lifecycle.FailureUnhealthy, detail: `answered with 200 and the status "Unhealthy"`},
				"Unhealthy, and 500":       {serve: once(strings.Replace(ok(saysUnhealthy), "200", "500", 1)), want: lifecycle.FailureUnhealthy, detail: "answered with 500 and the status"},
				"Unhealthy, and 404":       {serve: once(strings.Replace(ok(saysUnhealthy), "200", "404", 1)), want: lifecycle.FailureUnhealthy, detail: "answered with 404 and the status"},
				"Unhealthy, and 101":       {serve: once(strings.Replace(ok(saysUnhealthy), "200", "101", 1)), want: lifecycle.FailureStatusCode, detail: "answered with 101"},
				"503, large body":          {serve: endless("HTTP/1.1 503 No\r\nContent-Length: 99999999999\r\n\r\n", kilobyte), want: lifecycle.FailureStatusCode, detail: "answered with 503"},
				"503, body without end":    {serve: endless("HTTP/1.1 503 No\r\n\r\n", kilobyte), want: lifecycle.FailureStatusCode, detail: "answered with 503"},
				"503, cut off":             {serve: finAfter("HTTP/1.1 503 No\r\nContent-Length: 99\r\n\r\n{"), want: lifecycle.FailureStatusCode, detail: "answered with 503"},
				"100, and on and on":       {serve: endless("", "HTTP/1.1 100 Continue\r\n\r\n"), want: lifecycle.FailureProtocol, detail: "header of more than 4096 bytes"},
				"103 flood (P3)":           {serve: endless("", "HTTP/1.1 103 Early Hints\r\nLink: "+kilobyte+"\r\n\r\n"), want: lifecycle.FailureProtocol, detail: "header of more than 4096 bytes"},
				"8 MB of headers (P3)":     {serve: once(head + "X: " + strings.Repeat(kilobyte, 8<<10) + "\r\n\r\n"), want: lifecycle.FailureProtocol, detail: "header of more than 4096 bytes"},
				"headers without end":      {serve: endless(head, "X: "+kilobyte+"\r\n"), want: lifecycle.FailureProtocol, detail: "header of more than 4096 bytes"},
				"status line without end":  {serve: endless("HTTP/1.1 200 ", kilobyte), want: lifecycle.FailureProtocol, detail: "header of more than 4096 bytes"},
				"body without end (P3)":    {serve: endless(head+"\r\n", kilobyte), detail: "more than 4096 bytes, which counts as Healthy"},
				"large body":               {serve: endless(head+"Content-Length: 99999999999\r\n\r\n", kilobyte), detail: "more than 4096 bytes, which counts as Healthy"},
				"chunks without end (P3)":  {serve: endless(head+"Transfer-Encoding: chunked\r\n\r\n", "400\r\n"+kilobyte+"\r\n"), detail: "more than 4096 bytes, which counts as Healthy"},
				"one chunk without end":    {serve: endless(head+"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", kilobyte), detail: "more than 4096 bytes, which counts as Healthy"},
				"marks of chunks":          {serve: endless(head+"Transfer-Encoding: chunked\r\n\r\n", "1;"+kilobyte+"\r\nx\r\n"), detail: "more than 4096 bytes, which counts as Healthy"},
				"trailers without end":     {serve: endless(head+"Transfer-Encoding: chunked\r\n\r\n14\r\n"+saysHealthy+"\r\n0\r\n", "X: "+kilobyte+"\r\n"), want: lifecycle.FailureProtocol, detail: "trailer"},
				"gzip (P3)":                {serve: once(strings.Replace(ok(zipped(saysHealthy)), "\r\n", "\r\nContent-Encoding: gzip\r\n", 1)), detail: `encoded as "gzip", which counts as Healthy`},
				"drip of headers (P4)":     {serve: drip(head, "X: y\r\n"), hasty: true, want: lifecycle.FailureTimeout, detail: "GET /ping was not answered within 200ms"},
				"drip of a body (P4)":      {serve: drip(head+"\r\n", "x"), hasty: true, want: lifecycle.FailureTimeout, detail: "GET /ping was not answered within 200ms"},
				"drip of nothing":          {serve: func(_ *server, c *net.TCPConn) { drain(c) }, hasty: true, want: lifecycle.FailureTimeout, detail: "GET /ping was not answered within 200ms"},
				"body shorter than said":   {serve: once(head + "Content-Length: 99\r\n\r\n{"), hasty: true, want: lifecycle.FailureTimeout, detail: "GET /ping was not answered within 200ms"},
				"FIN before the answer":    {serve: func(s *server, c *net.TCPConn) { s.request(bufio.NewReader(c)) }, want: lifecycle.FailureConnect, detail: "connection closed without an answer"},
				"FIN in the header (P6)":   {serve: finAfter(head), want: lifecycle.FailureProtocol, detail: "connection closed in mid-answer"},
				"FIN before the body (P6)": {serve: finAfter(head + "Content-Length: 20\r\n\r\n"), want: lifecycle.FailureProtocol, detail: "connection closed in mid-answer"},
				"RST in the body (P6)":     {serve: resetAfter(head + "Content-Length: 20\r\n\r\n{"), want: lifecycle.FailureConnect, detail: "connection reset in mid-answer"},
				"not HTTP":                 {serve: once("SSH-2.0-OpenSSH_9.6\r\n\r\n"), want: lifecycle.FailureProtocol, detail: "SSH-2.0"},
				"HTTP/2":                   {serve: once("HTTP/2.0 200 OK\r\nContent-Length: 20\r\n\r\n" + saysHealthy), want: lifecycle.FailureProtocol, detail: "not answered in HTTP/1.1"},
				"two lengths":              {serve: once(head + "Content-Length: 20\r\nContent-Length: 21\r\n\r\n" + saysHealthy), want: lifecycle.FailureProtocol, detail: "Content-Length"},
				"lower case status (P7)":   {serve: once(ok(`{"status":"healthy"}`)), detail: `the status "healthy", which counts as Healthy`},
				"HTML (P7)":                {serve: once(ok(`<html>`)), detail: `"<html>" and no proper JSON object`},
				"no body (P7)":             {serve: once(ok("")), detail: "an empty body"},
				"escapes in the body (P14)": {
					serve: once(ok("{\"status\":\"\\u001b[31m\u202e\x1b[2J\n" + kilobyte + `"}`)), detail: "no proper JSON object",
				},
				"escapes in the header (P14)": {serve: once("HTTP/1.1 \x1b[31m\x07" + kilobyte + "\r\n\r\n"), want: lifecycle.FailureProtocol, detail: `\x1b[31m`},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					g := NewWithT(t)
					s := listen(t, "127.0.0.1", row.serve)
					line := open(Target{Addr: s.addr})
					defer line.Close()
					again := func() lifecycle.Answer {
						line.Close() // a whole answer with a bad body leaves it open
						if !row.hasty {
							return ask(t, line, patient)
						}
						line.dialNow(t) // without haste: this is about what follows
						return ask(t, line, hasty)
					}
					answer := again()
					g.Expect(answer.Failure).To(Equal(row.want), answer.Detail)
					g.Expect(answer.Detail).To(ContainSubstring(row.detail))
					g.Expect(answer.Detail).To(Satisfy(fitForEvents))
					if answer.Failure != "" {
						g.Expect(line.connected()).To(BeFalse())
					}
					g.Expect(again().Detail).To(Equal(answer.Detail), "the same failure, the same words")
				})
			}
		})
	}
}

// The head of a refusal is enough, where its body is late. (A busy machine may be late with
// the head, too.)
func TestARefusalWhoseBodyIsLate(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			s := listen(t, "127.0.0.1", once("HTTP/1.1 503 No\r\nContent-Length: 99\r\n\r\n{"))
			line := open(Target{Addr: s.addr})
			defer line.Close()
			NewWithT(t).Eventually(func() lifecycle.Answer {
				line.Close()
				line.dialNow(t)
				return ask(t, line, hasty)
			}).WithTimeout(patient).Should(Equal(lifecycle.Question{}.Refused(503, "")))
		})
	}
}

func fitForEvents(detail string) bool {
	return utf8.ValidString(detail) && utf8.RuneCountInString(detail) <= 200 &&
		strings.IndexFunc(detail, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func finAfter(answer string) func(*server, *net.TCPConn) {
	return func(s *server, c *net.TCPConn) {
		if s.request(bufio.NewReader(c)) {
			_, _ = c.Write([]byte(answer))
		}
	}
}

// resetAfter resets the connection behind the answer.
func resetAfter(answer string) func(*server, *net.TCPConn) {
	return func(s *server, c *net.TCPConn) {
		if s.request(bufio.NewReader(c)) {
			_, _ = c.Write([]byte(answer))
			_ = c.SetLinger(0)
		}
	}
}

// A redirect is not followed, and no proxy is asked (P1).
func TestNothingElseIsAsked(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			canary := listen(t, "127.0.0.3", once(ok(saysHealthy)))
			for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
				t.Setenv(name, "http://"+canary.addr.String())
			}
			for _, code := range []int{301, 302, 303, 307, 308} {
				s := listen(t, "127.0.0.2", once(fmt.Sprintf("HTTP/1.1 %d Go\r\nLocation: http://%s/ping\r\nContent-Length: 0\r\n\r\n", code, canary.addr)))
				answer := ask(t, open(Target{Addr: s.addr}), patient)
				g.Expect(answer).To(Equal(lifecycle.Answer{Failure: lifecycle.FailureStatusCode, Detail: fmt.Sprintf("GET /ping was answered with %d to \"http://%s/ping\", and redirects are not followed", code, canary.addr)}))
			}
			made, _ := canary.counts()
			g.Expect(made).To(BeZero())
		})
	}
}

// 101 hands the connection over for good: http.Client would hang until the
// agent closes it, whatever its timeout (P2).
func TestSwitchingProtocolsHoldsNothing(t *testing.T) {
	for way, open := range ways {
		t.Run(way, func(t *testing.T) {
			g := NewWithT(t)
			s := listen(t, "127.0.0.1", once("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
			const agents = 1000
			for range agents {
				answer := ask(t, open(Target{Addr: s.addr}), patient)
				g.Expect(answer).To(Equal(lifecycle.Answer{Failure: lifecycle.FailureStatusCode, Detail: "GET /ping was answered with 101"}))
			}
			g.Eventually(func() int { _, over := s.counts(); return over }).WithTimeout(patient).Should(Equal(agents))
		})
	}
}

// What an agent sends is read up to a bound, whatever it says of it (P3).
func TestBytesReadAreBounded(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	for name, begin := range map[string]string{
		"status line": "HTTP/1.1 200 ",
		"header":      head + "X: ",
		"body":        head + "\r\n",
		"chunk":       head + "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
		"chunk mark":  head + "Transfer-Encoding: chunked\r\n\r\n1;",
		"trailer":     head + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := &counter{r: io.MultiReader(strings.NewReader(begin), repeat("x"))}
			r := newAnswerReader()
			r.reset(c)
			answer, keep := r.read(lifecycle.Question{})
			g.Expect(answer.Detail).NotTo(BeEmpty())
			g.Expect(keep).To(BeFalse())
			g.Expect(c.n).To(BeNumerically("<=", maxHeader+maxBody))
		})
	}
}

// repeat is a reader without end.
type repeat string

func (s repeat) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = s[i%len(s)]
	}
	return len(b), nil
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}
