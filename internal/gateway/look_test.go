package gateway

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// slowly reads a session whose version is the number of changes at the beginning of
// the read.
func slowly(changes, reads *atomic.Int64) func(context.Context, client.ObjectKey) (*v1alpha1.AgentSession, error) {
	return func(context.Context, client.ObjectKey) (*v1alpha1.AgentSession, error) {
		reads.Add(1)
		session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.FormatInt(changes.Load(), 10)}}
		time.Sleep(20 * time.Millisecond)
		return session, nil
	}
}

// Whoever looks sees all that had changed when he began to, and many cost little.
func TestALookIsLaterThanItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var changes, reads atomic.Int64
		l := newLooks(rate.NewLimiter(50, 1), slowly(&changes, &reads))
		var all sync.WaitGroup
		for range 10000 {
			all.Go(func() {
				changed := changes.Add(1)
				session, err := l.at(t.Context(), shop)
				g.Expect(err).NotTo(HaveOccurred())
				seen, err := strconv.ParseInt(session.ResourceVersion, 10, 64)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(seen).To(BeNumerically(">=", changed))
			})
			time.Sleep(100 * time.Microsecond)
		}
		all.Wait()
		g.Expect(reads.Load()).To(BeNumerically("~", 51, 2), "a second, at 50 a second")
		g.Expect(l.waiting).To(BeEmpty())
	})
}

func TestALookEndsWithItsCallerAndFailsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		l := newLooks(rate.NewLimiter(1, 1), func(ctx context.Context, _ client.ObjectKey) (*v1alpha1.AgentSession, error) {
			<-ctx.Done()
			return nil, errors.New("silent")
		})
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		_, err := l.at(gone, shop)
		g.Expect(err).To(MatchError(context.DeadlineExceeded))
		began := time.Now()
		_, err = l.at(t.Context(), shop)
		g.Expect(err).To(MatchError("silent"))
		g.Expect(time.Since(began)).To(BeNumerically("<=", lookTimeout))
	})
}

// A runtime that has all its sessions, as far as its events tell, is counted anew
// before a call is refused: once for all who wait for that.
func TestAQuotaIsCountedBeforeItRefuses(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	var counts atomic.Int64
	live := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.AgentSession{}, runtimeField, func(o client.Object) []string {
		return []string{o.(*v1alpha1.AgentSession).Spec.RuntimeRef.Name}
	}).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			counts.Add(1)
			return c.List(ctx, list, opts...)
		},
	}).Build()
	runtime := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name, UID: counter.runtime},
		Spec:       v1alpha1.AgentRuntimeSpec{MaxSessions: new(int32(1))},
	}
	cached := fake.NewClientBuilder().WithScheme(scheme).WithObjects(runtime.DeepCopy()).Build()
	one := New(Options{Client: cached, Live: live})
	there := sessionNo(1)
	one.roster.update(there)
	another := func() *call {
		return &call{runtime: runtime, qualifier: v1alpha1.DefaultQualifier, session: "another", came: time.Now()}
	}
	g.Expect(one.quota(t.Context(), another())).To(Succeed(), "another gateway has stopped it")

	there.ResourceVersion = ""
	g.Expect(live.Create(t.Context(), there)).To(Succeed())
	counts.Store(0)
	var calls []*call
	for range 100 {
		calls = append(calls, another())
	}
	for _, c := range calls {
		g.Expect(one.quota(t.Context(), c)).To(MatchError(ContainSubstring("maxSessions limit exceeded: the runtime has 1 sessions")))
	}
	g.Expect(counts.Load()).To(BeEquivalentTo(1))
	waits := another()
	waits.any = true
	g.Expect(one.quota(t.Context(), waits)).NotTo(Succeed())
	g.Expect(counts.Load()).To(BeEquivalentTo(1), "it waits for its turn, and is not refused")

	raised := runtime.DeepCopy()
	raised.Spec.MaxSessions = new(int32(2))
	g.Expect(cached.Patch(t.Context(), raised, client.MergeFrom(runtime))).To(Succeed())
	g.Expect(one.quota(t.Context(), waits)).To(Succeed(), "it came before the runtime was changed")
}

