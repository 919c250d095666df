package dashboard

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
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

// TestACallerIsSentWhatHeMaySee, at first, of what changes, and of what goes.
func TestACallerIsSentWhatHeMaySee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFeed(time.Now)
		put(f, "a", "x")
		put(f, "b", "x")
		put(f, "c", "x")
		f.setListed(kindSessions)
		allowed := &sight{sessions: in("a"), runtimes: in("a", "b")}
		looks := 0
		s := newScreen()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			(&stream{reader: f.join(allowed), w: s, control: http.NewResponseController(s), looked: time.Now(), look: func(_ context.Context, before *sight) (*sight, error) {
				looks++
				g.Expect(before).NotTo(BeNil())
				if allowed == nil {
					return nil, errors.New("the API server is away")
				}
				return allowed, nil
			}}).run(t.Context())
		}()
		rows := func() []string { return slices.Sorted(maps.Keys(s.rows)) }
		pass(time.Second)
		g.Expect(rows()).To(Equal([]string{"a/x"}))
		g.Expect(slices.Sorted(maps.Keys(s.runtimes))).To(Equal([]string{"a/agent", "b/agent"}))
		g.Expect(s.runtimes["a/agent"].Sessions).To(Equal(1))
		g.Expect(s.runtimes["b/agent"].Sessions).To(BeZero(), "how many there are is told to who may see them")

		put(f, "a", "y")
		put(f, "b", "y")
		put(f, "c", "y")
		f.dropSession("c/x", "")
		f.dropRuntime("c/agent")
		before := s.bytes
		pass(time.Second)
		g.Expect(rows()).To(Equal([]string{"a/x", "a/y"}))
		g.Expect(s.runtimes["b/agent"].Sessions).To(BeZero())
		g.Expect(s.bytes).To(BeNumerically(">", before))
		g.Expect(looks).To(BeZero())

		allowed = &sight{sessions: in("a", "b"), runtimes: in("a", "b")}
		pass(lookAgain)
		g.Expect(looks).To(Equal(1))
		g.Expect(rows()).To(Equal([]string{"a/x", "a/y", "b/x", "b/y"}))
		g.Expect(s.runtimes["b/agent"].Sessions).To(Equal(2))
		g.Expect(s.resets).To(Equal(1))

		allowed = &sight{sessions: scope{all: true}, runtimes: in("a", "b")}
		pass(lookAgain)
		g.Expect(rows()).To(Equal([]string{"a/x", "a/y", "b/x", "b/y", "c/y"}))

		allowed = &sight{sessions: in("a", "b", "c"), runtimes: in("a", "b")}
		pass(lookAgain + time.Second)
		g.Expect(ended).To(BeClosed(), "who saw all sees less")
	})
}

// TestAStreamEndsWithItsRight: within 30 s, and also if it cannot be found out.
func TestAStreamEndsWithItsRight(t *testing.T) {
	for name, row := range map[string]struct {
		now *sight
		err error
	}{
		"the sessions of a namespace": {now: &sight{sessions: in("b"), runtimes: in("a")}},
		"the runtimes of a namespace": {now: &sight{sessions: in("a", "b"), runtimes: in("b")}},
		"everything":                  {now: &sight{}},
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
						reader: f.join(&sight{sessions: in("a", "b"), runtimes: in("a")}), w: s, control: http.NewResponseController(s), looked: time.Now(),
						look: func(context.Context, *sight) (*sight, error) { return row.now, row.err },
					}).run(t.Context())
				}()
				pass(lookAgain - time.Second)
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
