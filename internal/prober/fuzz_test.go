package prober

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// FuzzAnswer feeds an agent's bytes to the reader, in one piece and one by
// one: it ends, reads no more than it may, and says what failed in one line.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(ok(saysHealthy)))
	f.Add([]byte("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\n\r\n" + saysBusy))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + saysHealthy + "\r\n0\r\nX: y\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n\x00"))
	f.Add([]byte("HTTP/9.9 \x1b[31m"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n\r\n" + saysHealthy))
	for _, odd := range []string{
		"Content-Length: 20\r\nContent-Length: 24\r\n", "Content-Length : 20\r\n", " Content-Length: 20\r\n", "content-length:20\r\nX: y\n\r\n",
		"Content-Length: 20\r\nX: y\n: z\r\n", "Content-Length: 20\r\nX: \x00\r\n", "Content-Length: +20\r\n", "Content-Length: 20\r\nConnection: close\r\n",
		"Content-Length: 20\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 20\r\nX: y\r\n z\r\n", "Content-Length: 20\r\n: z\r\n", "Content-Length: 20\r\nX\r\n",
	} {
		f.Add([]byte("HTTP/1.1 200 OK\r\n" + odd + "\r\n" + saysHealthy))
	}
	f.Add([]byte("HTTP/1.1 200 O\nX: y\r\nContent-Length: 20\r\n\r\n" + saysHealthy))
	long := ok(saysHealthy)
	f.Add([]byte(strings.Replace(long, "\r\n", "\r\nX: "+strings.Repeat("y", maxHeader-len(long)-5)+"\r\n", 1) + "x"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + saysHealthy))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(saysPong) + "0\r\n\r\n"))
	for _, body := range []string{chunk(saysPong), chunk(saysPong) + "0\r\nX: y\r\n\r\n", chunk("x") + "00\r\n\r\n", chunk("x") + "0\r\n\r\nx", "1;x\r\nx\r\n0\r\n\r\n", "+1\r\nx\r\n0\r\n\r\n", "1\r\nxx0\r\n\r\n", "\r\n\r\n"} {
		f.Add([]byte("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
	}
	for _, status := range []string{"202 Accepted", "204 No Content", "304 Not Modified", "099 x", "+20 x", "2x0 x", "100 Continue"} {
		f.Add([]byte("HTTP/1.1 " + status + "\r\nContent-Length: 20\r\n\r\n" + saysHealthy))
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 20\r\n\r\n" + saysHealthy))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 17\r\n\r\n" + `{"jsonrpc":"2.0"}`))
	f.Add([]byte("HTTP/1.1 307 Temporary Redirect\r\nLocation: \x1b[31m/mcp/\r\nContent-Length: 0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		for _, q := range []lifecycle.Question{{}, {Strict: true}, {MCP: "/mcp"}} {
			for _, c := range []*counter{{r: bytes.NewReader(sent)}, {r: iotest.OneByteReader(bytes.NewReader(sent))}} {
				r := newAnswerReader()
				r.reset(c)
				answer, keep := r.read(q)
				told := describe(answer, q, time.Second)
				switch {
				case c.n > maxHeader+maxBody:
					t.Fatalf("%d bytes were read", c.n)
				case answer.Failure == "" && !answer.Ping.Status.Valid():
					t.Fatalf("taken for good: %+v", answer)
				case !fitForEvents(told.Detail) || answer.Failure != "" && told.Detail == "":
					t.Fatalf("detail %q", told.Detail)
				case answer.Failure == lifecycle.FailureBody && !q.Strict:
					t.Fatalf("refused for its body: %+v", answer)
				case keep && answer.Failure != "" && answer.Failure != lifecycle.FailureBody && answer.Failure != lifecycle.FailureUnhealthy && q.MCP == "":
					t.Fatalf("kept after %+v", answer)
				}
			}
			samePiecewise(t, q, sent)
		}
	})
}

// samePiecewise: in pieces, an answer is what it is in one, and a usual one is
// what the parser makes of it.
func samePiecewise(t *testing.T, q lifecycle.Question, sent []byte) {
	t.Helper()
	whole, wholeKeep, _ := judge(q, sent, true)
	ended := false
	for n := 0; n <= len(sent); n += max(1, min(len(sent)/256, len(sent)-n)) { // not each of many
		answer, keep, more := judge(q, sent[:n], false)
		if code, body, usual := usualAnswer(q, sent[:n]); usual && (more || !keep || judgeUsual(q, code, body) != answer) {
			t.Fatalf("%q is not as usual: %+v", sent[:n], answer)
		}
		switch {
		case more || ended:
			continue
		case answer != whole:
			t.Fatalf("after %d of %d bytes %+v, and then %+v", n, len(sent), answer, whole)
		case wholeKeep && n < len(sent):
			t.Fatalf("%q is left over, and the connection kept", sent[n:])
		}
		ended = true
	}
}
