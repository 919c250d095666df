package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

var (
	shop    = client.ObjectKey{Namespace: "a", Name: "shop"}
	counter = endpoint{"shop-uid", v1alpha1.DefaultQualifier}
	noon    = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
)

func every(*v1alpha1.AgentSession) bool { return true }

// sessionNo is one that a call for any free session has made. It is free.
func sessionNo(n int, change ...func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
	id := fmt.Sprintf("session-%036d", n)
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: shop.Namespace, Name: nameOf(shop.Name, counter, id), UID: types.UID(id), ResourceVersion: "1",
			Labels:          map[string]string{labelShared: ""},
			OwnerReferences: []metav1.OwnerReference{{Kind: "AgentRuntime", Name: shop.Name, UID: counter.runtime, Controller: new(true)}},
		},
		Spec: v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: shop.Name}, RuntimeSessionID: id},
		Status: v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateIdle, Activation: 1, PingStatus: string(contract.Healthy), Pod: &v1alpha1.PodStatus{IP: "10.0.0.1"},
			Traffic: &v1alpha1.Traffic{LastInvocationAt: microTime(noon.Add(-time.Hour + time.Duration(n)*time.Second))},
		},
	}
	for _, f := range change {
		f(session)
	}
	return session
}

func isStopped(s *v1alpha1.AgentSession)  { s.Status.State = v1alpha1.StateStopped }
func isStarting(s *v1alpha1.AgentSession) { s.Status.State = v1alpha1.StateStarting }
func isBusy(s *v1alpha1.AgentSession)     { s.Status.PingStatus = string(contract.HealthyBusy) }

func leasedUntil(at time.Time) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) { s.Status.Traffic.InUseUntil = microTime(at) }
}

func version(n int) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) { s.ResourceVersion = strconv.Itoa(n) }
}

// What the roster answers is what a look at all sessions would, after any events.
func TestTheRosterSaysWhatTheSessionsSay(t *testing.T) {
	changes := map[string]func(*v1alpha1.AgentSession){
		"free": func(*v1alpha1.AgentSession) {}, "stopped": isStopped, "starting": isStarting, "busy": isBusy,
		"leased for a minute": leasedUntil(noon.Add(time.Minute)), "leased for an hour": leasedUntil(noon.Add(time.Hour)),
		"named by somebody":    func(s *v1alpha1.AgentSession) { s.Labels = nil },
		"under a name of ours": func(s *v1alpha1.AgentSession) { s.Spec.RuntimeSessionID += "x" },
		"of another runtime":   func(s *v1alpha1.AgentSession) { s.OwnerReferences[0].UID = "other" },
	}
	rapid.Check(t, func(t *rapid.T) {
		g, r, all := NewWithT(t), &roster{}, map[client.ObjectKey]*v1alpha1.AgentSession{}
		now := noon
		for n := range rapid.IntRange(1, 60).Draw(t, "events") {
			what := rapid.SampledFrom(slices.Sorted(maps.Keys(changes))).Draw(t, "what")
			session := sessionNo(rapid.IntRange(0, 9).Draw(t, "session"), changes[what], version(n+2))
			key := client.ObjectKeyFromObject(session)
			switch rapid.IntRange(0, 5).Draw(t, "how") {
			case 0:
				r.delete(session)
				delete(all, key)
			case 1:
				now = now.Add(30 * time.Second)
			default:
				r.update(session)
				r.update(sessionNo(0, version(1))) // of long ago, unless there is none
				all[key] = session
				if zero := sessionNo(0, version(1)); all[client.ObjectKeyFromObject(zero)] == nil {
					all[client.ObjectKeyFromObject(zero)] = zero
				}
			}
			var used int
			var last time.Time
			var stopped []string
			for _, one := range all {
				if lifecycle.HasCompute(one) {
					used++
				}
				switch {
				case poolOf(one) != counter:
				case lifecycle.PhaseOf(one) == lifecycle.PhaseStopped:
					stopped = append(stopped, one.Name)
				case lifecycle.Free(one, now) && lifecycle.SeenOf(one).Traffic.EndedAt.After(last):
					last = lifecycle.SeenOf(one).Traffic.EndedAt
				}
			}
			g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(used))
			free, _ := r.free(counter, now, every)
			g.Expect(free != nil).To(Equal(!last.IsZero()))
			if free != nil {
				g.Expect(lifecycle.SeenOf(free).Traffic.EndedAt).To(BeTemporally("==", last))
			}
			one := r.stopped(counter)
			g.Expect(one != nil).To(Equal(len(stopped) > 0))
			if one != nil {
				g.Expect(stopped).To(ContainElement(one.Name))
			}
		}
	})
}

