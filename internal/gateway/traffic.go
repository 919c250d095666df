package gateway

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// writeTimeout is for one write of traffic.
	writeTimeout = 10 * time.Second
	// retryAfter is when a write that failed is tried again.
	retryAfter = time.Second
	// flushAtOnce is how many writes a gateway makes at once when it ends.
	flushAtOnce = 50
)

// traffic is what this gateway knows of the sessions that it uses.
type traffic struct {
	write func(compute, lifecycle.Use) (observedStatus, time.Time, error)
	now   func() time.Time

	mu   sync.Mutex
	uses map[compute]*use
}

// compute is one of a session.
type compute struct {
	session types.NamespacedName
	pod     types.UID
}

func computeOf(session *v1alpha1.AgentSession) compute {
	return compute{client.ObjectKeyFromObject(session), session.Status.Pod.UID}
}

// observedStatus is what a session's status says at a version of it.
type observedStatus struct {
	lifecycle.Seen
	version string
}

func observedStatusOf(session *v1alpha1.AgentSession) observedStatus {
	return observedStatus{lifecycle.SeenOf(session), session.ResourceVersion}
}

// use is what is known of one compute.
type use struct {
	lifecycle.Use
	observed observedStatus
	timer    *time.Timer
	writing  chan struct{} // closed when the write on its way is over; nil: there is none
}

// learn takes up what a status says, unless what is known is later.
func (u *use) learn(seen observedStatus) {
	if order, err := resourceversion.CompareResourceVersion(seen.version, u.observed.version); err != nil || order > 0 {
		u.observed = seen
	}
}

// wrote takes up what was written. The lease that stands may be another's by now: that
// of a claim, which is the gateway's own too, or of another gateway.
func (u *use) wrote(now time.Time, seen observedStatus, held time.Time) {
	u.learn(seen)
	if u.Use = u.Pay(now, seen.Seen); !u.Held.Equal(u.observed.Traffic.InUseUntil) {
		u.Held = held
	}
}

// use notes that an invocation of a session begins. Near its idle stop, or to have
// it alone, it writes so first; a conflict means that somebody else was first.
func (g *Gateway) use(ctx context.Context, session *v1alpha1.AgentSession, alone bool) (release func(), err error) {
	of, seen, now := computeOf(session), observedStatusOf(session), g.Clock.Now()
	if alone && (seen.InUse(now) || g.traffic.busy(of)) {
		return nil, errTaken
	}
	if !alone && !seen.MustClaim(now) {
		return g.traffic.begin(of, seen, now, alone), nil
	}
	claim := lifecycle.Use{InFlight: 1, BeganAt: now}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	written, held, err := g.patchTraffic(ctx, session, claim)
	if err != nil {
		return nil, err
	}
	end := g.traffic.begin(of, written, now, alone)
	g.traffic.wrote(of, written, held)
	return end, nil
}

// begin counts an invocation in, until the function that it returns is called.
func (t *traffic) begin(of compute, seen observedStatus, now time.Time, alone bool) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uses == nil {
		t.uses = map[compute]*use{}
	}
	u := t.uses[of]
	if u == nil {
		u = &use{}
		t.uses[of] = u
	}
	u.learn(seen)
	if u.Use = u.Begin(now, u.observed.Seen); u.InFlight == 1 {
		u.Alone = alone
	}
	t.plan(of, u)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		u.Use = u.End(t.now().Truncate(time.Microsecond)) // what the API holds
		t.plan(of, u)
	}
}

// noteAnswer notes that the agent of a compute has answered an invocation.
func (t *traffic) noteAnswer(of compute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.uses[of]; u != nil {
		u.HeardAt = t.now()
	}
}

// busy tells whether an invocation of a compute is in flight here.
func (t *traffic) busy(of compute) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.uses[of]
	return u != nil && u.InFlight > 0
}

// update takes up what a session's status says now.
func (t *traffic) update(session *v1alpha1.AgentSession) {
	if session.Status.Pod == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.uses[computeOf(session)]; u != nil {
		u.learn(observedStatusOf(session))
		t.plan(computeOf(session), u)
	}
}

// wrote takes up what a call wrote.
func (t *traffic) wrote(of compute, seen observedStatus, held time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.uses[of]; u != nil {
		u.wrote(t.now(), seen, held)
		t.plan(of, u)
	}
}

// plan sets the moment of the next write. What has nothing to tell is forgotten when
// its writes are paid for.
func (t *traffic) plan(of compute, u *use) {
	if u.timer != nil {
		u.timer.Stop()
	}
	if u.writing != nil || t.uses[of] != u {
		return // it plans anew when it is done; or the compute is gone
	}
	now := t.now()
	if u.BeganAt.After(now) {
		u.BeganAt = now // the clock was set
	}
	at := u.WriteAt(u.observed.Seen)
	switch unpaid := u.PaidAt.Sub(now); {
	case !at.IsZero():
		u.timer = time.AfterFunc(at.Sub(now), func() { t.flushOne(of, u) })
	case unpaid > 0:
		u.timer = time.AfterFunc(unpaid, func() { t.forget(of, u) })
	default:
		delete(t.uses, of)
	}
}

