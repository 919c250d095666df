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
// until one is busy; if none is and one fails, AnyBusy fails.
func AnyBusy(handlers ...PingHandler) PingHandler {
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

// BusyWhile is HealthyBusy while busy says so.
func BusyWhile(busy func(ctx context.Context) (bool, error)) PingHandler {
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
// interval and while it is asked, and answers with what h said last. Only the
// first ping waits for h. It fails while the last answer is older than three
// intervals, for which h has time. An interval of 0 or less panics: it is a
// mistake in the program.
func Sampled(interval time.Duration, h PingHandler) PingHandler {
	if interval <= 0 {
		panic(fmt.Sprintf("agentruntime.Sampled: interval is %s, and must be more than 0", interval))
	}
	s := &sample{interval: interval, handler: h, first: make(chan struct{})}
	return s.ask
}

type sample struct {
	interval time.Duration
	handler  PingHandler
	first    chan struct{} // closed by the first answer

	mu       sync.Mutex
	running  bool
	begun    time.Time
	answered time.Time
	status   Status
	err      error
}

func (s *sample) ask(ctx context.Context) (Status, error) {
	s.mu.Lock()
	if !s.running && time.Since(s.begun) >= s.interval {
		s.running, s.begun = true, time.Now()
		go s.run(context.WithoutCancel(ctx))
	}
	s.mu.Unlock()
	select {
	case <-s.first:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := time.Since(s.answered); s.running && age > 3*s.interval {
		return "", fmt.Errorf("the last answer is %s old", age.Round(time.Second))
	}
	return s.status, s.err
}

func (s *sample) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*s.interval)
	defer cancel()
	status, err := Status(""), errGoexit
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.answered.IsZero() {
			close(s.first)
		}
		s.running, s.answered, s.status, s.err = false, time.Now(), status, err
	}()
	status, err = protect(ctx, s.handler)
}
