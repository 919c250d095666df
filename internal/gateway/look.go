package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// lookTimeout is for one look at a session.
	lookTimeout = 10 * time.Second
	// looksPerSecond is how many a gateway makes at most, and runtimeLooksPerSecond how
	// often it asks for all runtimes, after the first few times.
	looksPerSecond        = 500
	runtimeLooksPerSecond = 1
	runtimeLooksAtOnce    = 5
	// specsPerSecond is how many looks are taken at runtimes of which the cache shows what a
	// call is to be refused for, and describesPerSecond at sessions that somebody wants
	// described: he may have no right to any, so calls have looks of their own.
	specsPerSecond     = 50
	describesPerSecond = 50
	// countsPerSecond is how often all sessions of a runtime are counted at most, and
	// maxFull of how many runtimes it is remembered that they have all they may.
	countsPerSecond = 5
	maxFull         = 10000
)

// looks are those past the cache, which a gateway takes before it refuses a call: what
// the cache shows may be older than what another gateway has answered. All who want to
// look at one thing while a look at it waits for its turn share that one. So however many
// are refused, at most one look at each thing waits.
type looks[K comparable, V any] struct {
	read func(context.Context, K) (V, error)
	pace *rate.Limiter

	mu      sync.Mutex
	waiting map[K]*look[V]
}

func newLooks[K comparable, V any](pace *rate.Limiter, read func(context.Context, K) (V, error)) *looks[K, V] {
	return &looks[K, V]{read: read, pace: pace, waiting: map[K]*look[V]{}}
}

type look[V any] struct {
	done chan struct{}
	seen V
	err  error
}

// at returns a thing as it is at a moment that has not come yet. Others get the same.
func (l *looks[K, V]) at(ctx context.Context, key K) (seen V, err error) {
	l.mu.Lock()
	one := l.waiting[key]
	if one == nil {
		one = &look[V]{done: make(chan struct{})}
		l.waiting[key] = one
		go l.take(context.WithoutCancel(ctx), key, one)
	}
	l.mu.Unlock()
	select {
	case <-one.done:
		return one.seen, one.err
	case <-ctx.Done():
		return seen, context.Cause(ctx)
	}
}

func (l *looks[K, V]) take(ctx context.Context, key K, one *look[V]) {
	defer close(one.done)
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := l.pace.Wait(ctx)
	l.mu.Lock()
	delete(l.waiting, key) // whoever comes from now on needs a later one
	l.mu.Unlock()
	if err != nil {
		one.err = throttled("Too many calls are to be refused. Please retry.")
		return
	}
	one.seen, one.err = l.read(ctx, key)
}

// read reads a session, past the cache if it is to be live. One that is not there has
// no UID. It waits for no write: what this gateway wrote it knows.
func (g *Gateway) read(ctx context.Context, key client.ObjectKey, live bool) (session *v1alpha1.AgentSession, err error) {
	if live {
		session, err = g.looks.at(ctx, key)
		session = session.DeepCopy()
	} else {
		session, err = g.readKnown(ctx, key)
	}
	switch {
	case apierrors.IsNotFound(err):
		return &v1alpha1.AgentSession{}, nil
	case err != nil && !refuses(err):
		return nil, fmt.Errorf("get session %s: %w", key, err)
	}
	return session, err
}

// readKnown reads what the cache shows, or what this gateway knows and the cache does not
// show yet.
func (g *Gateway) readKnown(ctx context.Context, key client.ObjectKey) (*v1alpha1.AgentSession, error) {
	ahead := g.roster.ahead(key) // before the cache, which may catch up meanwhile
	session := &v1alpha1.AgentSession{}
	err := g.Client.Get(ctx, key, session)
	if ahead == nil || client.IgnoreNotFound(err) != nil {
		return session, err
	}
	if order, e := resourceversion.CompareResourceVersion(session.ResourceVersion, ahead.ResourceVersion); err == nil && e == nil && order > 0 {
		return session, nil
	}
	return ahead.DeepCopy(), nil
}

func (g *Gateway) readLive(ctx context.Context, key client.ObjectKey) (*v1alpha1.AgentSession, error) {
	was := g.roster.get(key)
	session := &v1alpha1.AgentSession{}
	if err := g.Live.Get(ctx, key, session); err != nil {
		if apierrors.IsNotFound(err) { // the watch may never say so, of what it never showed
			g.roster.deleteMissing(key, was)
		}
		return session, err
	}
	g.roster.updateLive(session.DeepCopy())
	return session, nil
}

// check has a rule hold for a runtime: as the cache shows it, or as it is, since it may have
// been changed a moment ago. Who calls was let in by what the cache shows, and is by
// nothing else.
func (g *Gateway) check(ctx context.Context, agent *v1alpha1.AgentRuntime, rule func(*v1alpha1.AgentRuntime) error) error {
	if rule(agent) == nil {
		return nil
	}
	now, err := g.current(ctx, agent)
	if err != nil {
		return err
	}
	return rule(now)
}

// current is a runtime as the API server has it; one that is gone, or whose name another has,
// is as it was.
func (g *Gateway) current(ctx context.Context, agent *v1alpha1.AgentRuntime) (*v1alpha1.AgentRuntime, error) {
	key := client.ObjectKeyFromObject(agent)
	switch now, err := g.specs.at(ctx, key); {
	case apierrors.IsNotFound(err), err == nil && now.UID != agent.UID:
		return agent, nil
	case err != nil && !refuses(err):
		return nil, fmt.Errorf("get AgentRuntime %s: %w", key, err)
	default:
		return now, err
	}
}

func (g *Gateway) readRuntime(ctx context.Context, key client.ObjectKey) (*v1alpha1.AgentRuntime, error) {
	agent := &v1alpha1.AgentRuntime{}
	err := g.Live.Get(ctx, key, agent)
	return agent, err
}

// allRuntimes are those of the cluster, past the cache. A call may name one by what only
// its status says, so all are asked for, which answers all who wait at once.
func (g *Gateway) allRuntimes(ctx context.Context, _ struct{}) ([]v1alpha1.AgentRuntime, error) {
	var list v1alpha1.AgentRuntimeList
	err := g.Live.List(ctx, &list)
	return list.Items, err
}
