package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/hack/bench/plane"
)

const settledNamespace = "settled"

// leastPings is what tells a heartbeat of 30 a minute from a dead one, on a
// machine that has other things to do.
const leastPings = 20

// watchSettled counts what is written for sessions in which nothing happens.
func (b *bench) watchSettled(ctx context.Context, r *result) (err error) {
	const namespace = settledNamespace
	stop, err := b.operate(ctx, namespace, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := b.createSessions(ctx, namespace, settled, 900); err != nil {
		return err
	}
	if err := b.await(ctx, namespace, settled, v1alpha1.StateIdle, v1alpha1.StateActive); err != nil {
		return err
	}
	if err := b.awaitQuiet(ctx); err != nil {
		return err
	}

	from := time.Now()
	before, err := b.pings(ctx, namespace)
	if err != nil {
		return err
	}
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	minutes := time.Since(from).Minutes()
	after, err := b.pings(ctx, namespace)
	if err != nil {
		return err
	}
	requests, err := b.Audit.Read(from)
	if err != nil {
		return err
	}
	if err := b.proveLog(ctx, from, len(requests)); err != nil {
		return err
	}
	b.judgeSettled(r, requests, minutes, before, after)
	return nil
}

func (b *bench) judgeSettled(r *result, requests []plane.Request, minutes float64, before, after map[types.UID]int) {
	total := 0
	r.FewestPings = math.MaxInt
	for uid, n := range after {
		total += n - before[uid]
		r.FewestPings = min(r.FewestPings, n-before[uid])
	}
	r.SettledSessions = len(after)
	r.PingsPerMinute = math.Round(float64(total)/settled/minutes*100) / 100
	r.IdleWrites = float64(len(requests)) / settled / minutes
	if len(requests) > 0 {
		b.broken = append(b.broken, fmt.Sprintf("%d requests for %d sessions in which nothing happened:%s", len(requests), settled, plane.Tally(requests)))
	}
	if len(after) != settled || r.FewestPings < leastPings {
		b.broken = append(b.broken, fmt.Sprintf("%d of %d settled sessions have an agent, and one was asked %d times in %s: that is no heartbeat",
			len(after), settled, r.FewestPings, quiet))
	}
}

// proveLog makes a write as the operator and finds it in the log: an empty log
// counts only if it is one that would not have been empty.
func (b *bench) proveLog(ctx context.Context, from time.Time, known int) error {
	proof, err := client.New(b.Operator, client.Options{Scheme: b.API.Scheme()})
	if err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "nobody"}}
	if err := client.IgnoreNotFound(proof.Delete(ctx, pod)); err != nil {
		return fmt.Errorf("write as the operator: %w", err)
	}
	requests, err := b.Audit.Read(from)
	if err == nil && len(requests) <= known {
		err = errors.New("the audit log does not hold a request that the operator's user made: its silence proves nothing")
	}
	return err
}

// pings is how often each agent was asked so far.
func (b *bench) pings(ctx context.Context, namespace string) (map[types.UID]int, error) {
	var list v1alpha1.AgentSessionList
	if err := b.API.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	counts := map[types.UID]int{}
	for i := range list.Items {
		if pod := list.Items[i].Status.Pod; pod != nil {
			if agent := b.Node.Agent(pod.UID); agent != nil {
				counts[pod.UID] = agent.Pings()
			}
		}
	}
	return counts, nil
}
