package prober

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"

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

// readers spares ten thousand idle connections a buffer each.
var readers = sync.Pool{New: func() any {
	r := &answerReader{}
	r.buf = bufio.NewReader(&r.left)
	return r
}}

// answerReader reads one answer, and no more bytes than it may have.
type answerReader struct {
	left io.LimitedReader
	buf  *bufio.Reader
}

// reset has the next answer read from conn.
func (r *answerReader) reset(conn io.Reader) {
	r.left = io.LimitedReader{R: conn, N: maxHeader}
	r.buf.Reset(&r.left)
}

// wait waits for the first byte.
func (r *answerReader) wait() error {
	_, err := r.buf.Peek(1)
	return err
}

// read reads the answer and judges it. keep tells that it ended where it said
// it would, and that the connection may be used again.
func (r *answerReader) read() (answer lifecycle.Answer, keep bool) {
	resp, err := r.header()
	switch {
	case err != nil && r.left.N <= 0:
		return failed(lifecycle.FailureProtocol, fmt.Sprintf("header of more than %d bytes", maxHeader)), false
	case err != nil:
		return cutOff(err), false
	case resp.ProtoMajor != 1:
		return failed(lifecycle.FailureProtocol, "not HTTP/1.1"), false
	case resp.StatusCode != http.StatusOK:
		// Before the body is touched: that of a 101 has no end.
		return failed(lifecycle.FailureStatusCode, fmt.Sprintf("answered %d", resp.StatusCode)), false
	case resp.ContentLength > contract.MaxPingBytes:
		return failed(lifecycle.FailureBody, contract.ErrTooLarge.Error()), false
	}
	r.left.N = maxBody
	body, err := io.ReadAll(io.LimitReader(resp.Body, contract.MaxPingBytes+1))
	if err != nil && r.left.N > 0 {
		return cutOff(err), false
	}
	if err != nil { // the marks of the chunks took all that there was
		return failed(lifecycle.FailureBody, contract.ErrTooLarge.Error()), false
	}
	ping, err := contract.ParsePing(body)
	if err != nil {
		answer = failed(lifecycle.FailureBody, err.Error())
	} else {
		answer = lifecycle.Answer{Ping: ping}
	}
	whole := len(body) <= contract.MaxPingBytes
	return answer, whole && !resp.Close && r.buf.Buffered() == 0
}

// header reads up to the body, past 1xx answers. What agents may send before
// the answer is bounded by maxHeader in all.
func (r *answerReader) header() (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r.buf, asked) //nolint:bodyclose // closing reads on; the connection is closed instead
		if err != nil {
			return nil, err
		}
		informs := resp.StatusCode >= 100 && resp.StatusCode <= 199
		if !informs || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
}

// cutOff judges an answer that began and did not come to its end.
func cutOff(err error) lifecycle.Answer {
	switch {
	case isTimeout(err):
		return failed(lifecycle.FailureTimeout, "")
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return failed(lifecycle.FailureConnect, "connection reset in mid-answer")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return failed(lifecycle.FailureProtocol, "connection closed in mid-answer")
	}
	return failed(lifecycle.FailureProtocol, err.Error())
}

func failed(how lifecycle.Failure, detail string) lifecycle.Answer {
	return lifecycle.Answer{Failure: how, Detail: detail}
}
