package prober

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// maxHeader bounds the bytes before the body, all 1xx answers included.
	maxHeader = 4 << 10
	// maxBody bounds the bytes from there on: the largest ping answer, and as
	// much again for the marks of its chunks.
	maxBody = 2 * contract.MaxPingBytes
)

// asked tells http.ReadResponse which request it is that was answered: one whose
// answer may have a body.
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

// read reads the answer to a question and judges it. keep tells that it ended where
// it said it would, and that the connection may be used again.
func (r *answerReader) read(q lifecycle.Question) (answer lifecycle.Answer, keep bool) {
	resp, err := r.header() //nolint:bodyclose // closing reads on; the connection is closed instead
	switch {
	case errors.Is(r.err, errLimit):
		return failed(lifecycle.FailureProtocol, fmt.Sprintf("%s was answered with a header of more than %d bytes", q, maxHeader)), false
	case err != nil:
		return r.cutOff(q, err), false
	case resp.ProtoMajor != 1:
		return failed(lifecycle.FailureProtocol, q.String()+" was not answered in HTTP/1.1"), false
	case q.MCP != "":
		return r.readMCP(q, resp)
	case resp.StatusCode != http.StatusOK:
		return r.readRefusal(q, resp), false
	}
	body, whole, err := r.body(resp)
	if err != nil {
		return r.cutOff(q, err), false
	}
	answer = judgeBody(q, resp.Header.Get("Content-Encoding"), body, whole)
	return answer, whole && r.ends(resp)
}

// body reads what there is of a body within the limit. whole tells that it is all of
// it.
func (r *answerReader) body(resp *http.Response) (body []byte, whole bool, err error) {
	if resp.ContentLength > contract.MaxPingBytes {
		return nil, false, nil
	}
	r.left = maxBody
	body, err = io.ReadAll(io.LimitReader(resp.Body, contract.MaxPingBytes+1))
	if errors.Is(r.err, errLimit) { // the marks of the chunks took all that there was
		return nil, false, nil
	}
	return body, len(body) <= contract.MaxPingBytes, err
}

// ends tells that nothing more comes of an answer whose body was read.
func (r *answerReader) ends(resp *http.Response) bool { return !resp.Close && r.buf.Buffered() == 0 }

func judgeBody(q lifecycle.Question, encoding string, body []byte, whole bool) lifecycle.Answer {
	switch {
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return q.Encoded(encoding)
	case !whole:
		return q.TooLarge()
	}
	return q.Judge(body)
}

// readRefusal judges an answer of another code than 200, with the body of one that may
// say what is wrong. Its head is enough: where the body does not come, or has no end as
// that of a 101, nothing is lost.
func (r *answerReader) readRefusal(q lifecycle.Question, resp *http.Response) lifecycle.Answer {
	location := resp.Header.Get("Location")
	if resp.StatusCode < http.StatusBadRequest || resp.ContentLength == 0 {
		return q.Refused(resp.StatusCode, location)
	}
	body, whole, err := r.body(resp)
	if err != nil || !whole {
		return q.Refused(resp.StatusCode, location)
	}
	return q.JudgeRefusal(resp.StatusCode, location, body)
}

// readMCP judges an answer to MCP's ping by its head. Its body may be a stream of
// events, which need not end: a good answer that does not end is good all the same,
// and its connection is let go.
func (r *answerReader) readMCP(q lifecycle.Question, resp *http.Response) (answer lifecycle.Answer, keep bool) {
	answer = q.JudgeMCP(resp.StatusCode, resp.Header.Get("Location"), nil)
	if answer.Failure != "" && resp.StatusCode != http.StatusBadRequest {
		return answer, false
	}
	body, whole, err := r.body(resp)
	switch {
	case errors.Is(err, errMore), answer.Failure == "":
	case err != nil:
		return r.cutOff(q, err), false
	case whole:
		answer = q.JudgeMCP(resp.StatusCode, "", body)
	}
	return answer, err == nil && whole && r.ends(resp)
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
func (r *answerReader) cutOff(q lifecycle.Question, parse error) lifecycle.Answer {
	if r.err == nil {
		return failed(lifecycle.FailureProtocol, fmt.Sprintf("%s was not answered in HTTP/1.1: %s", q, parse))
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
func judge(q lifecycle.Question, b []byte, ended bool) (answer lifecycle.Answer, keep, more bool) {
	r := readers.Get().(*answerReader) //nolint:forcetypeassert // the pool holds nothing else
	come := &piece{left: b, ended: ended}
	r.reset(come)
	answer, keep = r.read(q)
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
