package gateway

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func unused(s *v1alpha1.AgentSession) { s.Status.Traffic = nil }

// written is an API server that takes what a gateway writes of one session.
func written(of *v1alpha1.AgentSession, u lifecycle.Use) (observedStatus, time.Time, error) {
	next, held := u.Record(time.Now(), lifecycle.SeenOf(of))
	of.Status.Traffic = &v1alpha1.Traffic{LastInvocationAt: microTime(next.EndedAt), InUseUntil: microTime(next.InUseUntil)}
	before, err := strconv.Atoi(of.ResourceVersion)
	version(before + 1)(of)
	return observedStatusOf(of), held, err
}

// The answer to a write may come later than the event of what was written after it.
func TestAnEventThatOvertakesAnAnswerStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, session := NewWithT(t), sessionNo(1, unused)
		leases := 0
		var tr *traffic
		tr = &traffic{now: time.Now, write: func(_ compute, u lifecycle.Use) (observedStatus, time.Time, error) {
			seen, held, err := written(session, u)
			if leases++; leases == 1 { // another gateway takes a longer one at once
				version(7)(session)
				leasedUntil(seen.Traffic.InUseUntil.Add(time.Hour))(session)
				tr.update(session.DeepCopy())
			}
			return seen, held, err
		}}
		end := tr.begin(computeOf(session), observedStatusOf(session), time.Now(), false)
		time.Sleep(45 * time.Minute)
		synctest.Wait()
		g.Expect(leases).To(Equal(1), "the other's lease stands, and is enough")
		end()
		time.Sleep(time.Minute)
		synctest.Wait()
		g.Expect(session.Status.Traffic.InUseUntil.Time).To(BeTemporally(">", time.Now()), "it is not ours to give back")
		tr.flush()
	})
}

// What is heard of a session meanwhile does not make its call a younger one.
func TestALeaseComesInTimeWhateverIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, session := NewWithT(t), sessionNo(1, unused)
		leases := 0
		tr := &traffic{now: time.Now, write: func(_ compute, u lifecycle.Use) (observedStatus, time.Time, error) {
			leases++
			return written(session, u)
		}}
		end := tr.begin(computeOf(session), observedStatusOf(session), time.Now(), false)
		time.Sleep(time.Second / 2) // nothing is heard at the very moment of a write
		for second := range 60 {
			time.Sleep(time.Second)
			synctest.Wait()
			version(second + 7)(session)
			tr.update(session.DeepCopy())
		}
		synctest.Wait()
		g.Expect(leases).To(Equal(1))
		end()
		tr.flush()
	})
}

// What a claim took while another write was on its way is the gateway's own.
func TestALeaseThatAClaimTookIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, session := NewWithT(t), sessionNo(1, unused)
		answers := make(chan struct{})
		tr := &traffic{now: time.Now, write: func(_ compute, u lifecycle.Use) (observedStatus, time.Time, error) {
			seen, held, err := written(session, u)
			<-answers
			return seen, held, err
		}}
		first := tr.begin(computeOf(session), observedStatusOf(session), time.Now(), false)
		time.Sleep(time.Minute) // it has taken a lease, and has no answer yet
		synctest.Wait()
		now := time.Now()
		seen, held, err := written(session, lifecycle.Use{InFlight: 1, BeganAt: now})
		g.Expect(err).NotTo(HaveOccurred())
		second := tr.begin(computeOf(session), seen, now, false)
		tr.wrote(computeOf(session), seen, held)
		close(answers)
		synctest.Wait()
		first()
		second()
		time.Sleep(time.Minute)
		synctest.Wait()
		g.Expect(session.Status.Traffic.InUseUntil).To(BeNil())
	})
}

func TestFlushWaitsForTheWriteOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, session := NewWithT(t), sessionNo(1, unused)
		writes := 0
		tr := &traffic{now: time.Now, write: func(_ compute, u lifecycle.Use) (observedStatus, time.Time, error) {
			writes++
			time.Sleep(5 * time.Second)
			return written(session, u)
		}}
		end := tr.begin(computeOf(session), observedStatusOf(session), time.Now(), false)
		time.Sleep(time.Minute) // that is a lease
		end()
		time.Sleep(11 * time.Second) // and that is on its way back
		tr.flush()
		g.Expect(writes).To(Equal(2))
		g.Expect(session.Status.Traffic.InUseUntil).To(BeNil())
		tr.flush()
		g.Expect(writes).To(Equal(2), "there is nothing to tell")
	})
}

