package prober

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// usualBody returns the body of an answer as nearly all agents send it: 200 in
// HTTP/1.1, with a Content-Length, nothing that changes how it is to be read,
// and not a byte more or less. Everything else is for judge, which makes the
// same of a usual answer too, in ten times the time.
func usualBody(b []byte) (body []byte, usual bool) {
	rest, ok := bytes.CutPrefix(b, []byte("HTTP/1.1 200 "))
	if !ok {
		return nil, false
	}
	line, rest, ok := bytes.Cut(rest, crlf)
	for length := -1; ok && printable(line); {
		if line, rest, ok = bytes.Cut(rest, crlf); ok && len(line) == 0 {
			return rest, len(rest) == length && len(rest) <= contract.MaxPingBytes && len(b)-len(rest) <= maxHeader
		}
		if !usualHeader(line, &length) {
			return nil, false
		}
	}
	return nil, false
}

// judgeUsual judges the body of a usual answer.
func judgeUsual(q lifecycle.Question, body []byte) lifecycle.Answer {
	if q.MCP != "" {
		return q.JudgeMCP(http.StatusOK, "", nil)
	}
	return q.Judge(body)
}

// usualHeader tells whether a header is none that changes how the body is to be
// read, but for its length: that it takes, once.
func usualHeader(line []byte, length *int) bool {
	name, value, ok := bytes.Cut(line, []byte(":"))
	switch {
	case !ok, len(name) == 0, bytes.ContainsFunc(name, odd):
		return false
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 16)
		once := *length < 0
		*length = int(n)
		return err == nil && once
	}
	for _, changes := range changing {
		if bytes.EqualFold(name, changes) {
			return false
		}
	}
	return true
}

var (
	crlf     = []byte("\r\n")
	changing = [][]byte{[]byte("Connection"), []byte("Transfer-Encoding"), []byte("Trailer"), []byte("Content-Encoding")}
)

// odd is a character that is no letter, digit or hyphen.
func odd(c rune) bool {
	return ('a' > c|0x20 || c|0x20 > 'z') && ('0' > c || c > '9') && c != '-'
}

func printable(line []byte) bool {
	for _, c := range line {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
