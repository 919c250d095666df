package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

var errTooLong = errors.New("the invocation took longer than it may")

// limit ends a call: what the agent does for it and, as there are callers who take
// nothing of their answer, what is written to its caller.
type limit struct {
	cancel context.CancelCauseFunc
	w      http.ResponseWriter
	began  time.Time
	timer  *time.Timer
	over   atomic.Bool
}

func withLimit(parent context.Context, w http.ResponseWriter, after time.Duration) (context.Context, *limit) {
	ctx, cancel := context.WithCancelCause(parent)
	l := &limit{cancel: cancel, w: w, began: time.Now(), timer: time.AfterFunc(after, func() { cancel(errTooLong) })}
	takenBy(w, l.began.Add(after))
	return ctx, l
}

// extend lets it take as long as that, since it began.
func (l *limit) extend(to time.Duration) {
	end := l.began.Add(to)
	l.timer.Reset(time.Until(end))
	takenBy(l.w, end)
	if l.over.Load() { // it was cut meanwhile
		takenBy(l.w, time.Now())
	}
}

// cut ends the call now.
func (l *limit) cut(why error) {
	l.cancel(why)
	l.over.Store(true)
	takenBy(l.w, time.Now())
}

// lastWords is how much longer a caller has to take what his call ended with.
const lastWords = 5 * time.Second

// takenBy has a call's connection cut if its caller has not taken the answer then.
// A caller may stop reading until then: a shorter bound would cut those who look at
// a stream through a pager.
func takenBy(w http.ResponseWriter, end time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(end.Add(lastWords)) // all that a server has can
}

func (l *limit) end() {
	l.timer.Stop()
	l.cancel(nil)
}

// whileThere is a context that ends when the caller hangs up too.
func whileThere(ctx, caller context.Context) (both context.Context, release func()) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(caller, func() { cancel(errHungUp) })
	return both, func() {
		stop()
		cancel(nil)
	}
}

// ended is what is answered if something else than the agent ended a call. while says
// what the call had come to.
func (c *call) ended(ctx context.Context, err error, while string) error {
	if err == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if stopped, ok := errors.AsType[*failure](cause); ok {
		return errors.Join(stopped, err)
	}
	if !errors.Is(cause, errTooLong) {
		return err
	}
	of := "the gateway's"
	if seconds := c.runtime.Spec.Limits.RequestTimeoutSeconds; time.Duration(seconds)*time.Second == c.limits.Request {
		of = "limits.requestTimeoutSeconds of the runtime"
	}
	return errors.Join(runtimeError(fmt.Sprintf("The invocation took longer than it may, %s (%s): %s.", c.limits.Request, of, while)), err)
}

// waitedFor says what a call without a session waited for.
func (g *Gateway) waitedFor(ctx context.Context, c *call) string {
	if c.session != "" {
		_, phase, err := g.readPhase(context.WithoutCancel(ctx), c, false)
		switch {
		case err != nil:
		case phase == lifecycle.PhaseStarting:
			return "the session was still starting"
		case phase == lifecycle.PhaseStopping:
			return "the session's last compute was still stopping"
		}
	}
	return "the session was not to be had"
}
