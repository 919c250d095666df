package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Of calls whose callers have hung up, and whose agents work on. Callers who hang up
// would else leave more behind than connections that they keep open ever can.
const (
	// maxFinishing is how many there may be in a gateway, and maxFinishingEach of one
	// compute. Beyond that the agent's work ends with its caller.
	maxFinishing     = 1000
	maxFinishingEach = 16
)

var errHungUp = errors.New("the caller hung up before he had the answer")

// finishing counts them.
type finishing struct {
	mu   sync.Mutex
	all  int
	each map[compute]int
}

// acquire is false if there is no place for one more.
func (f *finishing) acquire(of compute) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all >= maxFinishing || f.each[of] >= maxFinishingEach {
		return false
	}
	if f.each == nil {
		f.each = map[compute]int{}
	}
	f.all++
	f.each[of]++
	return true
}

func (f *finishing) release(of compute) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all--
	if f.each[of]--; f.each[of] == 0 {
		delete(f.each, of)
	}
}

// hangup decides what becomes of the agent's work when its caller hangs up.
type hangup struct {
	places *finishing
	of     compute
	cancel context.CancelCauseFunc
	stop   func() bool

	mu       sync.Mutex
	finishes bool // the agent works on
	left     bool // the caller
	placed   bool
	over     bool // the call
}

// onHangup watches a caller until over.
func (g *Gateway) onHangup(caller context.Context, c *call, of compute, cancel context.CancelCauseFunc) *hangup {
	h := &hangup{places: &g.finishing, of: of, cancel: cancel}
	h.finishes = c.op == opInvoke && c.runtime.Spec.OnDisconnect != v1alpha1.OnDisconnectCancel
	h.stop = context.AfterFunc(caller, h.onCancel)
	return h
}

func (h *hangup) onCancel() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	h.left = true
	if h.finishes {
		h.placed = h.places.acquire(h.of)
		h.finishes = h.placed
	}
	if !h.finishes {
		h.cancel(errHungUp)
	}
}

// streams ends the work for a caller who has gone, or will: nobody else hears it.
func (h *hangup) streams() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.finishes = false; h.left {
		h.cancel(errHungUp)
	}
}

// end ends the watch. It tells whether the caller has hung up.
func (h *hangup) end() bool {
	h.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.placed && !h.over {
		h.places.release(h.of)
	}
	h.over = true
	return h.left
}

// drops tells whether what the caller does not take is let go.
func (h *hangup) drops() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.finishes
}

// detachableWriter writes an answer to a caller who may have gone: then the rest is read, so
// that the agent comes to its end, and dropped.
type detachableWriter struct {
	http.ResponseWriter
	hangup       *hangup
	disconnected bool
}

func (w *detachableWriter) Write(b []byte) (int, error) {
	if !w.disconnected {
		n, err := w.ResponseWriter.Write(b)
		if err == nil || !w.hangup.drops() {
			return n, err
		}
		w.disconnected = true
	}
	return len(b), nil
}

// Unwrap lets http.ResponseController flush.
func (w *detachableWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// heardAsItComes tells whether an answer is for somebody who listens: a stream, by its
// length or by what it says it is.
func heardAsItComes(answer *http.Response) bool {
	return streams(answer) || strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream")
}
