package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"time"
)

// PingHandler is an agent's own idea of its ping status: HealthyBusy keeps the
// session beyond its idle timeout, Healthy does not. It is asked at each ping,
// every 2 seconds, and has 80 milliseconds; what may take longer belongs into
// Sampled.
type PingHandler func(ctx context.Context) (Status, error)

// pingHandlerBudget leaves an answer to a ping 20 of 100 ms.
const pingHandlerBudget = 80 * time.Millisecond

// PingHandler makes h decide about the ping status from now on, unless one is
// forced; nil leaves it to the automatic status again. A handler that fails is
// one that returns an error or a status that the contract does not know,
// panics, does not return in time, or calls GetCurrentPingStatus. Pings then
// answer the automatic status until it works again. The log has one line when
// it begins to fail, one for each new way in which it does, and one when it
// works again.
//
// The handler's status takes the place of the automatic one. To have both:
//
//	app.PingHandler(agentruntime.AnyBusy(app.AutomaticPingStatus, agentruntime.BusyAboveMemory(0.85)))
func (a *App) PingHandler(h PingHandler) {
	a.custom.mu.Lock()
	defer a.custom.mu.Unlock()
	a.custom.handler, a.custom.call, a.custom.fault = h, nil, ""
	if h == nil { // else the old handler's answer holds until the new one is asked
		a.board.setCustom("")
	}
}

// AutomaticPingStatus is HealthyBusy while there are tasks, and Healthy
// otherwise, whatever is forced or a PingHandler says. It never fails, and is a
// PingHandler itself, to be composed with others.
func (a *App) AutomaticPingStatus(context.Context) (Status, error) {
	return a.board.automaticStatus(), nil
}

// custom is the PingHandler and what is known of it.
type custom struct {
	mu      sync.Mutex
	handler PingHandler
	call    *pingCall // in flight; one at most, so that a handler that blocks costs one goroutine
	fault   string    // the way in which the last call failed
}

// pingCall is one call of the handler.
type pingCall struct {
	deadline time.Time
	settled  chan struct{} // closed when it is known what pings answer
	recursed bool
}

// The ways in which a handler fails.
var (
	errPingTimeout   = fmt.Errorf("no answer within %s", pingHandlerBudget)
	errPingRecursion = errors.New("it calls GetCurrentPingStatus, which asks it")
	errPingStatus    = errors.New("not a status of the contract")
	errGoexit        = errors.New("it ended its goroutine (runtime.Goexit)")
)

func notAStatus(s Status) error { return fmt.Errorf("%w: %.64q", errPingStatus, string(s)) }

// askPingHandler brings the board up to date with what the handler says. It
// returns in time, whatever the handler does.
func (a *App) askPingHandler(ctx context.Context) {
	call := a.pingCall(ctx)
	if call == nil {
		return
	}
	timer := time.NewTimer(time.Until(call.deadline))
	defer timer.Stop()
	select {
	case <-call.settled:
	case <-timer.C:
		a.custom.mu.Lock()
		defer a.custom.mu.Unlock()
		a.settle(call, "", errPingTimeout)
	}
}

// pingCall is the call in flight, or a new one; nil if there is nothing to wait
// for.
func (a *App) pingCall(ctx context.Context) *pingCall {
	a.custom.mu.Lock()
	defer a.custom.mu.Unlock()
	if a.custom.handler == nil {
		return nil
	}
	if call := a.custom.call; call != nil {
		if insidePingHandler() {
			call.recursed = true
			return nil
		}
		return call
	}
	call := &pingCall{deadline: time.Now().Add(pingHandlerBudget), settled: make(chan struct{})}
	a.custom.call = call
	go a.callPingHandler(context.WithoutCancel(ctx), a.custom.handler, call)
	return call
}

// callPingHandler is also the mark on the stack by which insidePingHandler
// knows a handler that asks for its own answer.
//
//go:noinline
func (a *App) callPingHandler(ctx context.Context, h PingHandler, call *pingCall) {
	var status Status
	err := errGoexit
	defer func() {
		a.custom.mu.Lock() // once for both: no later ping shall join a call that has ended
		defer a.custom.mu.Unlock()
		a.settle(call, status, err)
		if a.custom.call == call {
			a.custom.call = nil
		}
	}()
	ctx, cancel := context.WithDeadlineCause(ctx, call.deadline, errPingTimeout)
	defer cancel()
	status, err = protect(ctx, h)
	switch {
	case err != nil && ctx.Err() != nil:
		err = errPingTimeout // whatever it made of that
	case err == nil && !status.Valid():
		err = notAStatus(status)
	}
}

func protect(ctx context.Context, h PingHandler) (_ Status, err error) {
	defer recoverAs(&err)
	return h(ctx)
}

// settle takes over how a call ended, the first time that it is told. The caller
// holds the lock.
func (a *App) settle(call *pingCall, status Status, err error) {
	select {
	case <-call.settled:
		return // too late
	default:
	}
	defer close(call.settled) // last: who waits reads the board next
	if a.custom.call != call {
		return // of a handler that was replaced
	}
	if call.recursed {
		err = errPingRecursion
	}
	if err != nil {
		status = ""
	}
	a.board.setCustom(status)
	a.notePingFault(err)
}

// notePingFault logs changes only: a handler may fail at every ping.
func (a *App) notePingFault(err error) {
	was := a.custom.fault
	switch a.custom.fault = pingFault(err); {
	case a.custom.fault == was:
	case err == nil:
		a.log.Info("Custom ping handler works again")
	default:
		a.log.Warn("Custom ping handler failed, falling back to automatic", errorAttrs(err)...)
	}
}

// pingFault sorts errors, whose texts may differ each time.
func pingFault(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errPingTimeout):
		return "timeout"
	case errors.Is(err, errPingRecursion):
		return "recursion"
	case errors.Is(err, errPingStatus):
		return "status"
	case errors.As(err, new(*PanicError)):
		return "panic"
	}
	return "error"
}

// insidePingHandler tells whether this goroutine runs a PingHandler.
func insidePingHandler() bool {
	mark := runtime.FuncForPC(reflect.ValueOf((*App).callPingHandler).Pointer()).Name()
	for skip, pcs := 1, make([]uintptr, 64); ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		if n == 0 {
			return false
		}
		frames := runtime.CallersFrames(pcs[:n])
		for more := true; more; {
			var frame runtime.Frame
			if frame, more = frames.Next(); frame.Function == mark {
				return true
			}
		}
	}
}
