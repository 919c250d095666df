package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// AnyBusy is HealthyBusy while one of the handlers is. All of them are asked
// until one is busy; if none is and one fails, AnyBusy fails. A handler that is
// nil panics: it is a mistake in the program.
func AnyBusy(handlers ...PingHandler) PingHandler {
	for i, h := range handlers {
		if h == nil {
			panic(fmt.Sprintf("agentruntime.AnyBusy: handler %d of %d is nil, and must be a function", i+1, len(handlers)))
		}
	}
	return func(ctx context.Context) (Status, error) {
		var failed []error
		for _, h := range handlers {
			switch status, err := protect(ctx, h); {
			case err != nil:
				failed = append(failed, err)
			case !status.Valid():
				failed = append(failed, notAStatus(status))
			case status == HealthyBusy:
				return HealthyBusy, nil
			}
		}
		return Healthy, errors.Join(failed...)
	}
}

// BusyWhile is HealthyBusy while busy says so. A function that is nil panics: it
// is a mistake in the program.
func BusyWhile(busy func(ctx context.Context) (bool, error)) PingHandler {
	if busy == nil {
		panic("agentruntime.BusyWhile: busy is nil, and must be a function")
	}
	return func(ctx context.Context) (Status, error) {
		now, err := busy(ctx)
		if err != nil {
			return "", err
		}
		return busyIf(now), nil
	}
}

func busyIf(busy bool) Status {
	if busy {
		return HealthyBusy
	}
	return Healthy
}

// BusyAboveMemory is HealthyBusy while the memory in use is above a share of the
// container's limit, from 0 to 1: of the tightest memory limit of the process's
// cgroups (version 1 or 2), or of the machine's memory if there is none. What the
// kernel may drop at any time (inactive files) is not in use. It fails on systems
// other than Linux. A share out of range panics: it is a mistake in the program.
func BusyAboveMemory(share float64) PingHandler {
	checkShare("BusyAboveMemory", share)
	return machine{os.DirFS("/")}.busyAboveMemory(share)
}

func (m machine) busyAboveMemory(share float64) PingHandler {
	return func(context.Context) (Status, error) {
		used, err := m.memoryShare()
		if err != nil {
			return "", fmt.Errorf("measure memory: %w", err)
		}
		return busyIf(used > share), nil
	}
}

// cpuWindow is the shortest time over which the use of CPU is measured: more
// than one asker must not make it a matter of chance.
const cpuWindow = 500 * time.Millisecond

// BusyAboveCPU is HealthyBusy while the CPU time used since the last ping is
// above a share of what the container may use, from 0 to 1: of the tightest CPU
// limit of the process's cgroups (version 1 or 2), or of all CPUs if there is
// none. The first ping, with nothing to compare with, finds it Healthy. It fails
// on systems other than Linux. A share out of range panics: it is a mistake in
// the program.
func BusyAboveCPU(share float64) PingHandler {
	checkShare("BusyAboveCPU", share)
	return machine{os.DirFS("/")}.busyAboveCPU(share)
}

func (m machine) busyAboveCPU(share float64) PingHandler {
	var mu sync.Mutex
	var since time.Time
	var before time.Duration
	status := Healthy
	return func(context.Context) (Status, error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		elapsed := now.Sub(since)
		if elapsed < cpuWindow {
			return status, nil
		}
		used, limit, err := m.cpuTime()
		if err != nil {
			return "", fmt.Errorf("measure CPU: %w", err)
		}
		if !since.IsZero() {
			status = busyIf((used - before).Seconds() > share*limit*elapsed.Seconds())
		}
		since, before = now, used
		return status, nil
	}
}

func checkShare(function string, share float64) {
	if !(share > 0 && share <= 1) { // NaN too
		panic(fmt.Sprintf("agentruntime.%s: share is %g, and must be more than 0 and at most 1", function, share))
	}
}

// Sampled is h for checks that may take longer than a ping may wait, a request to
// a database for example. It runs h in the background, at most once in an
// interval and while it is asked, and answers with what h said last. Only a ping
// for which there is no such answer waits for h: the first, and one that comes
// after more than three intervals without any. It fails while the last answer is
// older than three intervals because h hangs; h has three intervals of time. An
// interval of 0 or less, or an h that is nil, panics: it is a mistake in the
// program.
func Sampled(interval time.Duration, h PingHandler) PingHandler {
	if interval <= 0 {
		panic(fmt.Sprintf("agentruntime.Sampled: interval is %s, and must be more than 0", interval))
	}
	if h == nil {
		panic("agentruntime.Sampled: h is nil, and must be a function")
	}
	s := &sample{interval: interval, handler: h}
	return s.ask
}

type sample struct {
	interval time.Duration
	handler  PingHandler

	mu       sync.Mutex
	running  chan struct{} // closed when the run in flight has answered; nil if there is none
	begun    time.Time
	answered time.Time
	status   Status
	err      error
}

func (s *sample) ask(ctx context.Context) (Status, error) {
	s.mu.Lock()
	if s.running == nil && time.Since(s.begun) >= s.interval {
		s.running, s.begun = make(chan struct{}), time.Now()
		go s.run(context.WithoutCancel(ctx))
	}
	running := s.running
	// A run that has just begun makes good for a time in which nobody asked.
	wait := s.old() && (s.answered.IsZero() || time.Since(s.begun) < s.interval)
	s.mu.Unlock()
	if wait {
		select {
		case <-running:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old() {
		return "", fmt.Errorf("the last answer is %s old", time.Since(s.answered).Round(time.Millisecond))
	}
	return s.status, s.err
}

// old answers are not given any more. While there is one, h runs: it is asked
// again after one interval.
func (s *sample) old() bool { return time.Since(s.answered) > 3*s.interval }

func (s *sample) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*s.interval)
	defer cancel()
	status, err := Status(""), errGoexit
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.running)
		s.running, s.answered, s.status, s.err = nil, time.Now(), status, err
	}()
	status, err = protect(ctx, s.handler)
}
