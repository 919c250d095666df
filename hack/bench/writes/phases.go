package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
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
	if err := sleep(ctx, 2*time.Second); err != nil { // the last Events are on their way
		return err
	}
	requests, err := b.audit.read(time.Time{})
	if err != nil {
		return err
	}
	writes, events := map[string][]string{}, map[string][]string{}
	for _, q := range requests {
		kind := writes
		if q.resource == "events" {
			kind = events
		}
		kind[q.session] = append(kind[q.session], q.String())
	}
	r.Lives = lives
	r.WritesPerLife, r.MaxWrites, err = perLife(writes, "writes", maxWrites)
	if err != nil {
		return err
	}
	r.EventsPerLife, r.MaxEvents, err = perLife(events, "Events", maxEvents)
	return err
}

// perLife is the mean and the maximum, and an error beyond the bound.
func perLife(of map[string][]string, what string, bound int) (mean float64, most int, err error) {
	if len(of) != lives {
		return 0, 0, fmt.Errorf("%d lives were played and the audit log knows %s of %d: %v", lives, what, len(of), slices.Sorted(maps.Keys(of)))
	}
	total := 0
	for session, list := range of {
		total, most = total+len(list), max(most, len(list))
		if len(list) > bound {
			err = errors.Join(err, fmt.Errorf("session %s took %d %s, %d are allowed:\n  %s", session, len(list), what, bound, strings.Join(list, "\n  ")))
		}
	}
	return float64(total) / float64(len(of)), most, err
}

// watchSettled counts what is written for sessions in which nothing happens.
func (b *bench) watchSettled(ctx context.Context, r *result) (err error) {
	const namespace = "settled"
	stop, err := b.operate(ctx, namespace, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := b.createSessions(ctx, namespace, settled, 900); err != nil {
		return err
	}
	if err := b.await(ctx, namespace, settled, v1alpha1.StateIdle); err != nil {
		return err
	}
	if err := sleep(ctx, 15*time.Second); err != nil { // the last Events are on their way
		return err
	}
	from, before := time.Now(), b.pings(ctx, namespace)
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	minutes := time.Since(from).Minutes()
	r.SettledSession = settled
	r.PingsPerMinute = float64(b.pings(ctx, namespace)-before) / settled / minutes
	requests, err := b.audit.read(from)
	if err != nil {
		return err
	}
	r.IdleWrites = float64(len(requests)) / settled / minutes
	if len(requests) > 0 {
		return fmt.Errorf("%d requests for sessions in which nothing happened: %v", len(requests), requests)
	}
	if r.PingsPerMinute < 20 {
		return fmt.Errorf("the settled sessions were asked %.1f times a minute: that is no heartbeat", r.PingsPerMinute)
	}
	return nil
}

func (b *bench) createSessions(ctx context.Context, namespace string, n int, idle int32) error {
	for i := range n {
		session := &v1alpha1.AgentSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("session%d", i)},
			Spec: v1alpha1.AgentSessionSpec{
				Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}},
				LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: idle},
				Ping:                   v1alpha1.PingSpec{Port: b.node.Port()},
			},
		}
		if err := b.api.Create(ctx, session); err != nil {
			return fmt.Errorf("create session %d: %w", i, err)
		}
	}
	return nil
}

// await waits until all sessions are in a state.
func (b *bench) await(ctx context.Context, namespace string, n int, state v1alpha1.SessionState) error {
	for begun := time.Now(); ; {
		var list v1alpha1.AgentSessionList
		if err := b.api.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("list the sessions: %w", err)
		}
		there := 0
		for i := range list.Items {
			if list.Items[i].Status.State == state {
				there++
			}
		}
		if there == n {
			return nil
		}
		if time.Since(begun) > 5*time.Minute {
			return fmt.Errorf("after 5 minutes %d of %d sessions are %s", there, n, state)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// pings is how often the agents were asked so far.
func (b *bench) pings(ctx context.Context, namespace string) int {
	var list v1alpha1.AgentSessionList
	if err := b.api.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return 0 // the bound on pings tells
	}
	total := 0
	for i := range list.Items {
		if pod := list.Items[i].Status.Pod; pod != nil {
			if agent := b.node.Agent(pod.UID); agent != nil {
				total += agent.Pings()
			}
		}
	}
	return total
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
