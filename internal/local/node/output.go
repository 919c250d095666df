package node

import (
	"bytes"
	"sync"
	"time"
)

const (
	lineMost  = 16 << 10
	wordsMost = 2 << 10 // as a kubelet keeps of a log
	// unfinished is after how long a line without an end is shown: who asks something, or
	// draws a bar, ends none.
	unfinished = 500 * time.Millisecond
)

// The streams of a process.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// Line is what an agent wrote.
type Line struct {
	// Session is its session's name, as callers know it.
	Session string
	// Stream is Stdout or Stderr.
	Stream string
	// Text is as the agent wrote it, without an end of line.
	Text string
}

// output is what a process writes: the lines of its streams, and the last of all.
type output struct {
	session        string
	to             *lines
	stdout, stderr *stream

	mu   sync.Mutex
	last []byte
}

func newOutput(session string, to *lines) *output {
	o := &output{session: session, to: to}
	o.stdout, o.stderr = newStream(o, Stdout), newStream(o, Stderr)
	return o
}

// end shows what is left without an end of line, and returns the last words.
func (o *output) end() string {
	o.stdout.show()
	o.stderr.show()
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.last)
}

// stream is one of a process.
type stream struct {
	*output
	name    string
	line    []byte      // so far
	waiting *time.Timer // for its end
}

func newStream(o *output, name string) *stream {
	s := &stream{output: o, name: name}
	s.waiting = time.AfterFunc(unfinished, s.show)
	return s
}

// Write implements io.Writer.
func (s *stream) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = append(s.last, text...)
	s.last = s.last[max(0, len(s.last)-wordsMost):]
	for rest := text; len(rest) > 0; {
		line, next, whole := bytes.Cut(rest, []byte("\n"))
		s.line = append(s.line, line[:min(len(line), lineMost-min(len(s.line), lineMost))]...)
		if whole {
			s.flush()
		}
		rest = next
	}
	s.waiting.Reset(unfinished)
	return len(text), nil
}

// show shows a line that has no end so far.
func (s *stream) show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.line) > 0 {
		s.flush()
	}
}

func (s *stream) flush() {
	s.to.put(Line{Session: s.session, Stream: s.name, Text: string(s.line)})
	s.line = s.line[:0]
}

// queued is how many lines wait for who reads slowly. What does not fit is dropped: an agent
// must not wait for a terminal, nor its end.
const queued = 1000

// lines takes the lines of all processes.
type lines struct {
	queue chan Line
	ended chan struct{} // closed when nothing that matters comes any more
	done  chan struct{}
}

func newLines(say func(Line)) *lines {
	l := &lines{queue: make(chan Line, queued), ended: make(chan struct{}), done: make(chan struct{})}
	go l.run(say)
	return l
}

func (l *lines) run(say func(Line)) {
	defer close(l.done)
	for {
		select {
		case line := <-l.queue:
			say(line)
		case <-l.ended:
			if len(l.queue) == 0 {
				return
			}
		}
	}
}

func (l *lines) put(line Line) {
	select {
	case l.queue <- line:
	default:
	}
}

// end waits a moment for what is queued.
func (l *lines) end() {
	close(l.ended)
	select {
	case <-l.done:
	case <-time.After(time.Second):
	}
}
