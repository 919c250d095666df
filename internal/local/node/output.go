package node

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

const (
	lineMost  = 16 << 10
	wordsMost = 2 << 10 // as a kubelet keeps of a log
	// unfinished is after how long a line without an end is shown: who asks something, or
	// draws a bar, ends none.
	unfinished = 500 * time.Millisecond
	// inherited is how long an agent that has ended is still listened to, if nothing comes, and
	// leftMost how much is read from then on: another program may have its output.
	inherited = time.Second
	leftMost  = 1 << 20
)

// The streams of a process.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// Note is in the place of a stream where the node says something of a session.
const Note = "note"

// Line is what an agent wrote.
type Line struct {
	// Session is its session's id, as callers know it, and Name its AgentSession's name.
	Session, Name string
	// Stream is Stdout, Stderr or Note.
	Stream string
	// Text is as the agent wrote it, without an end of line.
	Text string
	// Cut is how many bytes of the line are left out at its end.
	Cut int
}

// output is what a process writes: the lines of its streams, and the last of all.
type output struct {
	of             Line // with its session, and nothing else
	to             *lineQueue
	stdout, stderr *stream

	mu   sync.Mutex
	last []byte
}

func newOutput(of Line, to *lineQueue) *output {
	o := &output{of: of, to: to}
	o.stdout, o.stderr = newStream(o, Stdout), newStream(o, Stderr)
	return o
}

// attach has a command write there.
func (o *output) attach(command *exec.Cmd) (err error) {
	if o.stdout.pipe, err = command.StdoutPipe(); err != nil {
		return err
	}
	o.stderr.pipe, err = command.StderrPipe()
	return err
}

// begin reads what a command that has begun writes.
func (o *output) begin() {
	go o.stdout.read()
	go o.stderr.read()
}

// end waits for what a command that has ended has written, shows what is left without an end of
// line, and returns the last words.
func (o *output) end() string {
	o.stdout.drain()
	o.stderr.drain()
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
	pipe    io.ReadCloser
	over    atomic.Bool   // the process has ended
	done    chan struct{} // closed when all is read
	line    []byte        // so far
	cut     int           // of it
	waiting *time.Timer   // for its end
}

func newStream(o *output, name string) *stream {
	s := &stream{output: o, name: name, done: make(chan struct{})}
	s.waiting = time.AfterFunc(unfinished, s.show)
	return s
}

func (s *stream) read() {
	defer close(s.done)
	buffer := make([]byte, 32<<10)
	for left := leftMost; left > 0; {
		n, err := s.pipe.Read(buffer)
		s.write(buffer[:n])
		if err != nil {
			return
		}
		if s.over.Load() {
			left -= n
			s.hurry()
		}
	}
}

// hurry has the next read end soon.
func (s *stream) hurry() {
	if pipe, ok := s.pipe.(*os.File); ok {
		_ = pipe.SetReadDeadline(time.Now().Add(inherited)) // pipes have one
	}
}

// drain waits until all is read that a process which has ended has written.
func (s *stream) drain() {
	s.over.Store(true)
	s.hurry()
	<-s.done
	_ = s.pipe.Close() // all was read
}

func (s *stream) write(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = append(s.last, text...)
	s.last = s.last[max(0, len(s.last)-wordsMost):]
	for rest := text; len(rest) > 0; {
		line, next, whole := bytes.Cut(rest, []byte("\n"))
		room := min(len(line), lineMost-len(s.line))
		s.line = append(s.line, line[:room]...)
		s.cut += len(line) - room
		if whole {
			s.flush()
		}
		rest = next
	}
	s.waiting.Reset(unfinished)
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
	s.to.put(Line{Session: s.of.Session, Name: s.of.Name, Stream: s.name, Text: string(s.line), Cut: s.cut}, s.over.Load)
	s.line, s.cut = s.line[:0], 0
}
