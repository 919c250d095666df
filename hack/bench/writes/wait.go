package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	sessionPrefix = "session" // and a number, without a dash: see audit

	patience = 5 * time.Minute
	// calm without a request is a session settled: longer than it takes to
	// judge an agent's answers (5 pings).
	calm        = 12 * time.Second
	settleLimit = time.Minute
)

func (b *bench) createSessions(ctx context.Context, namespace string, n int, idle int32) error {
	for i := range n {
		session := &v1alpha1.AgentSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: sessionPrefix + strconv.Itoa(i)},
			Spec: v1alpha1.AgentSessionSpec{
				Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}},
				LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: idle},
				Ping:                   v1alpha1.PingSpec{Port: b.Node.Port()},
			},
		}
		if err := b.API.Create(ctx, session); err != nil {
			return fmt.Errorf("create session %d: %w", i, err)
		}
	}
	return nil
}

// await waits until all sessions are in one of the states.
func (b *bench) await(ctx context.Context, namespace string, n int, states ...v1alpha1.SessionState) error {
	for begun := time.Now(); ; {
		var list v1alpha1.AgentSessionList
		if err := b.API.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("list the sessions: %w", err)
		}
		there := 0
		for i := range list.Items {
			if slices.Contains(states, list.Items[i].Status.State) {
				there++
			}
		}
		if there == n {
			return nil
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("after %s %d of %d sessions are %v", patience, there, n, states)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// awaitQuiet waits until the operator has written nothing for a while. One
// that never stops writing is not waited for: it will be counted.
func (b *bench) awaitQuiet(ctx context.Context) error {
	for begun := time.Now(); time.Since(begun) < settleLimit; {
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		requests, err := b.Audit.Read(time.Now().Add(-calm))
		if err != nil || len(requests) == 0 {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
