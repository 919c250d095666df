package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// thereTimeout is how long the end of an answer waits to hear whether its agent is there.
const thereTimeout = time.Second

// untilClosed is an answer whose end is that of its connection, as HTTP/1.0 has it: the
// body of one that broke off ends as well as that of one that is whole. It ends well if
// nothing tells that it broke off.
type untilClosed struct {
	io.ReadCloser

	text  text
	alive func() bool // the agent still is
}

// endsWithConnection tells whether nothing else says where an answer ends.
func endsWithConnection(answer *http.Response) bool {
	return answer.ContentLength < 0 && len(answer.TransferEncoding) == 0 && answer.StatusCode != http.StatusSwitchingProtocols
}

func (b *untilClosed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.text.add(p[:n])
	if err == io.EOF && (b.text.open() || !b.alive()) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// isAlive tells whether the agent that a request was for takes connections. Of a process
// that has died the port is closed before the connections that were opened after it.
func (a agents) isAlive(r *http.Request) bool {
	ctx := context.WithValue(r.Context(), reachBy{}, time.Now().Add(thereTimeout))
	conn, err := a.DialContext(ctx, "tcp", r.URL.Host)
	if err != nil { // one that is only busy takes none in time
		return !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.EHOSTUNREACH)
	}
	_ = conn.Close() // nothing was said
	return true
}

// text follows an answer as far as it shows that it broke off: JSON within a value that
// has an end of its own, events within a line.
type text struct {
	json, events bool

	depth           int // of objects and arrays
	quoted, escaped bool
	last            byte
}

func textOf(contentType string) text {
	kind, _, _ := mime.ParseMediaType(contentType) // what is no type is neither
	return text{json: kind == "application/json" || strings.HasSuffix(kind, "+json"), events: kind == "text/event-stream"}
}

func (t *text) add(some []byte) {
	if len(some) > 0 {
		t.last = some[len(some)-1]
	}
	if !t.json {
		return
	}
	for _, b := range some {
		switch {
		case t.escaped:
			t.escaped = false
		case t.quoted:
			t.quoted, t.escaped = b != '"', b == '\\'
		case b == '"':
			t.quoted = true
		case b == '{', b == '[':
			t.depth++
		case b == '}', b == ']':
			t.depth--
		}
	}
}

// open tells whether it cannot end here. What is empty may.
func (t *text) open() bool {
	return t.quoted || t.depth > 0 || t.events && t.last != 0 && t.last != '\n' && t.last != '\r'
}
