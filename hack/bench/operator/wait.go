//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentsession/agentsession/hack/bench/plane"
)

// parallel calls do for each of n, a few at a time.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) (took time.Duration, err error) {
	begun := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range workers {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(ctx, int(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return time.Since(begun), err
}

func rate(n int, took time.Duration) float64 { return round(float64(n) / took.Seconds()) }

// await waits until count returns want.
func await(ctx context.Context, what string, want int, count func() int) error {
	logged := time.Now()
	for begun := logged; ; {
		n := count()
		if n >= want {
			return nil
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("%d of %d %s after %s", n, want, what, patience)
		}
		if time.Since(logged) > 10*time.Second {
			say("  %d of %d %s", n, want, what)
			logged = time.Now()
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// settle waits until the operator has written nothing for a while.
func (b *bench) settle(ctx context.Context) error {
	for begun := time.Now(); ; {
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
		writes, events, err := b.written(time.Now().Add(-calm), "")
		if err != nil || writes+events == 0 && time.Since(begun) > calm {
			return err
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("the operator still writes after %s", patience)
		}
	}
}

// written is how often the operator wrote since a moment, for sessions of a kind
// or for all.
func (b *bench) written(since time.Time, kind string) (writes, events int, err error) {
	requests, err := b.Audit.Read(since)
	for _, q := range requests {
		switch {
		case kind != "" && q.Session != kind:
		case q.Resource == "events":
			events++
		default:
			writes++
		}
	}
	return writes, events, err
}

// countRefused counts what was refused since a moment, when all is written.
func (b *bench) countRefused(ctx context.Context, since time.Time) error {
	if err := b.settle(ctx); err != nil {
		return err
	}
	requests, err := b.Audit.Read(since)
	refused := slices.DeleteFunc(requests, func(q plane.Request) bool { return q.Code < http.StatusBadRequest })
	b.r.Refused = len(refused)
	say("%d writes were refused%s", b.r.Refused, plane.Tally(refused))
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