// What a gateway knows of a session counts until the cache shows the same or more.
func TestWhatIsReadOfASession(t *testing.T) {
	for name, row := range map[string]struct {
		shown, known string // versions; empty: none
		fails        error
		want         string
	}{
		"the cache knows it":             {shown: "3", want: "3"},
		"the cache is behind":            {shown: "3", known: "5", want: "5"},
		"the cache has as much":          {shown: "5", known: "5", want: "5"},
		"the cache is ahead":             {shown: "7", known: "5", want: "7"},
		"the cache does not show it":     {known: "5", want: "5"},
		"it is not there":                {},
		"the cache fails":                {known: "5", fails: errors.New("silent")},
		"it is refused in other's words": {fails: throttled("Please retry.")},
	} {
		t.Run(name, func(t *testing.T) {
			g, scheme := NewWithT(t), runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			cached := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
				Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
					switch {
					case row.fails != nil:
						return row.fails
					case row.shown == "":
						return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
					}
					into.SetResourceVersion(row.shown)
					return nil
				},
			}).Build()
			one, session := New(Options{Client: cached, Live: cached}), sessionNo(1)
			if row.known != "" {
				session.ResourceVersion = "1"
				one.roster.update(session)
				session = session.DeepCopy()
				session.ResourceVersion = row.known
				one.roster.updateLive(session)
			}
			read, err := one.read(t.Context(), client.ObjectKeyFromObject(session), false)
			switch {
			case row.fails == nil:
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(read.ResourceVersion).To(Equal(row.want))
			case refuses(row.fails):
				g.Expect(err).To(BeIdenticalTo(row.fails))
			default:
				g.Expect(err).To(MatchError("get session " + client.ObjectKeyFromObject(session).String() + ": silent"))
			}
		})
	}
}

// Whoever calls runtimes that are not there has all of them asked for, and no more often
// for many names than for one.
func TestARuntimeThatTheCacheDoesNotShowIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		scheme := runtime.NewScheme()
		g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
		there := namedRuntime(shop.Namespace)
		arn, id := there.Status.AgentRuntimeArn, there.Status.AgentRuntimeID
		var lists atomic.Int64
		live := fake.NewClientBuilder().WithScheme(scheme).WithObjects(there).WithInterceptorFuncs(interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				lists.Add(1)
				return c.List(ctx, list, opts...)
			},
		}).Build()
		one := New(Options{Client: fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.AgentRuntime{}, IDIndex, IDOf).Build(), Live: live})
		for _, label := range []string{arn, id, "a/shop"} {
			found, err := one.runtimesBy(t.Context(), label, "")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(HaveLen(1), label)
		}
		g.Expect(one.runtimesBy(t.Context(), arn, "000000000000")).To(BeEmpty(), "it is of another account")
		lists.Store(0)
		time.Sleep(runtimeLooksAtOnce * time.Second)
		began := time.Now()
		var all sync.WaitGroup
		for n := range 1000 {
			all.Go(func() {
				found, err := one.runtimesBy(t.Context(), "a/invented-"+strconv.Itoa(n), "")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(found).To(BeEmpty())
			})
			time.Sleep(10 * time.Millisecond)
		}
		all.Wait()
		g.Expect(lists.Load()).To(BeNumerically("~", runtimeLooksAtOnce+10, 2), "ten seconds of them")
		g.Expect(time.Since(began)).To(BeNumerically("<=", 11*time.Second), "nobody waits for long")
		found, err := one.runtimesBy(t.Context(), "a/shop", "")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(HaveLen(1))
	})
}

// namedRuntime is a runtime with the names that the operator gives it.
func namedRuntime(namespace string) *v1alpha1.AgentRuntime {
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: shop.Name, UID: types.UID(namespace)}}
	agent.Status.AgentRuntimeID = lifecycle.RuntimeID(agent)
	agent.Status.AgentRuntimeArn = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/" + agent.Status.AgentRuntimeID
	return agent
}

// Whoever writes another runtime's names into the status of his own is called by none of them,
// neither by what the cache shows nor past it.
func TestARuntimeIsNotCalledByAnothersNames(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	theirs := namedRuntime("theirs")
	mine := namedRuntime("mine")
	mine.Status = theirs.Status
	everything := func(agents ...client.Object) client.Client {
		return fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.AgentRuntime{}, IDIndex, IDOf).WithObjects(agents...).Build()
	}
	for name, one := range map[string]*Gateway{
		"in the cache": New(Options{Client: everything(theirs, mine), Live: everything()}),
		"past it":      New(Options{Client: everything(), Live: everything(theirs, mine)}),
	} {
		for _, label := range []string{theirs.Status.AgentRuntimeArn, theirs.Status.AgentRuntimeID} {
			found, err := one.runtimesBy(t.Context(), label, "")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(ConsistOf(HaveField("Namespace", "theirs")), name)
		}
	}
}