// A call for any free session costs the same whatever the number of sessions: how many
// of them it compares is counted, in the order that the queues ask for.
func TestAFreeSessionOfManyIsFoundAsFastAsOneOfFew(t *testing.T) {
	g := NewWithT(t)
	work := func(sessions int) (looked, compared int) {
		r := &roster{}
		for n := range sessions {
			r.update(sessionNo(3*n, leasedUntil(noon.Add(time.Hour))))
			r.update(sessionNo(3*n+1, isStopped))
			r.update(sessionNo(3*n + 2))
		}
		for _, q := range []*queue{r.pools[counter].free, r.pools[counter].leased} {
			before := q.before
			q.before = func(a, b lifecycle.Seen) bool {
				compared++
				return before(a, b)
			}
		}
		for range 10 {
			free, _ := r.free(counter, noon, func(*v1alpha1.AgentSession) bool { looked++; return true })
			g.Expect(free.Spec.RuntimeSessionID).To(Equal(sessionNo(3*sessions - 1).Spec.RuntimeSessionID))
			g.Expect(r.stopped(counter)).NotTo(BeNil())
			g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(2 * sessions))
		}
		return looked, compared
	}
	few, _ := work(5)
	many, compared := work(5000)
	g.Expect(many).To(Equal(few))
	g.Expect(compared).To(BeNumerically("<=", 10*4*13), "twice the depth of a heap of 5,000, down and up")
}

func TestASessionThatIsGivenBackIsWorthWaitingFor(t *testing.T) {
	g, r := NewWithT(t), &roster{}
	leased := sessionNo(1, leasedUntil(noon.Add(time.Hour)))
	key := client.ObjectKeyFromObject(leased)
	soon := func(now time.Time) bool {
		free, soon := r.free(counter, now, every)
		g.Expect(free).To(BeNil())
		return soon
	}
	r.update(leased)
	g.Expect(soon(noon)).To(BeFalse(), "somebody has it")
	r.release(key, noon)
	g.Expect(soon(noon)).To(BeTrue())
	r.update(sessionNo(1, version(2), leasedUntil(noon.Add(time.Hour))))
	g.Expect(soon(noon)).To(BeTrue(), "it is another change of it")
	g.Expect(soon(noon.Add(writeTimeout+1))).To(BeFalse(), "it could not be written")
	r.release(key, noon)
	r.updateLive(sessionNo(1, version(3)))
	free, waits := r.free(counter, noon, every)
	g.Expect(free).NotTo(BeNil())
	g.Expect(waits).To(BeFalse())
	r.release(key, noon)
	r.update(sessionNo(1, version(4), isBusy))
	g.Expect(soon(noon)).To(BeFalse(), "its agent works on")
}

func TestASessionThatIsBeingMadeCounts(t *testing.T) {
	g, r := NewWithT(t), &roster{}
	one := sessionNo(1, isStarting)
	key := client.ObjectKeyFromObject(one)
	r.reserve(key, shop)
	g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(1))
	g.Expect(r.used(shop, key)).To(Equal(0))
	r.unreserve(key)
	g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(0))
	r.reserve(key, shop)
	r.update(one)
	r.unreserve(key)
	g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(1), "it is there")
	other := one.DeepCopy()
	other.UID = "of the one before"
	r.delete(other)
	g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(1), "another had its name")
	r.delete(one)
	r.updateLive(one)
	g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(0), "it was deleted before its maker had the answer")
	g.Expect(r.byName).To(BeEmpty())
	g.Expect(r.computes).To(BeEmpty())
	g.Expect(r.pools).To(BeEmpty())
}

// What the API server does not have is taken off, also if the watch never shows that.
func TestASessionThatIsNotFoundIsLost(t *testing.T) {
	g, r := NewWithT(t), &roster{}
	one := sessionNo(1, isStarting)
	key := client.ObjectKeyFromObject(one)
	r.reserve(key, shop)
	r.deleteMissing(key, r.get(key))
	g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(1), "it is being made")
	r.updateLive(one)
	g.Expect(r.allAhead(one.Namespace)).To(HaveKeyWithValue(key, one))
	g.Expect(r.allAhead("another")).To(BeEmpty())
	was := r.get(key)
	r.updateLive(sessionNo(1, version(2)))
	r.deleteMissing(key, was)
	g.Expect(r.get(key)).NotTo(BeNil(), "more is known since")
	r.deleteMissing(key, r.get(key))
	g.Expect(r.byName).To(BeEmpty())
	g.Expect(r.computes).To(BeEmpty())
}

func BenchmarkFree(b *testing.B) {
	for _, sessions := range []int{5, 5000} {
		b.Run(strconv.Itoa(sessions), func(b *testing.B) {
			r := &roster{}
			for n := range sessions {
				r.update(sessionNo(n))
			}
			for b.Loop() {
				r.free(counter, noon, every)
			}
		})
	}
}

// A session that tries a version is nobody's to call, to count or to see.
func TestTrialsAreNotTheRosters(t *testing.T) {
	g, r := NewWithT(t), &roster{}
	trial := sessionNo(1, func(s *v1alpha1.AgentSession) {
		s.Name = lifecycle.TrialName(shop.Name, string(counter.runtime), 7)
		s.Labels[v1alpha1.LabelTrial] = "7"
	})
	r.update(trial)
	g.Expect(r.used(shop, client.ObjectKey{})).To(BeZero())
	all, err := (&selection{}).match()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all(trial)).To(BeFalse())
	ours := sessionNo(1)
	r.update(ours)
	g.Expect(r.used(shop, client.ObjectKey{})).To(Equal(1))
	g.Expect(all(ours)).To(BeTrue())
}
