package node

import (
	"bytes"
	"io"
	"sync"
)

const (
	lineMost  = 16 << 10
	wordsMost = 2 << 10 // as a kubelet keeps of a log
)

// output writes each line that a process writes with a prefix, and keeps the last ones.
type output struct {
	prefix string

	mu   sync.Mutex
	to   io.Writer
	line []byte
	last []byte
}

// Write implements io.Writer.
func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = append(o.last, text...)
	o.last = o.last[max(0, len(o.last)-wordsMost):]
	for rest := text; len(rest) > 0; {
		line, next, whole := bytes.Cut(rest, []byte("\n"))
		o.line = append(o.line, line[:min(len(line), lineMost-min(len(o.line), lineMost))]...)
		if whole {
			o.flush()
		}
		rest = next
	}
	return len(text), nil
}

func (o *output) flush() {
	_, _ = o.to.Write([]byte(o.prefix + string(o.line) + "\n")) // who closed the terminal reads nothing
	o.line = o.line[:0]
}

// end writes what is left without an end of line, and returns the last words.
func (o *output) end() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		o.flush()
	}
	return string(o.last)
}

// lines is a writer to which several goroutines write whole lines.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

// Write implements io.Writer.
func (l *lines) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(text)
}
