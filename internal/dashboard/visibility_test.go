package dashboard

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func in(namespaces ...string) scope {
	s := scope{in: map[string]bool{}}
	for _, namespace := range namespaces {
		s.in[namespace] = true
	}
	return s
}

// put adds a session of the runtime agent to a namespace, which has that runtime.
func put(f *feed, namespace, name string) {
	f.setRuntime(&v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agent", UID: types.UID(namespace)}})
	session := sessionAt(f.now(), 0, 1, v1alpha1.StateIdle)
	session.Namespace, session.Name, session.UID, session.Spec.RuntimeRef.Name = namespace, name, types.UID(namespace+name), "agent"
	f.setSession(session)
}

// shown is what a screen shows now.
type shown struct {
	rows          []string
	runtimes      map[string]int // how many sessions each has
	bytes, resets int
}

func (s *screen) shows() shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := shown{rows: slices.Sorted(maps.Keys(s.rows)), runtimes: map[string]int{}, bytes: s.bytes, resets: s.resets}
	for key, a := range s.runtimes {
		now.runtimes[key] = a.Sessions
	}
	return now
}

// TestACallerIsSentWhatHeMaySee, at first, of what changes, and of what goes.
func TestACallerIsSentWhatHeMaySee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFeed(time.Now)
		put(f, "a", "x")
		put(f, "b", "x")
		put(f, "c", "x")
		f.setListed(kindSessions)
		var allowed atomic.Pointer[visibility]
		var looks atomic.Int32
		allowed.Store(&visibility{sessions: in("a"), runtimes: in("a", "b")})
		s := newScreen()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			(&stream{reader: f.join(allowed.Load()), w: s, control: http.NewResponseController(s), looked: time.Now(), look: func(_ context.Context, before *visibility) (*visibility, error) {
				looks.Add(1)
				g.Expect(before).NotTo(BeNil())
				return allowed.Load(), nil
			}}).run(t.Context())
		}()
		pass(time.Second)
		now := s.shows()
		g.Expect(now.rows).To(Equal([]string{"a/x"}))
		g.Expect(now.runtimes).To(Equal(map[string]int{"a/agent": 1, "b/agent": 0}), "how many there are is told to who may see them")

		put(f, "a", "y")
		put(f, "b", "y")
		put(f, "c", "y")
		f.dropSession("c/x", "")
		f.dropRuntime("c/agent")
		before := now.bytes
		pass(time.Second)
		now = s.shows()
		g.Expect(now.rows).To(Equal([]string{"a/x", "a/y"}))
		g.Expect(now.runtimes).To(Equal(map[string]int{"a/agent": 2, "b/agent": 0}))
		g.Expect(now.bytes).To(BeNumerically(">", before))
		g.Expect(looks.Load()).To(BeZero())

		allowed.Store(&visibility{sessions: in("a", "b"), runtimes: in("a", "b")})
		pass(reviewPeriod)
		g.Expect(looks.Load()).To(BeEquivalentTo(1))
		now = s.shows()
		g.Expect(now.rows).To(Equal([]string{"a/x", "a/y", "b/x", "b/y"}))
		g.Expect(now.runtimes).To(Equal(map[string]int{"a/agent": 2, "b/agent": 2}))
		g.Expect(now.resets).To(Equal(1))

		allowed.Store(&visibility{sessions: scope{all: true}, runtimes: in("a", "b")})
		pass(reviewPeriod)
		g.Expect(s.shows().rows).To(Equal([]string{"a/x", "a/y", "b/x", "b/y", "c/y"}))

		allowed.Store(&visibility{sessions: in("a", "b", "c"), runtimes: in("a", "b")})
		pass(reviewPeriod + time.Second)
		g.Expect(ended).To(BeClosed(), "who saw all sees less")
	})
}

// TestAStreamEndsWithItsRight: within 30 s, and also if it cannot be found out.
func TestAStreamEndsWithItsRight(t *testing.T) {
	for name, row := range map[string]struct {
		now *visibility
		err error
	}{
		"the sessions of a namespace": {now: &visibility{sessions: in("b"), runtimes: in("a")}},
		"the runtimes of a namespace": {now: &visibility{sessions: in("a", "b"), runtimes: in("b")}},
		"everything":                  {now: &visibility{}},
		"it is not known":             {err: errors.New("the API server is away")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				f := newFeed(time.Now)
				put(f, "a", "x")
				f.setListed(kindSessions)
				s := newScreen()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					(&stream{
						reader: f.join(&visibility{sessions: in("a", "b"), runtimes: in("a")}), w: s, control: http.NewResponseController(s), looked: time.Now(),
						look: func(context.Context, *visibility) (*visibility, error) { return row.now, row.err },
					}).run(t.Context())
				}()
				pass(reviewPeriod - time.Second)
				g.Expect(ended).NotTo(BeClosed())
				pass(2 * time.Second)
				g.Expect(ended).To(BeClosed())
				put(f, "a", "late")
				pass(time.Minute)
				g.Expect(s.rows).To(HaveLen(1))
			})
		})
	}
}

// TestOneCallerLeavesRoomForOthers.
func TestOneCallerLeavesRoomForOthers(t *testing.T) {
	g := NewWithT(t)
	s := newSlots()
	var dones []func()
	for range maxStreamsEach {
		done, why := s.take("mallory")
		g.Expect(why).To(BeEmpty())
		dones = append(dones, done)
	}
	done, why := s.take("mallory")
	g.Expect(done).To(BeNil())
	g.Expect(why).To(ContainSubstring("mallory has 8 pages open"))
	for i := range maxStreams - maxStreamsEach {
		done, why := s.take(string(rune('a' + i)))
		g.Expect(why).To(BeEmpty())
		dones = append(dones, done)
	}
	_, why = s.take("another")
	g.Expect(why).To(ContainSubstring("32 pages are open"))
	for _, done := range dones {
		done()
	}
	g.Expect(s.each).To(BeEmpty())
	g.Expect(s.all).To(BeZero())
}
