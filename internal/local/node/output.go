package node

import (
	"bytes"
	"io"
	"sync"
	"time"
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
	_, _ = o.to.Write([]byte(o.prefix + string(o.line) + "\n"))
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

// queued is how many lines wait for who reads slowly. What does not fit is dropped: an agent
// must not wait for a terminal, nor its end.
const queued = 1000

// lines is a writer to which several goroutines write whole lines.
type lines struct {
	queue chan []byte
	ended chan struct{} // closed when nothing that matters comes any more
	done  chan struct{}
}

func newLines(to io.Writer) *lines {
	l := &lines{queue: make(chan []byte, queued), ended: make(chan struct{}), done: make(chan struct{})}
	go l.run(to)
	return l
}

func (l *lines) run(to io.Writer) {
	defer close(l.done)
	for {
		select {
		case line := <-l.queue:
			_, _ = to.Write(line) // who closed the terminal reads nothing
		case <-l.ended:
			if len(l.queue) == 0 {
				return
			}
		}
	}
}

// Write implements io.Writer.
func (l *lines) Write(text []byte) (int, error) {
	select {
	case l.queue <- bytes.Clone(text):
	default:
	}
	return len(text), nil
}

// end waits a moment for what is queued.
func (l *lines) end() {
	close(l.ended)
	select {
	case <-l.done:
	case <-time.After(time.Second):
	}
}
