// Package shell has terminals in agents' containers, and the WebSockets to them. On
// AgentCore a shell is kept in the session's microVM; here its gateway keeps the connection
// to the kubelet, and the end of the output, for whoever comes back.
package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/tools/remotecommand"
)

const (
	// maxReplay is how much of its output a shell keeps for whoever comes back.
	maxReplay = 256 << 10
	// shellInput is how many frames a shell that reads nothing holds.
	shellInput = 4
)

var (
	errReplaced    = errors.New("another connection was opened to the shell")
	errNoShell     = errors.New("it did not say that it runs")
	errExited      = errors.New("the shell has exited with 0")
	errForgotten   = errors.New("nobody came back to the shell")
	errGatewayEnds = errors.New("the gateway ends")
)

// Shell is one in a session's container, and what it has written. It runs on while
// nobody is connected, for a while.
type Shell struct {
	forget func() // takes it out of those that can be come back to
	input  chan []byte
	sizes  chan remotecommand.TerminalSize
	begun  chan struct{} // closed when it runs, or has failed to
	done   chan struct{} // closed when it is to end, or has
	over   chan struct{} // closed when nothing of it is left here

	mu          sync.Mutex
	pid         int    // in its container; zero until it has told it
	firstLine   []byte // of its first line, which tells that
	kept        []byte // the end of its output
	written     int64  // of output, in all
	changed     chan struct{}
	attached    *attachment // of who is connected; nil: nobody
	wasAttached bool        // somebody was
	leftAt      time.Time
	expiry      *time.Timer // of the window; nil when it is forgotten
	ended       error       // why done is closed
}

// attachment is that of one connection: there is one at a time.
type attachment struct {
	at     int64 // what it has been given of the output
	cancel context.CancelCauseFunc
}

func newShell(forget func()) *Shell {
	s := &Shell{
		forget: forget, input: make(chan []byte, shellInput), sizes: make(chan remotecommand.TerminalSize, 1),
		begun: make(chan struct{}), done: make(chan struct{}), over: make(chan struct{}), changed: make(chan struct{}),
	}
	s.leftAt, s.expiry = time.Now(), time.AfterFunc(window, s.expire)
	return s
}

// left begins the time in which somebody may come back.
func (s *Shell) left() {
	if s.leftAt = time.Now(); s.expiry != nil {
		s.expiry.Reset(window)
	}
}

// expire ends it, if nobody has come back.
func (s *Shell) expire() {
	s.mu.Lock()
	over := s.attached == nil && time.Since(s.leftAt) >= window
	s.mu.Unlock()
	if over {
		s.finish(errForgotten)
		s.forget()
	}
}

// release ends that time: a timer would keep what it has written.
func (s *Shell) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiry.Stop()
	s.expiry = nil
}

// finish ends it, if it has not ended.
func (s *Shell) finish(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return
	}
	s.ended = why
	close(s.done)
	if s.pid == 0 {
		close(s.begun)
	}
	s.notify()
}

// notify wakes all who wait for a change.
func (s *Shell) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// attach connects somebody, in the place of whoever was. He is given what is kept.
func (s *Shell) attach(cancel context.CancelCauseFunc) (own *attachment, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached != nil {
		s.attached.cancel(errReplaced)
	}
	again, s.wasAttached = s.wasAttached, true
	s.attached = &attachment{s.written - int64(min(len(s.kept), maxReplay)), cancel}
	s.notify()
	return s.attached, again
}

// detach ends what attach began.
func (s *Shell) detach(own *attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached == own {
		s.attached = nil
		s.left()
		s.notify()
	}
}

// next waits for output that a connection was not given, of most bytes. When all is
// given it tells why the shell has ended.
func (s *Shell) next(ctx context.Context, own *attachment, most int) (output []byte, err error) {
	for {
		s.mu.Lock()
		if s.attached != own { // what it was not given may be kept no longer
			s.mu.Unlock()
			return nil, errReplaced
		}
		behind := int(s.written - own.at)
		if behind > 0 {
			from := s.kept[len(s.kept)-behind:]
			output = bytes.Clone(from[:min(most, behind)])
			own.at += int64(len(output))
			s.notify()
			s.mu.Unlock()
			return output, nil
		}
		ended, changed := s.ended, s.changed
		s.mu.Unlock()
		if ended != nil {
			return nil, ended
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Write takes output of the shell. While somebody is connected it waits until he has
// room, else the oldest is lost.
func (s *Shell) Write(b []byte) (int, error) {
	n := len(b)
	b = s.begin(b)
	for len(b) > 0 {
		s.mu.Lock()
		room := maxReplay
		if s.attached != nil {
			room -= int(s.written - s.attached.at)
		}
		part := b[:min(room, len(b))]
		s.keep(part)
		b = b[len(part):]
		changed := s.changed
		s.mu.Unlock()
		if len(part) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-s.done:
			return 0, io.ErrClosedPipe
		}
	}
	return n, nil
}

// keep keeps output: the last maxReplay bytes, and up to as many before them until these
// are dropped at once.
func (s *Shell) keep(part []byte) {
	if len(part) == 0 {
		return
	}
	s.written += int64(len(part))
	if len(s.kept)+len(part) > 2*maxReplay {
		s.kept = s.kept[:copy(s.kept, s.kept[len(s.kept)-maxReplay:])]
	}
	s.kept = append(s.kept, part...)
	s.notify()
}

// process is the shell's id in its container; zero if it has told none.
func (s *Shell) process() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// reason is why it has ended, or is to; nil if it is not.
func (s *Shell) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// abandoned tells whether nobody is connected.
func (s *Shell) abandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attached == nil
}

// maxFirstLine is how long the line with a process id may be.
const maxFirstLine = 16

// begin takes the script's first line off the output. What says anything else is no shell.
func (s *Shell) begin(b []byte) (rest []byte) {
	s.mu.Lock()
	if s.pid != 0 || s.ended != nil {
		s.mu.Unlock()
		return b
	}
	line, rest, whole := bytes.Cut(b, []byte("\n"))
	s.firstLine = append(s.firstLine, line[:min(len(line), maxFirstLine+1)]...)
	if !whole && len(s.firstLine) <= maxFirstLine {
		s.mu.Unlock()
		return nil
	}
	pid, err := strconv.Atoi(string(bytes.TrimRight(s.firstLine, "\r")))
	runs := err == nil && pid > 0 && len(s.firstLine) <= maxFirstLine
	if runs {
		s.pid = pid
		close(s.begun)
	}
	s.mu.Unlock()
	if !runs {
		s.finish(errNoShell)
		return nil
	}
	return rest
}

// typed is what a shell's callers type.
type typed struct {
	shell *Shell
	rest  []byte
}

// Read waits for some of it.
func (t *typed) Read(b []byte) (int, error) {
	for len(t.rest) == 0 {
		select {
		case t.rest = <-t.shell.input:
		case <-t.shell.done:
			return 0, io.EOF
		}
	}
	n := copy(b, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// Next is the next size of the terminal, nil when there is none any more.
func (s *Shell) Next() *remotecommand.TerminalSize {
	select {
	case size := <-s.sizes:
		return &size
	case <-s.done:
		return nil
	}
}

// resize has the terminal get a size. Only the last counts.
func (s *Shell) resize(size remotecommand.TerminalSize) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.sizes:
	default:
	}
	s.sizes <- size
}
