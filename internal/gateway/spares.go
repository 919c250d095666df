package gateway

import (
	"cmp"
	"container/heap"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// spares are the sessions that calls for any free session have made, kept in order
// as they change: a call finds one among 5,000 with as little work as among five.
type spares struct {
	mu  sync.Mutex
	all map[types.NamespacedName]*spare
	of  map[endpoint]*sorted
}

// sorted are the spares of one endpoint, and those in order that a call may get.
type sorted struct {
	all     int
	free    queue           // the one that was used last comes first
	leased  queue           // free but for a lease; the one whose lease ends first comes first
	stopped map[*spare]bool // and could be woken
}

// spare is one session.
type spare struct {
	key  types.NamespacedName
	uid  types.UID
	name endpoint
	of   *sorted
	used int64  // when it was last used, in nanoseconds
	in   *queue // nil if it is in none
	at   int    // its place there
	rank int64
}

// saw takes up what a session is now.
func (s *spares) saw(session *v1alpha1.AgentSession, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[client.ObjectKeyFromObject(session)]
	if one == nil || one.uid != session.UID {
		s.remove(one)
		if one = s.add(session); one == nil {
			return
		}
	}
	one.leave()
	traffic := lifecycle.SeenOf(session).Traffic
	if one.used = 0; !traffic.EndedAt.IsZero() {
		one.used = traffic.EndedAt.UnixNano()
	}
	switch {
	case lifecycle.PhaseOf(session) == lifecycle.PhaseStopped:
		one.of.stopped[one] = true
	case !lifecycle.Free(session, traffic.InUseUntil): // not even when its lease is over
	case now.Before(traffic.InUseUntil):
		one.enter(&one.of.leased, traffic.InUseUntil.UnixNano())
	default:
		one.enter(&one.of.free, -one.used)
	}
}

// gone takes up that a session is no more.
func (s *spares) gone(session *v1alpha1.AgentSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.all[client.ObjectKeyFromObject(session)])
}

// add begins with a session if it is one of those that such calls have made: by its
// label, and by its name, which whoever may make sessions cannot give to another.
func (s *spares) add(session *v1alpha1.AgentSession) *spare {
	owner, ref := metav1.GetControllerOf(session), session.Spec.RuntimeRef
	if _, is := session.Labels[labelShared]; !is || owner == nil || ref == nil || ref.Name != owner.Name {
		return nil
	}
	of := endpoint{owner.UID, cmp.Or(ref.Qualifier, v1alpha1.DefaultQualifier)}
	runtime := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: owner.Name, UID: owner.UID}}
	if session.Name != nameOf(runtime, of.qualifier, session.Spec.RuntimeSessionID) {
		return nil
	}
	if s.all == nil {
		s.all, s.of = map[types.NamespacedName]*spare{}, map[endpoint]*sorted{}
	}
	if s.of[of] == nil {
		s.of[of] = &sorted{stopped: map[*spare]bool{}}
	}
	one := &spare{key: client.ObjectKeyFromObject(session), uid: session.UID, name: of, of: s.of[of]}
	s.all[one.key] = one
	one.of.all++
	return one
}

func (s *spares) remove(one *spare) {
	if one == nil {
		return
	}
	one.leave()
	delete(s.all, one.key)
	if one.of.all--; one.of.all == 0 {
		delete(s.of, one.name)
	}
}

// find returns the spare of an endpoint that was used last and that usable takes, and
// one that is stopped. Either may be empty.
func (s *spares) find(of endpoint, now time.Time, usable func(types.NamespacedName) bool) (free, stopped types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.of[of]
	if from == nil {
		return free, stopped
	}
	for from.leased.Len() > 0 && from.leased[0].rank <= now.UnixNano() {
		one := from.leased[0]
		one.leave()
		one.enter(&from.free, -one.used)
	}
	var passed []*spare // those that are in use here, which the lease will tell of
	for from.free.Len() > 0 && free.Name == "" {
		one := from.free[0]
		if usable(one.key) {
			free = one.key
			break
		}
		one.leave()
		passed = append(passed, one)
	}
	for _, one := range passed {
		one.enter(&from.free, -one.used)
	}
	for one := range from.stopped {
		return free, one.key
	}
	return free, stopped
}

func (s *spare) enter(in *queue, rank int64) {
	s.in, s.rank = in, rank
	heap.Push(in, s)
}

func (s *spare) leave() {
	delete(s.of.stopped, s)
	if s.in != nil {
		heap.Remove(s.in, s.at)
		s.in = nil
	}
}

// queue has the lowest rank first (container/heap).
type queue []*spare

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].rank < q[j].rank }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].at, q[j].at = i, j }

// Push is for container/heap.
func (q *queue) Push(x any) {
	one := x.(*spare) //nolint:forcetypeassert // enter pushes nothing else
	one.at = len(*q)
	*q = append(*q, one)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	one := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return one
}
