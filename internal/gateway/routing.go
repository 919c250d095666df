package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// headerRouting asks with the value "any" for any session of the runtime that is
// free, in the place of the one that the request names. It is not AgentCore's.
const headerRouting = "X-Agentsession-Routing"

// labelShared is on the sessions that calls with headerRouting have made. Such
// calls get no other: what a session remembers belongs to whoever knows its id.
const labelShared = "runtime.agentsession.dev/shared"

// Of calls that wait for a free session.
const (
	// DefaultQueueLength is how many may wait for one endpoint.
	DefaultQueueLength = 100
	// DefaultQueueTimeout is how long each waits.
	DefaultQueueTimeout = 30 * time.Second
)

// routes tells whether a request asks for any free session.
func routes(r *http.Request, op operation) (bool, error) {
	switch asked := r.Header.Values(headerRouting); {
	case len(asked) == 0:
		return false, nil
	case op != opInvoke, len(asked) > 1, asked[0] != "any":
		return false, invalid(headerRouting, "Value at '"+headerRouting+"' failed to satisfy constraint: Member must be any, once, and on an invocation")
	}
	return true, nil
}

// waitQueues are those of calls that wait for their turn: one for each endpoint of each
// runtime while somebody waits.
type waitQueues struct {
	mu         sync.Mutex
	byEndpoint map[endpoint]*waitQueue
}

type endpoint struct {
	runtime   types.UID
	qualifier string
}

// waitQueue lets one call at a time go on, in the order in which they came.
type waitQueue struct {
	length int
	turn   chan struct{}
}

var errThrottled = throttled("No session is free, the runtime has as many as it may, and the call has waited for as long as it may, or as many as may wait do")

// wait returns when it is the call's turn. done must be called then.
func (l *waitQueues) wait(ctx context.Context, at endpoint, longest int) (done func(), err error) {
	l.mu.Lock()
	if l.byEndpoint == nil {
		l.byEndpoint = map[endpoint]*waitQueue{}
	}
	in := l.byEndpoint[at]
	if in == nil {
		in = &waitQueue{turn: make(chan struct{}, 1)}
		l.byEndpoint[at] = in
	}
	if in.length > longest { // one of them has its turn
		l.mu.Unlock()
		return nil, errThrottled
	}
	in.length++
	l.mu.Unlock()
	release := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if in.length--; in.length == 0 {
			delete(l.byEndpoint, at)
		}
	}
	select {
	case in.turn <- struct{}{}: // channels serve those who wait in their order
		return func() { <-in.turn; release() }, nil
	case <-ctx.Done():
		release()
		return nil, context.Cause(ctx)
	}
}

// errTaken means that another call was first at a session that this one may not
// share.
var errTaken = errors.New("another call has the session")

// acquireAny is acquire for a call that asks for any free session: one that is
// there, else one that it starts, else it waits in line.
func (g *Gateway) acquireAny(ctx context.Context, c *call) (session *v1alpha1.AgentSession, release func(), err error) {
	for {
		session, release, err = g.takeOrBegin(ctx, c)
		if err == nil && release == nil {
			session, release, err = g.acquire(ctx, c, true)
		}
		switch {
		case err == nil:
			key, end := c.key(), release
			return session, func() {
				g.roster.release(key, g.Clock.Now())
				end()
			}, nil
		case !errors.Is(err, errTaken):
			return nil, nil, err
		}
	}
}

// takeOrBegin waits until it has a free session, or has begun to start one: then
// there is no release.
func (g *Gateway) takeOrBegin(ctx context.Context, c *call) (session *v1alpha1.AgentSession, release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.QueueTimeout, errThrottled)
	defer cancel()
	queued.Inc()
	defer queued.Dec()
	done, err := g.queues.wait(ctx, c.endpoint(), g.QueueLength)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	c.began = time.Time{}
	for {
		changed := g.changes.next(client.ObjectKeyFromObject(c.runtime))
		free, soon := g.free(c)
		lost := false
		switch {
		case free != nil:
			c.session = free.Spec.RuntimeSessionID
			if release, err = g.use(ctx, free, true); err == nil {
				return free, release, nil
			}
			lost = apierrors.IsConflict(err) || apierrors.IsNotFound(err)
		case soon:
		default:
			stopped := g.idle(c)
			c.session = stopped.Spec.RuntimeSessionID
			begun := false
			if begun, err = g.begin(ctx, c, stopped); begun {
				return nil, nil, nil
			}
			lost = err == nil
		}
		if err != nil && !transient(err) {
			return nil, nil, err
		}
		if err := g.pause(ctx, c, changed, lost); err != nil {
			return nil, nil, err
		}
	}
}

// pause waits for a moment: a lease that lapses is no change that could be seen. A session
// that was lost to somebody else is looked at if the cache has not shown that.
func (g *Gateway) pause(ctx context.Context, c *call, changed <-chan struct{}, lost bool) error {
	err := waitFor(ctx, changed, conflictRetry)
	if !errors.Is(err, errUnchanged) {
		return err
	}
	if lost {
		_, _ = g.looks.at(ctx, c.key()) // the roster is told, or it is tried again
	}
	return nil
}

// transient tells of an error that other calls are the reason for.
func transient(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.Type == quotaExceeded || errors.Is(err, errTaken) || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

// free finds, among the sessions that such calls have made, the free one that was used
// last, so that those that are not needed idle out. soon tells that one will be free.
func (g *Gateway) free(c *call) (session *v1alpha1.AgentSession, soon bool) {
	session, soon = g.roster.free(c.endpoint(), g.Clock.Now(), func(session *v1alpha1.AgentSession) bool {
		return !g.traffic.busy(computeOf(session))
	})
	return session.DeepCopy(), soon
}

// idle is a session to be started: one of those that is stopped, else a new one.
func (g *Gateway) idle(c *call) *v1alpha1.AgentSession {
	if stopped := g.roster.stopped(c.endpoint()); stopped != nil {
		return stopped.DeepCopy()
	}
	return &v1alpha1.AgentSession{Spec: v1alpha1.AgentSessionSpec{RuntimeSessionID: string(uuid.NewUUID())}}
}
