package gateway

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var (
	spareRuntime  = &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "agent", UID: "runtime"}}
	spareEndpoint = endpoint{spareRuntime.UID, v1alpha1.DefaultQualifier}
)

// spareSession is one that a call for any free session has made: Idle, at first.
func spareSession(n int, changes ...func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
	c := call{runtime: spareRuntime, qualifier: v1alpha1.DefaultQualifier, session: fmt.Sprintf("session-%033d", n), any: true}
	session := newSession(&c)
	session.UID = types.UID(fmt.Sprint(n))
	session.Status = v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateIdle, Activation: 1, PingStatus: "Healthy", Pod: &v1alpha1.PodStatus{Name: "pod", IP: "10.0.0.1"},
	}
	for _, change := range changes {
		change(session)
	}
	return session
}

func usedAt(ended, until time.Time) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) {
		s.Status.Traffic = &v1alpha1.Traffic{LastInvocationAt: microTime(ended), InUseUntil: microTime(until)}
	}
}

func inState(state v1alpha1.SessionState) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) {
		if s.Status.State = state; state == v1alpha1.StateStopped {
			s.Status.Pod, s.Status.LastTermination = nil, &v1alpha1.Termination{Reason: v1alpha1.StopIdleTimeout}
		}
	}
}

// However many there are, and however many of them are in use, one is looked at.
func TestOneSpareIsLookedAt(t *testing.T) {
	for _, n := range []int{5, 5000} {
		g, s, now := NewWithT(t), &spares{}, time.Unix(1e9, 0)
		for i := range n {
			s.saw(spareSession(i, usedAt(now.Add(-time.Duration(i)*time.Second), now.Add(time.Duration(i-1)*time.Hour))), now)
		}
		looks := 0
		free, _ := s.find(spareEndpoint, now, func(types.NamespacedName) bool { looks++; return true })
		g.Expect(free.Name).To(Equal(spareSession(0).Name), "only 0 and 1 have no lease, and 0 was used last")
		g.Expect(looks).To(Equal(1), "of %d", n)
	}
}

func TestOnlySparesAreFound(t *testing.T) {
	now := time.Unix(1e9, 0)
	for name, session := range map[string]*v1alpha1.AgentSession{
		"named by its caller": spareSession(1, func(s *v1alpha1.AgentSession) { delete(s.Labels, labelShared) }),
		"of another name":     spareSession(1, func(s *v1alpha1.AgentSession) { s.Name += "x" }),
		"of another runtime": spareSession(1, func(s *v1alpha1.AgentSession) {
			s.OwnerReferences[0].UID = "other"
		}),
		"nobody's":            spareSession(1, func(s *v1alpha1.AgentSession) { s.OwnerReferences = nil }),
		"of another endpoint": spareSession(1, func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Qualifier = "PROD" }),
		"starting":            spareSession(1, inState(v1alpha1.StateStarting)),
		"stopping":            spareSession(1, inState(v1alpha1.StateStopping)),
		"busy":                spareSession(1, func(s *v1alpha1.AgentSession) { s.Status.PingStatus = "HealthyBusy" }),
		"in use":              spareSession(1, usedAt(now, now.Add(time.Second))),
	} {
		t.Run(name, func(t *testing.T) {
			s := &spares{}
			s.saw(spareSession(1), now)
			s.saw(spareSession(1), now)
			s.gone(spareSession(1))
			NewWithT(t).Expect(s.of).To(BeEmpty(), "nothing is left of it")
			s.saw(session, now)
			free, stopped := s.find(spareEndpoint, now, func(types.NamespacedName) bool { return true })
			NewWithT(t).Expect([]string{free.Name, stopped.Name}).To(Equal([]string{"", ""}))
		})
	}
}

// Whatever happens to sessions, what is found is what a look at all of them finds.
func TestSparesAreThoseThatALookAtAllFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, all, now := &spares{}, map[types.NamespacedName]*v1alpha1.AgentSession{}, time.Unix(1e9, 0)
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				moment := func(what string) time.Time {
					return now.Add(time.Duration(rapid.IntRange(-1000, 1000).Draw(t, what)) * time.Millisecond)
				}
				state := rapid.SampledFrom([]v1alpha1.SessionState{v1alpha1.StateIdle, v1alpha1.StateIdle, v1alpha1.StateStopped, v1alpha1.StateStopping}).Draw(t, "state")
				session := spareSession(rapid.IntRange(0, 9).Draw(t, "session"), inState(state), usedAt(moment("ended"), moment("until")))
				all[client.ObjectKeyFromObject(session)] = session
				s.saw(session, now)
			},
			"go": func(t *rapid.T) {
				session := spareSession(rapid.IntRange(0, 9).Draw(t, "session"))
				delete(all, client.ObjectKeyFromObject(session))
				s.gone(session)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "for")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				unusable := spareSession(rapid.IntRange(0, 9).Draw(t, "busy here"))
				free, stopped := s.find(spareEndpoint, now, func(key types.NamespacedName) bool { return key.Name != unusable.Name })
				check(t, all, now, unusable.Name, free, stopped)
			},
		})
	})
}

func check(t *rapid.T, all map[types.NamespacedName]*v1alpha1.AgentSession, now time.Time, unusable string, free, stopped types.NamespacedName) {
	var last time.Time
	asleep := false
	for key, session := range all {
		traffic := session.Status.Traffic
		used := traffic.LastInvocationAt.Time
		switch {
		case session.Status.State == v1alpha1.StateStopped:
			asleep = true
		case session.Status.State != v1alpha1.StateIdle || traffic.InUseUntil.After(now) || key.Name == unusable:
		case used.After(last):
			last = used
		}
	}
	if (free.Name == "") != last.IsZero() {
		t.Fatalf("found %q, and the one that was used last was so at %v", free, last)
	}
	if free.Name != "" && (free.Name == unusable || all[free].Status.State != v1alpha1.StateIdle ||
		all[free].Status.Traffic.InUseUntil.After(now) || !all[free].Status.Traffic.LastInvocationAt.Time.Equal(last)) {
		t.Fatalf("found %q, which is not free, or was not used last", free)
	}
	if (stopped.Name != "") != asleep || asleep && all[stopped].Status.State != v1alpha1.StateStopped {
		t.Fatalf("found %q for the stopped one", stopped)
	}
}