// forget is a plan whose moment has come.
func (t *traffic) forget(of compute, u *use) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plan(of, u)
}

// flushOne writes what is known of a compute, unless a write of it is on its way.
func (t *traffic) flushOne(of compute, u *use) (written bool) {
	t.mu.Lock()
	if u.writing != nil || t.uses[of] != u {
		t.mu.Unlock()
		return false
	}
	u.writing = make(chan struct{})
	now := u.Use
	t.mu.Unlock()

	seen, held, err := t.write(of, now)

	t.mu.Lock()
	defer t.mu.Unlock()
	close(u.writing)
	u.writing = nil
	switch {
	case apierrors.IsNotFound(err):
		delete(t.uses, of) // the compute is gone
	case err != nil:
		u.timer = time.AfterFunc(retryAfter, func() { t.flushOne(of, u) })
	default:
		u.wrote(t.now(), seen, held)
		t.plan(of, u)
	}
	return err == nil
}

// writeTraffic writes what is known of a compute onto the newest version of its
// session, and tells what stands there then, and the lease that is held. It is an
// error "not found" if the compute is going or gone.
func (g *Gateway) writeTraffic(of compute, u lifecycle.Use) (seen observedStatus, held time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	// A cache that lags is no reason to wait: what it holds is good enough or refused.
	for read := g.readKnown; ; read = g.readLive {
		session, err := read(ctx, of.session)
		if err != nil {
			return seen, held, err
		}
		if pod := session.Status.Pod; pod == nil || pod.UID != of.pod || session.Status.State == v1alpha1.StateStopping {
			return seen, held, apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("agentsessions").GroupResource(), of.session.Name)
		}
		seen, held, err = g.patchTraffic(ctx, session, u)
		if err != nil {
			g.Log.Info("Could not write what is in flight", "session", of.session, "error", err.Error())
		}
		if !apierrors.IsConflict(err) {
			return seen, held, err
		}
	}
}

// patchTraffic writes onto exactly this version of a session.
func (g *Gateway) patchTraffic(ctx context.Context, session *v1alpha1.AgentSession, u lifecycle.Use) (seen observedStatus, held time.Time, err error) {
	next, held := u.Record(g.Clock.Now(), lifecycle.SeenOf(session))
	base := session.DeepCopy()
	session.Status.Traffic = &v1alpha1.Traffic{LastInvocationAt: microTime(next.EndedAt), InUseUntil: microTime(next.InUseUntil)}
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := g.Client.Status().Patch(ctx, session, patch); err != nil {
		return seen, time.Time{}, fmt.Errorf("write the traffic of session %s: %w", client.ObjectKeyFromObject(session), err)
	}
	trafficWritesTotal.Inc()
	g.roster.updateLive(session)
	return observedStatusOf(session), held, nil
}

func microTime(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return &metav1.MicroTime{Time: t.Truncate(time.Microsecond)}
}

// flush writes what is left to tell, of many computes at once. It gives up when the API
// server has taken nothing for as long as one write may take.
func (t *traffic) flush() {
	silence := make(chan struct{})
	silent := time.AfterFunc(writeTimeout, func() { close(silence) })
	defer silent.Stop()
	t.mu.Lock()
	left := maps.Clone(t.uses)
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all errgroup.Group
		all.SetLimit(flushAtOnce)
		for of, u := range left {
			all.Go(func() error {
				if t.finish(of, u, silence) && silent.Stop() { // it is not over
					silent.Reset(writeTimeout)
				}
				return nil
			})
		}
		_ = all.Wait() // none fails
	}()
	select {
	case <-done:
	case <-silence:
	}
}

// finish writes what is left to tell of a compute when the write on its way is over. It
// tells whether all of it is told.
func (t *traffic) finish(of compute, u *use, silence <-chan struct{}) bool {
	for tried := false; ; {
		t.mu.Lock()
		onItsWay, untold := u.writing, t.uses[of] == u && !u.WriteAt(u.observed.Seen).IsZero()
		t.mu.Unlock()
		switch {
		case onItsWay != nil:
			select {
			case <-onItsWay:
			case <-silence:
				return false
			}
		case !untold:
			return true
		case tried || isClosed(silence):
			return false
		default:
			if tried = t.flushOne(of, u); !tried {
				select {
				case <-time.After(retryAfter):
				case <-silence:
				}
			}
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
