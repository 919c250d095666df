package prober

import (
	"bytes"
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
	f.Fuzz(func(t *testing.T, sent []byte) {
		for _, c := range []*counter{{r: bytes.NewReader(sent)}, {r: iotest.OneByteReader(bytes.NewReader(sent))}} {
			r := newAnswerReader()
			r.reset(c)
			answer, keep := r.read()
			answer = describe(answer, time.Second)
			switch {
			case c.n > maxHeader+maxBody:
				t.Fatalf("%d bytes were read", c.n)
			case answer.Failure == "" && !answer.Ping.Status.Valid():
				t.Fatalf("taken for good: %+v", answer)
			case answer.Failure != "" && !fitForEvents(answer.Detail):
				t.Fatalf("detail %q", answer.Detail)
			case keep && answer.Failure != "" && answer.Failure != lifecycle.FailureBody:
				t.Fatalf("kept after %+v", answer)
			}
		}
	})
}
