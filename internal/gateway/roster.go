package gateway

import (
	"cmp"
	"container/heap"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// roster answers what calls ask of all the sessions of a runtime, and never looks at
// all of them: the cache's events and this gateway's own writes keep it.
type roster struct {
	mu     sync.Mutex
	byName map[client.ObjectKey]*listed
	// computes are those with a compute, by their runtime.
	computes map[client.ObjectKey]map[client.ObjectKey]bool
	pools    map[endpoint]*pool
}

// listed is a session, or one that is being made.
type listed struct {
	session *v1alpha1.AgentSession // nil while it is being made
	runtime client.ObjectKey
	pool    endpoint // empty: it is in none
	ahead   bool     // of the cache: the API server said it to this gateway alone
	in      *queue   // of its pool; nil: in none
	place   int      // in that
}

// stays tells whether a session is no news: what was written here comes back later than
// its answer, or sooner.
func (l *listed) stays(session *v1alpha1.AgentSession, ahead bool) bool {
	if l == nil || l.session == nil {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(session.ResourceVersion, l.session.ResourceVersion)
	return err == nil && (order < 0 || order == 0 && ahead)
}

// pool has the sessions of an endpoint that calls for any free session share.
type pool struct {
	free    *queue // the one used last comes first
	leased  *queue // the one whose lease ends first comes first
	stopped map[client.ObjectKey]*listed
	// given are those whose call has ended here, and whose lease still stands: until it
	// has been given back, which is soon, they are worth waiting for.
	given map[client.ObjectKey]time.Time
}

// queue is a heap of sessions.
type queue struct {
	before func(a, b lifecycle.Seen) bool
	all    []*listed
}

func (q *queue) Len() int { return len(q.all) }

func (q *queue) Less(i, j int) bool {
	return q.before(lifecycle.SeenOf(q.all[i].session), lifecycle.SeenOf(q.all[j].session))
}

func (q *queue) Swap(i, j int) {
	q.all[i], q.all[j] = q.all[j], q.all[i]
	q.all[i].place, q.all[j].place = i, j
}

func (q *queue) Push(one any) {
	entry := one.(*listed) //nolint:forcetypeassert // nothing else is put there
	entry.in, entry.place = q, len(q.all)
	q.all = append(q.all, entry)
}

func (q *queue) Pop() any {
	last := q.all[len(q.all)-1]
	q.all[len(q.all)-1] = nil
	q.all = q.all[:len(q.all)-1]
	last.in = nil
	return last
}

// update takes up what a session is now.
func (r *roster) update(session *v1alpha1.AgentSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(session, false)
}

// updateLive takes up what the API server said of a session, when this gateway wrote it or
// read it past the cache, unless the session has gone since.
func (r *roster) updateLive(session *v1alpha1.AgentSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName[client.ObjectKeyFromObject(session)] != nil {
		r.take(session, true)
	}
}

// ahead is a session as updateLive took it up, as long as no event has shown that; else nil.
func (r *roster) ahead(key client.ObjectKey) *v1alpha1.AgentSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry := r.byName[key]; entry != nil && entry.ahead {
		return entry.session
	}
	return nil
}

// reserve counts a session that is about to be made among those with a compute.
func (r *roster) reserve(key, runtime client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName[key] == nil {
		r.add(key, &listed{runtime: runtime}, true)
	}
}

// unreserve takes that back.
func (r *roster) unreserve(key client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry := r.byName[key]; entry != nil && entry.session == nil {
		r.remove(key)
	}
}

// delete takes a session off that was deleted, and not one that has its name since.
func (r *roster) delete(session *v1alpha1.AgentSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(session)
	if entry := r.byName[key]; entry != nil && (entry.session == nil || entry.session.UID == session.UID) {
		r.remove(key)
	}
}

// get is a session as it is known; nil if it is not.
func (r *roster) get(key client.ObjectKey) *v1alpha1.AgentSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry := r.byName[key]; entry != nil {
		return entry.session
	}
	return nil
}

// deleteMissing takes a session off that the API server does not have, unless more is known of it
// than was before he was asked.
func (r *roster) deleteMissing(key client.ObjectKey, was *v1alpha1.AgentSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry := r.byName[key]; was != nil && entry != nil && entry.session == was {
		r.remove(key)
	}
}

// allAhead are the sessions of a namespace, or of all, that ahead is for.
func (r *roster) allAhead(namespace string) map[client.ObjectKey]*v1alpha1.AgentSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[client.ObjectKey]*v1alpha1.AgentSession{}
	for key, entry := range r.byName {
		if entry.ahead && (namespace == "" || key.Namespace == namespace) {
			all[key] = entry.session
		}
	}
	return all
}

