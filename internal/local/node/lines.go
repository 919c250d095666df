package node

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queued is how many lines wait for who reads slowly.
	queued = 1000
	// stallTimeout is how long an agent waits for who reads nothing.
	stallTimeout = time.Second
)

// lineQueue takes the lines of all processes. An agent waits while the queue is full and lines are
// taken, however slowly. Who takes none for a while gets no more of them until there is room
// again, and is told then how many those were: an agent must not wait for somebody who has
// stopped a terminal.
type lineQueue struct {
	queue   chan queuedLine
	print   func(Line)
	keep    bool          // agents wait for as long as they live
	printed atomic.Int64  // how many were taken
	full    atomic.Bool   // nobody waits for room
	ended   chan struct{} // closed when nothing that matters comes any more
	done    chan struct{}

	mu     sync.Mutex
	missed map[Line]int // lines of each session that were dropped
}

type queuedLine struct {
	Line
	missed int // of its session before
}

func newLines(say func(Line), keep bool) *lineQueue {
	l := &lineQueue{
		queue: make(chan queuedLine, queued), print: say, keep: keep,
		ended: make(chan struct{}), done: make(chan struct{}), missed: map[Line]int{},
	}
	go l.run()
	return l
}

func (l *lineQueue) run() {
	defer close(l.done)
	for {
		select {
		case line := <-l.queue:
			l.sayMissed(line.of(), line.missed)
			l.print(line.Line)
			l.printed.Add(1)
			if len(l.queue) == 0 {
				l.sayAllMissed()
			}
		case <-l.ended:
			if len(l.queue) == 0 {
				l.sayAllMissed()
				return
			}
		}
	}
}

func (l *lineQueue) sayMissed(of Line, n int) {
	text := "%d lines of %s were not shown: they were not read in time"
	switch n {
	case 0:
		return
	case 1:
		text = "%d line of %s was not shown: it was not read in time"
	}
	of.Stream, of.Text = Note, fmt.Sprintf(text, n, of.Name)
	l.print(of)
}

func (l *lineQueue) sayAllMissed() {
	l.mu.Lock()
	missed := l.missed
	l.missed = map[Line]int{}
	l.mu.Unlock()
	for of, n := range missed {
		l.sayMissed(of, n)
	}
}

// of is its session, and nothing else.
func (l Line) of() Line { return Line{Session: l.Session, Name: l.Name} }

// put queues a line. over tells whether its process has ended, which must not wait.
func (l *lineQueue) put(line Line, over func() bool) {
	l.mu.Lock()
	of := line.of()
	missed := l.missed[of]
	delete(l.missed, of)
	l.mu.Unlock()
	if l.offer(queuedLine{line, missed}, over) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed[of] += missed + 1
}

// offer queues a line, or tells that nobody takes any.
func (l *lineQueue) offer(line queuedLine, over func() bool) bool {
	select {
	case l.queue <- line:
		l.full.Store(false)
		return true
	default:
	}
	if l.full.Load() {
		return false
	}
	timer := time.NewTimer(stallTimeout)
	defer timer.Stop()
	for before := l.printed.Load(); ; {
		select {
		case l.queue <- line:
			return true
		case <-timer.C:
		}
		now := l.printed.Load()
		if now == before && (!l.keep || over()) {
			l.full.Store(true)
			return false
		}
		before = now
		timer.Reset(stallTimeout)
	}
}

// end waits for what is queued, as long as some of it is taken.
func (l *lineQueue) end() {
	close(l.ended)
	for before := l.printed.Load(); ; {
		select {
		case <-l.done:
			return
		case <-time.After(stallTimeout):
		}
		now := l.printed.Load()
		if now == before {
			return
		}
		before = now
	}
}