// Of the calls that want one session to begin, one at a time writes that, and what the API
// server says is said to all, a refusal too: told to one after the other, a thousand calls
// would wait for minutes. What one does not wait for is his own, and so is a refusal by
// maxSessions: it rests on a count that began after he came.
func TestASessionIsBegunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		scheme := runtime.NewScheme()
		g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
		var writes atomic.Int64
		var fails error
		one := New(Options{Client: fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.CreateOption) error {
				writes.Add(1)
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return ctx.Err()
				}
				return fails
			},
		}).Build()})
		agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name, UID: counter.runtime}}
		all := func(ctx context.Context) (begun, failed int) {
			writes.Store(0)
			var mu sync.Mutex
			var calls sync.WaitGroup
			for n := range 100 {
				calls.Go(func() {
					time.Sleep(time.Duration(n) * time.Millisecond)
					within := t.Context()
					if n == 0 {
						within = ctx
					}
					first, err := one.begin(within, &call{runtime: agent, qualifier: v1alpha1.DefaultQualifier, session: "one"}, &v1alpha1.AgentSession{})
					mu.Lock()
					defer mu.Unlock()
					if first {
						begun++
					}
					if err != nil {
						failed++
					}
				})
			}
			calls.Wait()
			return begun, failed
		}
		begun, failed := all(t.Context())
		g.Expect([]int{begun, failed, int(writes.Load())}).To(Equal([]int{1, 0, 1}))

		fails = errors.New("silent")
		_, failed = all(t.Context())
		g.Expect([]int{failed, int(writes.Load())}).To(Equal([]int{100, 1}))

		fails = apierrors.NewForbidden(schema.GroupResource{}, "one", errors.New("exceeded quota: sessions"))
		_, failed = all(t.Context())
		g.Expect([]int{failed, int(writes.Load())}).To(Equal([]int{100, 1}))

		agent.Spec.MaxSessions = new(int32(0))
		one.Live = fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
			List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
				time.Sleep(time.Second)
				return nil
			},
		}).Build()
		begun, failed = all(t.Context())
		g.Expect([]int{begun, failed, int(writes.Load())}).To(Equal([]int{0, 1, 0}), "the others look anew")
		agent.Spec.MaxSessions = nil

		leaves, leave := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer leave()
		_, failed = all(leaves)
		g.Expect([]int{failed, int(writes.Load())}).To(Equal([]int{1, 1}), "the others look anew")
		g.Expect(one.beginnings.all).To(BeEmpty())
	})
}

// An agent that is late costs its caller AgentCore's words, with the limit that it had.
func TestTheLimitOfAStartIsTheScaledOne(t *testing.T) {
	g := NewWithT(t)
	session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{LastTermination: &v1alpha1.Termination{Reason: v1alpha1.StopStartTimeout}}}
	for scale, most := range map[int32]string{0: "120s", 4: "30s", 100: "20s"} {
		session.Status.TimeScale = scale
		g.Expect(startFailed(session)).To(HaveField("Message", "Runtime initialization time exceeded. Please make sure that initialization completes in "+most+"."))
	}
}

// A call whose session was there, and idled out before the call came to it, wakes it again.
func TestASessionThatWasMissedIsWokenAgain(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	session := sessionNo(1, isStopped)
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name, UID: counter.runtime}}
	type end struct {
		state  v1alpha1.SessionState
		reason v1alpha1.StopReason
	}
	for end, again := range map[end]bool{
		{v1alpha1.StateStopped, v1alpha1.StopIdleTimeout}: true, {v1alpha1.StateStopped, v1alpha1.StopStartTimeout}: false,
		{v1alpha1.StateStopping, v1alpha1.StopIdleTimeout}: true, {v1alpha1.StateStopping, v1alpha1.StopStartTimeout}: false,
	} {
		session := session.DeepCopy()
		session.Status.State, session.Status.LastTermination = end.state, &v1alpha1.Termination{Reason: end.reason, Activation: 1}
		one := New(Options{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(session).Build()})
		c := &call{runtime: agent, qualifier: v1alpha1.DefaultQualifier, session: session.Spec.RuntimeSessionID}
		_, err := one.advance(t.Context(), c, nil, session.DeepCopy(), lifecycle.PhaseOf(session), true, false)
		var now v1alpha1.AgentSession
		g.Expect(one.Client.Get(t.Context(), c.key(), &now)).To(Succeed())
		if again {
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(now.Spec.Activation).To(BeEquivalentTo(2))
		} else {
			g.Expect(err).To(MatchError(ContainSubstring("initialization time exceeded")))
			g.Expect(now.Spec.Activation).To(BeZero())
		}
	}
}