func (r *roster) take(session *v1alpha1.AgentSession, ahead bool) {
	key := client.ObjectKeyFromObject(session)
	if r.byName[key].stays(session, ahead) {
		return
	}
	given := r.remove(key)
	ref := session.Spec.RuntimeRef
	if ref == nil || lifecycle.TriedBy(session) != 0 {
		return
	}
	entry := &listed{session: session, runtime: client.ObjectKey{Namespace: session.Namespace, Name: ref.Name}, pool: poolOf(session), ahead: ahead}
	r.add(key, entry, lifecycle.HasCompute(session))
	if entry.pool == (endpoint{}) {
		return
	}
	p := r.poolAt(entry.pool)
	switch seen := lifecycle.SeenOf(session); {
	case lifecycle.PhaseOf(session) == lifecycle.PhaseStopped:
		p.stopped[key] = entry
	case !lifecycle.Free(session, seen.Traffic.InUseUntil): // whatever its lease
	case seen.Traffic.InUseUntil.IsZero():
		heap.Push(p.free, entry)
	default:
		heap.Push(p.leased, entry)
		if !given.IsZero() {
			p.given[key] = given
		}
	}
}

func (r *roster) add(key client.ObjectKey, entry *listed, compute bool) {
	if r.byName == nil {
		r.byName, r.computes, r.pools = map[client.ObjectKey]*listed{}, map[client.ObjectKey]map[client.ObjectKey]bool{}, map[endpoint]*pool{}
	}
	r.byName[key] = entry
	if !compute {
		return
	}
	if r.computes[entry.runtime] == nil {
		r.computes[entry.runtime] = map[client.ObjectKey]bool{}
	}
	r.computes[entry.runtime][key] = true
}

// remove takes a session off, and tells since when its lease is about to be given back.
func (r *roster) remove(key client.ObjectKey) (given time.Time) {
	entry := r.byName[key]
	if entry == nil {
		return time.Time{}
	}
	delete(r.byName, key)
	if delete(r.computes[entry.runtime], key); len(r.computes[entry.runtime]) == 0 {
		delete(r.computes, entry.runtime)
	}
	p := r.pools[entry.pool]
	if p == nil {
		return time.Time{}
	}
	if entry.in != nil {
		heap.Remove(entry.in, entry.place)
	}
	given = p.given[key]
	delete(p.given, key)
	if delete(p.stopped, key); p.free.Len()+p.leased.Len()+len(p.stopped) == 0 {
		delete(r.pools, entry.pool)
	}
	return given
}

func (r *roster) poolAt(at endpoint) *pool {
	p := r.pools[at]
	if p == nil {
		p = &pool{
			free:    &queue{before: func(a, b lifecycle.Seen) bool { return a.Traffic.EndedAt.After(b.Traffic.EndedAt) }},
			leased:  &queue{before: func(a, b lifecycle.Seen) bool { return a.Traffic.InUseUntil.Before(b.Traffic.InUseUntil) }},
			stopped: map[client.ObjectKey]*listed{}, given: map[client.ObjectKey]time.Time{},
		}
		r.pools[at] = p
	}
	return p
}

// poolOf is where a session is shared: one that a call for any free session has made.
func poolOf(session *v1alpha1.AgentSession) endpoint {
	_, shared := session.Labels[labelShared]
	owner := metav1.GetControllerOf(session)
	if !shared || owner == nil || owner.Name != session.Spec.RuntimeRef.Name {
		return endpoint{}
	}
	at := endpoint{owner.UID, cmp.Or(session.Spec.RuntimeRef.Qualifier, v1alpha1.DefaultQualifier)}
	if session.Name != nameOf(owner.Name, at, session.Spec.RuntimeSessionID) {
		return endpoint{}
	}
	return at
}

// used counts the sessions of a runtime that have a compute, but for one.
func (r *roster) used(runtime, but client.ObjectKey) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.computes[runtime])
	if r.computes[runtime][but] {
		n--
	}
	return n
}

// free is the session of a pool that was used last, of those that nobody has and
// that will do; nil if there is none. soon tells that one will be given back.
func (r *roster) free(at endpoint, now time.Time, will func(*v1alpha1.AgentSession) bool) (found *v1alpha1.AgentSession, soon bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pools[at]
	if p == nil {
		return nil, false
	}
	for p.leased.Len() > 0 && !lifecycle.SeenOf(p.leased.all[0].session).InUse(now) {
		heap.Push(p.free, heap.Pop(p.leased))
	}
	var others []any
	for p.free.Len() > 0 && found == nil {
		entry := heap.Pop(p.free)
		others = append(others, entry)
		if session := entry.(*listed).session; will(session) { //nolint:forcetypeassert // nothing else is put there
			found = session
		}
	}
	for _, entry := range others {
		heap.Push(p.free, entry)
	}
	for key, since := range p.given {
		if now.Sub(since) > writeTimeout { // it could not be written
			delete(p.given, key)
		}
	}
	return found, len(p.given) > 0
}

// stopped is one of a pool that may be woken; nil if there is none.
func (r *roster) stopped(at endpoint) *v1alpha1.AgentSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.pools[at]; p != nil {
		for _, entry := range p.stopped {
			return entry.session
		}
	}
	return nil
}

// release notes that the call which had a session for itself has ended.
func (r *roster) release(key client.ObjectKey, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.byName[key]
	if entry == nil {
		return
	}
	if p := r.pools[entry.pool]; p != nil && entry.in == p.leased {
		p.given[key] = now
	}
}
