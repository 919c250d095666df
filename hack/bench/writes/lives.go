package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/hack/bench/plane"
)

// playLives has sessions created, started, idle and stopped, and counts the
// writes and Events of each.
func (b *bench) playLives(ctx context.Context, r *result) (err error) {
	const namespace = "lives"
	stop, err := b.operate(ctx, namespace, lifeScale)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := b.createSessions(ctx, namespace, lives, 60); err != nil {
		return err
	}
	if err := b.await(ctx, namespace, lives, v1alpha1.StateStopped); err != nil {
		return err
	}
	if err := b.checkEnds(ctx, namespace); err != nil {
		return err
	}
	if err := b.awaitQuiet(ctx); err != nil { // the last Events are on their way
		return err
	}
	requests, err := b.Audit.Read(time.Time{})
	if err != nil {
		return err
	}
	writes, events := map[string][]plane.Request{}, map[string][]plane.Request{}
	for _, q := range requests {
		kind := writes
		if q.Resource == "events" {
			kind = events
		}
		kind[q.Session] = append(kind[q.Session], q)
	}
	r.Lives = lives
	if r.WritesPerLife, r.MaxWrites, err = b.perLife(writes, "writes", maxWrites); err != nil {
		return err
	}
	r.EventsPerLife, r.MaxEvents, err = b.perLife(events, "Events", maxEvents)
	return err
}

// checkEnds makes sure that the lives were what they are counted as.
func (b *bench) checkEnds(ctx context.Context, namespace string) error {
	var list v1alpha1.AgentSessionList
	if err := b.API.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list the sessions: %w", err)
	}
	for i := range list.Items {
		if last := list.Items[i].Status.LastTermination; last == nil || last.Reason != v1alpha1.StopIdleTimeout {
			return fmt.Errorf("session %s was to end by %s, and its last termination is %+v", list.Items[i].Name, v1alpha1.StopIdleTimeout, last)
		}
	}
	return nil
}

// perLife is the mean and the maximum. The worst life beyond the bound is told.
func (b *bench) perLife(of map[string][]plane.Request, what string, bound int) (mean float64, most int, err error) {
	if len(of) != lives {
		return 0, 0, fmt.Errorf("%d lives were played and the audit log knows %s of %d: %v", lives, what, len(of), slices.Sorted(maps.Keys(of)))
	}
	total, beyond, worst := 0, 0, ""
	for _, session := range slices.Sorted(maps.Keys(of)) {
		n := len(of[session])
		total += n
		if n > bound {
			beyond++
		}
		if n > most {
			most, worst = n, session
		}
	}
	if beyond > 0 {
		b.broken = append(b.broken, fmt.Sprintf("%d of %d lives took more than %d %s; %s took %d:%s", beyond, lives, bound, what, worst, most, plane.Tally(of[worst])))
	}
	return float64(total) / lives, most, nil
}