// The end of a gateway takes as long as its API server goes on answering, and no longer
// than one write if it does not.
func TestFlushEndsWithTheAPIServersSilence(t *testing.T) {
	const sessions = 500
	for name, row := range map[string]struct {
		answers time.Duration // zero: never
		refuses int           // as many before
		told    int
		within  time.Duration
	}{
		"all are told, however long it takes": {5 * time.Second, 0, sessions, sessions / flushAtOnce * 5 * time.Second},
		"who is refused tries again":          {5 * time.Second, sessions, sessions, sessions / flushAtOnce * (retryAfter + 5*time.Second)},
		"none is waited for by itself":        {0, 0, 0, writeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				var mu sync.Mutex
				told, refused := 0, 0
				tr := &traffic{now: time.Now, write: func(_ compute, u lifecycle.Use) (observedStatus, time.Time, error) {
					ctx, cancel := context.WithTimeout(t.Context(), writeTimeout)
					defer cancel()
					if row.answers == 0 {
						<-ctx.Done()
						return observedStatus{}, time.Time{}, ctx.Err()
					}
					mu.Lock()
					if refused++; refused <= row.refuses {
						mu.Unlock()
						return observedStatus{}, time.Time{}, errors.New("refused")
					}
					mu.Unlock()
					time.Sleep(row.answers)
					mu.Lock()
					defer mu.Unlock()
					told++
					return written(sessionNo(told, unused), u)
				}}
				for n := range sessions {
					of := computeOf(sessionNo(n))
					tr.begin(of, observedStatusOf(sessionNo(n, unused)), time.Now(), false)()
				}
				began := time.Now()
				tr.flush()
				g.Expect(time.Since(began)).To(BeNumerically("<=", row.within))
				g.Expect(told).To(Equal(row.told))
				tr.mu.Lock()
				defer tr.mu.Unlock()
				for _, u := range tr.uses { // the process ends
					u.timer.Stop()
				}
			})
		})
	}
}

// A read waits for no write, and shows all that this gateway has written.
func TestAReadKnowsWhatWasWritten(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	was := sessionNo(1, version(5))
	shown, fails := was, error(nil)
	cache := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
			shown.DeepCopyInto(object.(*v1alpha1.AgentSession))
			return fails
		},
	}).Build()
	nothing := fake.NewClientBuilder().WithScheme(scheme).Build()
	one, key := New(Options{Client: cache, Live: nothing}), client.ObjectKeyFromObject(was)
	read := func() string {
		session, err := one.read(t.Context(), key, false)
		g.Expect(err).NotTo(HaveOccurred())
		return session.ResourceVersion
	}
	one.roster.updateLive(sessionNo(1, version(4)))
	g.Expect(read()).To(Equal("5"), "nobody knows of it: it may be gone")
	one.roster.update(was)
	g.Expect(read()).To(Equal("5"))
	one.roster.updateLive(sessionNo(1, version(7)))
	g.Expect(read()).To(Equal("7"), "the cache stands still")
	one.roster.update(sessionNo(1, version(6)))
	g.Expect(read()).To(Equal("7"), "the cache is late")
	shown = sessionNo(1, version(8))
	g.Expect(read()).To(Equal("8"), "its event has not come yet")
	shown = sessionNo(1, version(7))
	one.roster.update(shown)
	one.roster.updateLive(sessionNo(1, version(7)))
	shown = sessionNo(1, version(9))
	g.Expect(one.roster.ahead(key)).To(BeNil(), "the cache has shown it")
	one.roster.updateLive(sessionNo(1, version(10)))
	fails = errors.New("no informer")
	_, err := one.read(t.Context(), key, false)
	g.Expect(err).To(MatchError(fails))
	one.roster.delete(was)
	fails = nil
	g.Expect(read()).To(Equal("9"), "it is deleted, and what was written is gone with it")

	one.roster.update(shown)
	one.roster.updateLive(sessionNo(1, version(11)))
	g.Expect(one.withAhead([]v1alpha1.AgentSession{*shown}, "")).To(HaveExactElements(HaveField("ResourceVersion", "11")))
	g.Expect(one.withAhead(nil, was.Namespace)).To(HaveExactElements(HaveField("ResourceVersion", "11")), "the cache does not have it yet")
	shown = sessionNo(1, version(12))
	g.Expect(one.withAhead([]v1alpha1.AgentSession{*shown}, "")).To(HaveExactElements(HaveField("ResourceVersion", "12")))
	_, err = one.readLive(t.Context(), key)
	g.Expect(err).To(Satisfy(apierrors.IsNotFound))
	g.Expect(one.roster.ahead(key)).To(BeNil(), "the API server does not have it")
}
