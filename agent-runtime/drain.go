package agentruntime

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

var (
	// ErrStopping is the cause (context.Cause) with which the contexts of
	// invocations and tasks are cancelled near the end of the grace period.
	ErrStopping = errors.New("the agent is stopping")
	// ErrUnfinished says that the grace period was over before all work was.
	ErrUnfinished = errors.New("stopped with work unfinished")
)

// Drain ends the agent's work within the grace period, here G. Run does it by
// itself; it is for those who bring their own server.
//
//	0         new invocations are refused with 503; what runs goes on
//	4/5 G     the contexts of invocations and tasks are cancelled: 12 of 15 s
//	14/15 G   Drain returns ErrUnfinished: 14 of 15 s
//
// It returns as soon as nothing runs. A task of AddAsyncTask that nobody
// completes therefore costs the whole time. /ping answers as ever.
func (a *App) Drain() error {
	began := time.Now()
	running := a.board.drain()
	a.log.Info("Agent stopping", "running", running, "gracePeriod", seconds(a.options.GracePeriod))
	if a.board.waitQuiet(a.options.GracePeriod * 4 / 5) {
		return nil
	}
	a.log.Warn("Grace period nearly over, cancelling what still runs", "running", a.board.cutOff())
	if a.board.waitQuiet(a.options.GracePeriod*14/15 - time.Since(began)) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnfinished, strings.Join(a.board.running(), ", "))
}

func (b *board) drain() []string {
	b.mu.Lock()
	b.draining = true
	b.settle()
	b.mu.Unlock()
	return b.running()
}

// cutOff cancels the context of all that runs.
func (b *board) cutOff() []string {
	b.mu.Lock()
	b.cut = true
	for j := range b.jobs {
		if j.cancel != nil {
			j.cancel(ErrStopping)
		}
	}
	b.mu.Unlock()
	return b.running()
}

func (b *board) waitQuiet(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-b.quiet:
		return true
	case <-timer.C:
		return false
	}
}

// running names what runs, in the order of the alphabet.
func (b *board) running() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := make([]string, 0, len(b.jobs))
	for j := range b.jobs {
		names = append(names, j.what)
	}
	slices.Sort(names)
	return names
}
