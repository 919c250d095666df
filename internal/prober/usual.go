package prober

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// usualAnswer returns code and body of an answer as nearly all agents send it: in
// HTTP/1.1, with a Content-Length, nothing that changes how it is to be read, and not
// a byte more or less; of MCP servers a stream in chunks too, whose body is of no
// interest. Everything else is for judge, which makes the same of a usual answer too,
// in ten times the time.
func usualAnswer(q lifecycle.Question, b []byte) (code int, body []byte, usual bool) {
	code, length, body, ok := usualHead(b)
	whole := length == len(body) && length <= contract.MaxPingBytes
	switch {
	case !ok || len(b)-len(body) > maxHeader:
		return 0, nil, false
	case q.MCP == "":
		return code, body, whole && code == http.StatusOK
	case code == http.StatusBadRequest:
		return code, body, whole
	case code < 200 || code > 299 || code == http.StatusNoContent: // which has no body, whatever it says
		return 0, nil, false
	}
	return code, nil, whole || length == inChunks && endsInChunks(body)
}

// judgeUsual judges a usual answer.
func judgeUsual(q lifecycle.Question, code int, body []byte) lifecycle.Answer {
	if q.MCP != "" {
		return q.JudgeMCP(code, "", body)
	}
	return q.Judge(body)
}

// The length of a body that is not told, or is by chunks.
const (
	untold   = -1
	inChunks = -2
)

// usualHead reads the head of an answer, if it is usual, and returns what follows.
func usualHead(b []byte) (code, length int, body []byte, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 4 || rest[3] != ' ' {
		return 0, 0, nil, false
	}
	n, err := strconv.ParseUint(string(rest[:3]), 10, 16)
	line, rest, ok := bytes.Cut(rest[4:], crlf)
	for length = untold; ok && err == nil && printable(line); {
		if line, rest, ok = bytes.Cut(rest, crlf); ok && len(line) == 0 {
			return int(n), length, rest, true
		}
		if !usualHeader(line, &length) {
			return 0, 0, nil, false
		}
	}
	return 0, 0, nil, false
}

// endsInChunks tells whether a body in chunks is there to its end, with no more than
// their lengths between them.
func endsInChunks(body []byte) bool {
	if len(body) > contract.MaxPingBytes {
		return false
	}
	for {
		line, rest, ok := bytes.Cut(body, crlf)
		size, err := strconv.ParseUint(string(line), 16, 16)
		switch {
		case !ok, err != nil:
			return false
		case size == 0:
			return string(rest) == "\r\n"
		case int(size)+len(crlf) > len(rest) || !bytes.HasPrefix(rest[size:], crlf):
			return false
		}
		body = rest[int(size)+len(crlf):]
	}
}

// usualHeader tells whether a header is none that changes how the body is to be
// read, but for its length: that it takes, once.
func usualHeader(line []byte, length *int) bool {
	name, value, ok := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case !ok, len(name) == 0, bytes.ContainsFunc(name, odd):
		return false
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 16)
		once := *length == untold
		*length = int(n)
		return err == nil && once
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		once := *length == untold
		*length = inChunks
		return once && bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("Connection")):
		return bytes.EqualFold(value, []byte("keep-alive"))
	}
	return !bytes.EqualFold(name, []byte("Trailer")) && !bytes.EqualFold(name, []byte("Content-Encoding"))
}

var crlf = []byte("\r\n")

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
