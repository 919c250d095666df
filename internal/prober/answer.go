package prober

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// maxHeader bounds the bytes before the body, all 1xx answers included.
	maxHeader = 4 << 10
	// maxBody bounds the bytes from there on: the largest ping answer, and as
	// much again for the marks of its chunks.
	maxBody = 2*contract.MaxPingBytes + 1
)

// asked tells http.ReadResponse which request it is that was answered.
var asked = &http.Request{Method: http.MethodGet}

// errMore is the end of what has come of an answer so far.
var errMore = errors.New("more is to come")

// errLimit is what an agent that sends too much is cut off with.
var errLimit = errors.New("too many bytes")

// answerReader reads one answer, and no more bytes than it may have.
type answerReader struct {
	buf  *bufio.Reader // over Read
	conn io.Reader
	left int   // how many bytes may still be read
	err  error // the first that reading gave: what a parser makes of it hides it
}

// readers spares ten thousand idle connections a buffer each.
var readers = sync.Pool{New: func() any { return newAnswerReader() }}

func newAnswerReader() *answerReader {
	r := &answerReader{}
	r.buf = bufio.NewReader(r)
	return r
}

// reset has the next answer read from conn.
func (r *answerReader) reset(conn io.Reader) {
	r.conn, r.left, r.err = conn, maxHeader, nil
	r.buf.Reset(r)
}

// Read reads from the connection within the limit.
func (r *answerReader) Read(b []byte) (int, error) {
	if r.left <= 0 {
		r.err = errLimit
		return 0, errLimit
	}
	n, err := r.conn.Read(b[:min(len(b), r.left)])
	r.left -= n
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}

// wait waits for the first byte.
func (r *answerReader) wait() error {
	_, err := r.buf.Peek(1)
	return err
}

// read reads the answer and judges it. keep tells that it ended where it said
// it would, and that the connection may be used again.
func (r *answerReader) read() (answer lifecycle.Answer, keep bool) {
	resp, err := r.header() //nolint:bodyclose // closing reads on; the connection is closed instead
	switch {
	case errors.Is(r.err, errLimit):
		return failed(lifecycle.FailureProtocol, fmt.Sprintf("header of more than %d bytes", maxHeader)), false
	case err != nil:
		return r.cutOff(err), false
	case resp.ProtoMajor != 1:
		return failed(lifecycle.FailureProtocol, "not HTTP/1.1"), false
	case resp.StatusCode != http.StatusOK:
		// Before the body is touched: that of a 101 has no end.
		return failed(lifecycle.FailureStatusCode, fmt.Sprintf("answered %d", resp.StatusCode)), false
	case resp.ContentLength > contract.MaxPingBytes:
		return failed(lifecycle.FailureBody, contract.ErrTooLarge.Error()), false
	}
	r.left = maxBody
	body, err := io.ReadAll(io.LimitReader(resp.Body, contract.MaxPingBytes+1))
	switch {
	case errors.Is(r.err, errLimit): // the marks of the chunks took all that there was
		return failed(lifecycle.FailureBody, contract.ErrTooLarge.Error()), false
	case err != nil:
		return r.cutOff(err), false
	}
	whole := len(body) <= contract.MaxPingBytes
	return judgeBody(body), whole && !resp.Close && r.buf.Buffered() == 0
}

func judgeBody(body []byte) lifecycle.Answer {
	ping, err := contract.ParsePing(body)
	if err != nil {
		return failed(lifecycle.FailureBody, err.Error())
	}
	return lifecycle.Answer{Ping: ping}
}

// header reads up to the body, past 1xx answers. What agents may send before
// the answer is bounded by maxHeader in all.
func (r *answerReader) header() (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r.buf, asked)
		if err != nil {
			return nil, err
		}
		informs := resp.StatusCode >= 100 && resp.StatusCode <= 199
		if !informs || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
}

// cutOff judges an answer that did not come to its end: by what the connection
// did if that is why, and else by what the parser says.
func (r *answerReader) cutOff(parse error) lifecycle.Answer {
	if r.err == nil {
		return failed(lifecycle.FailureProtocol, parse.Error())
	}
	return cutOff(r.err)
}

func cutOff(conn error) lifecycle.Answer {
	switch {
	case isTimeout(conn):
		return failed(lifecycle.FailureTimeout, "")
	case errors.Is(conn, io.EOF):
		return failed(lifecycle.FailureProtocol, "connection closed in mid-answer")
	}
	return failed(lifecycle.FailureConnect, "connection reset in mid-answer")
}

func failed(how lifecycle.Failure, detail string) lifecycle.Answer {
	return lifecycle.Answer{Failure: how, Detail: detail}
}

// judge reads an answer of which b has come. If it is not whole, it returns more
// unless ended: then there is no more of it.
func judge(b []byte, ended bool) (answer lifecycle.Answer, keep, more bool) {
	r := readers.Get().(*answerReader) //nolint:forcetypeassert // the pool holds nothing else
	come := &piece{left: b, ended: ended}
	r.reset(come)
	answer, keep = r.read()
	more = errors.Is(r.err, errMore)
	r.reset(nil)
	readers.Put(r)
	return answer, keep && len(come.left) == 0 && !more, more
}

// piece is as much of an answer as has come.
type piece struct {
	left  []byte
	ended bool
}

func (p *piece) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		if p.ended {
			return 0, io.EOF
		}
		return 0, errMore
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}
