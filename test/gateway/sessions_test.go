package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/echo"
	"github.com/agentsession/agentsession/test/front"
)

// expectServed reports whether a call was answered. One that was not is a failure,
// unless the machine was too busy: the API server took no word of it for 10 s, no agent
// started in its 20 s, or its lease of 6 s was not renewed in time.
func expectServed(ctx context.Context, agent *v1alpha1.AgentRuntime, session string, a answer) bool {
	GinkgoHelper()
	Expect(a.err).NotTo(HaveOccurred())
	if a.code == http.StatusOK {
		return true
	}
	status := sessionOf(ctx, agent, session).Status
	busy := false
	switch ended := status.LastTermination; {
	case a.code == http.StatusServiceUnavailable:
		busy = a.took >= 10*time.Second
	case a.code != http.StatusFailedDependency || ended == nil:
	case ended.Reason == v1alpha1.StopIdleTimeout && status.Traffic != nil && status.Traffic.InUseUntil != nil:
		lease := status.Traffic.InUseUntil.Time
		busy = lease.After(a.came) && !ended.DueAt.Time.Before(lease.Truncate(time.Second))
	default:
		busy = ended.Reason == v1alpha1.StopStartTimeout || ended.Reason == v1alpha1.StopStartFailed
	}
	Expect(busy).To(BeTrue(), "%d %s: %+v", a.code, a.body, status)
	return false
}

var _ = Describe("A session", func() {
	It("is made at its first call, kept, stopped, and woken with a fresh memory", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		first := d.invoke(ctx, agent, session, ask{})
		Expect(first.code).To(Equal(http.StatusOK), first.body)
		Expect(first.told.Calls).To(BeEquivalentTo(1))
		Expect(first.told.Path).To(Equal("/invocations"))
		Expect(first.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")).To(Equal(session))
		Expect(first.header.Get("X-Amzn-RequestId")).To(HaveLen(36))
		second := d.invoke(ctx, agent, session, ask{})
		Expect(second.told.Calls).To(BeEquivalentTo(2))
		Expect(second.told.Pod).To(Equal(first.told.Pod))
		other := d.invoke(ctx, agent, id(), ask{})
		Expect(other.told.Calls).To(BeEquivalentTo(1))
		Expect(podsOf(ctx, agent)).To(HaveLen(2))
		Expect(sessionOf(ctx, agent, session).Spec.RuntimeRef).To(HaveValue(Equal(v1alpha1.RuntimeRef{Name: agent.Name, Qualifier: "DEFAULT"})))

		token := strings.Repeat("t", 33)
		stopped := d.stop(ctx, agent, session, token)
		Expect(stopped.code).To(Equal(http.StatusOK), stopped.body)
		Expect(stopped.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")).To(Equal(session))
		again := eventuallyStopped(ctx, agent, session, d)
		Expect(d.stop(ctx, agent, session, token).code).To(Equal(http.StatusOK), "the same token")
		Expect(again.failed.Message).To(Equal("Session not found or already terminated"))
		Expect(again.header.Get("X-Amzn-ErrorType")).To(Equal("ResourceNotFoundException"))

		woken := d.invoke(ctx, agent, session, ask{})
		Expect(woken.code).To(Equal(http.StatusOK), woken.body)
		Expect(woken.told.Calls).To(BeEquivalentTo(1))
		Expect(woken.told.Pod).NotTo(Equal(first.told.Pod))
		Expect(sessionOf(ctx, agent, session).Status.Activation).To(BeEquivalentTo(2))
		Expect(sessionOf(ctx, agent, session).Labels).To(HaveKeyWithValue("shard", "a"), "its runtime's, by which operators choose")
	})

	It("is one pod for many first calls through several gateways", func(ctx context.Context) {
		doors := []*door{openDoor(waiting), openDoor(waiting), openDoor(waiting)}
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		const calls = 120
		answers := atOnce(ctx, calls, agent, session, doors...)
		for _, a := range answers {
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Expect(a.told.Pod).To(Equal(answers[0].told.Pod))
		}
		Expect(podsOf(ctx, agent)).To(HaveLen(1))
		Expect(sessionOf(ctx, agent, session).Status.Activation).To(BeEquivalentTo(1))

		By("waking it as many times at once")
		Expect(doors[0].stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		eventuallyStopped(ctx, agent, session, doors...)
		for _, a := range atOnce(ctx, calls, agent, session, doors...) {
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		Expect(sessionOf(ctx, agent, session).Status.Activation).To(BeEquivalentTo(2))
	})

	It("answers 409 to others while it starts", func(ctx context.Context) {
		doors := []*door{openDoor(), openDoor()}
		agent, session := newRuntime(ctx, newNamespace(ctx), held), id()
		refused := func() {
			GinkgoHelper()
			for _, d := range doors {
				a := d.invoke(ctx, agent, session, ask{})
				Expect(a.code).To(Equal(http.StatusConflict), a.body)
				Expect(a.header).To(And(HaveKeyWithValue("Retry-After", []string{"5"}), HaveKeyWithValue("X-Amz-Retry-After", []string{"5000"})))
				Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("RetryableConflictException"))
				Expect(a.failed.Message).To(Equal("Session operation in progress, please retry"))
				Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusConflict))
			}
		}
		first := make(chan answer, 1)
		go func() {
			defer GinkgoRecover()
			first <- doors[0].invoke(ctx, agent, session, ask{})
		}()
		Eventually(func() []corev1.Pod { return podsOf(ctx, agent) }).Should(HaveLen(1))
		for _, d := range doors { // until each has seen it
			Eventually(func() int { return d.invoke(ctx, agent, session, ask{}).code }).Should(Equal(http.StatusConflict))
		}
		refused()
		letGo(ctx, agent)
		var a answer
		Eventually(first).Should(Receive(&a))
		Expect(a.code).To(Equal(http.StatusOK), a.body)
	})

	It("is served by the next compute while the last one is still ending", func(ctx context.Context) {
		doors := []*door{openDoor(), openDoor()}
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		first := doors[0].invoke(ctx, agent, session, ask{})
		Expect(first.code).To(Equal(http.StatusOK), first.body)
		bury := linger(ctx, agent)
		Expect(doors[0].stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		stopped := time.Now()
		for i, d := range doors {
			next := d.invoke(ctx, agent, session, ask{})
			if next.code == http.StatusConflict { // the operator had not stopped it for as long as a call waits
				Expect(time.Since(stopped)).To(BeNumerically(">=", 3*time.Second))
				Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopping))
				next = d.invoke(ctx, agent, session, ask{})
			}
			Expect(next.code).To(Equal(http.StatusOK), next.body)
			Expect(next.told.Pod).NotTo(Equal(first.told.Pod))
			Expect(next.told.Calls).To(BeEquivalentTo(i+1), "one compute for both")
		}
		pods := podsOf(ctx, agent)
		Expect(pods).To(HaveLen(2))
		Expect(pods[0].DeletionTimestamp.Time).To(BeTemporally(">", time.Now()), "the grace of the first is not over")
		AddReportEntry("from the stop to two answers of the next compute", time.Since(stopped))
		it := sessionOf(ctx, agent, session)
		Expect(it.Status.Activation).To(BeEquivalentTo(2))
		Expect(it.Status.LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
		bury()
		Eventually(func() []corev1.Pod { return podsOf(ctx, agent) }).Should(HaveLen(1))
		Expect(doors[1].invoke(ctx, agent, session, ask{}).told.Calls).To(BeEquivalentTo(3))
	})

	It("waits for the last compute to be gone where both would use one volume", func(ctx context.Context) {
		d := openDoor()
		agent, session := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.Template.Spec.Volumes = []corev1.Volume{{Name: "work", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "work"},
			}}}
		}), id()
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		bury := linger(ctx, agent)
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopping))
		first := make(chan answer, 1)
		go func() {
			defer GinkgoRecover()
			first <- d.invoke(ctx, agent, session, ask{})
		}()
		Eventually(func() int32 { return sessionOf(ctx, agent, session).Spec.Activation }).Should(BeEquivalentTo(2))
		for range 2 { // they begin nothing
			a := d.invoke(ctx, agent, session, ask{})
			Expect(a.code).To(Equal(http.StatusConflict), a.body)
			Expect(a.header).To(HaveKeyWithValue("Retry-After", []string{"5"}))
		}
		Expect(podsOf(ctx, agent)).To(HaveLen(1))
		bury()
		var a answer
		Eventually(first).Should(Receive(&a))
		Expect(a.code).To(Equal(http.StatusOK), a.body)
	})

	It("idles out after its last call, and the next call wakes it", func(ctx context.Context) {
		const idle = 2 * idle // a dozen calls long: a busy machine may be late with some
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), idlesIn(idle)), id()
		lag, asked := lateness(ctx), time.Now()
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		var last time.Time
		late := 0      // calls that came so late that it may have idled out
		for range 24 { // twice the idle timeout
			time.Sleep(idle / 12)
			before := asked
			asked = time.Now()
			a := d.invoke(ctx, agent, session, ask{})
			last = time.Now()
			if last.Sub(before) >= idle {
				late++
			}
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		status := sessionOf(ctx, agent, session).Status
		Expect(status.Activation).To(BeNumerically("<=", 1+late))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
		status = sessionOf(ctx, agent, session).Status
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		// The API holds whole seconds, and what nobody could see does not count.
		Expect(status.LastTermination.DueAt.Time).To(And(
			BeTemporally(">=", asked.Add(idle).Truncate(time.Second)), BeTemporally("<=", last.Add(idle+2*time.Second+lag()))))
		eventuallyStopped(ctx, agent, session, d)
		a := d.invoke(ctx, agent, session, ask{})
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.told.Calls).To(BeEquivalentTo(1))
	})

	It("is not stopped while a call is in flight, however long that lasts", func(ctx context.Context) {
		const idle = 3 * idle
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), idlesIn(idle)), id()
		long, begun := 2*idle, time.Now()
		a := d.invoke(ctx, agent, session, ask{Sleep: long.String()})
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
		last := sessionOf(ctx, agent, session).Status.LastTermination
		Expect(last.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(last.DueAt.Time).To(BeTemporally(">=", begun.Add(long+idle).Truncate(time.Second)))
	})

	It("is ended by its maximal lifetime in mid-call", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{MaxLifetime: 60}
		})
		a := d.invoke(ctx, agent, id(), ask{Sleep: "1m"})
		Expect(a.code).To(Equal(http.StatusFailedDependency), a.body)
	})

	// Calls that come at the very moment of the idle stop, through two gateways:
	// each either has its answer from the compute that was there, or from the next. On a
	// machine that is busy enough, a call comes again.
	It("is never stopped under a call that was let through", func(ctx context.Context) {
		doors := []*door{openDoor(waiting), openDoor(waiting)}
		agent := newRuntime(ctx, newNamespace(ctx), idlesIn(2*idle))
		var all sync.WaitGroup
		served := func(d *door, session string, do ask) {
			GinkgoHelper()
			Eventually(func() bool {
				return expectServed(ctx, agent, session, d.invoke(ctx, agent, session, do))
			}).WithTimeout(5 * time.Minute).Should(BeTrue())
		}
		for n := range 24 {
			all.Go(func() {
				defer GinkgoRecover()
				session := id()
				served(doors[n%2], session, ask{})
				for round := range 4 {
					off := time.Duration(n-12) * 25 * time.Millisecond
					for {
						status := sessionOf(ctx, agent, session).Status
						if status.NextStop != nil && status.NextStop.Reason == v1alpha1.StopIdleTimeout {
							time.Sleep(time.Until(status.NextStop.At.Add(off)))
							break
						}
						if status.State == v1alpha1.StateStopped {
							break
						}
						time.Sleep(50 * time.Millisecond)
					}
					served(doors[(n+round)%2], session, ask{Sleep: "200ms"})
				}
			})
		}
		all.Wait()
	})

	// Far from the stop a call is not written. Then the stop is announced, as soon as
	// may be: half a second before. A call counts if its gateway was in time, which the
	// order of what was written tells; the machine may be busy, and then there are more of
	// them. Not all come at once, so that it is not busy for all.
	It("is not stopped under such a call when its idle timeout is lowered", func(ctx context.Context) {
		const lowered = 2 * idle
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		lease := func(s *v1alpha1.AgentSession) time.Time {
			if s.Status.Traffic == nil || s.Status.Traffic.InUseUntil == nil {
				return time.Time{}
			}
			return s.Status.Traffic.InUseUntil.Time
		}
		inTime := func() bool {
			GinkgoHelper()
			session := id()
			if !expectServed(ctx, agent, session, d.invoke(ctx, agent, session, ask{})) {
				return false
			}
			time.Sleep(lowered)
			var before time.Time // of the first call, if that was slow
			Eventually(func() time.Time {
				before = lease(sessionOf(ctx, agent, session))
				return before
			}).Should(Satisfy(func(until time.Time) bool { return time.Now().After(until) }), "the first call leaves no lease that holds")
			begun := make(chan answer, 1)
			go func() {
				defer GinkgoRecover()
				begun <- d.invoke(ctx, agent, session, ask{Sleep: lowered.String()})
			}()
			time.Sleep(idle / 10) // on its way
			it := sessionOf(ctx, agent, session)
			base := it.DeepCopy()
			it.Spec.LifecycleConfiguration = idleTimeout(lowered)
			watch, err := plane.API.Watch(ctx, &v1alpha1.AgentSessionList{}, client.InNamespace(it.Namespace), client.MatchingFields{"metadata.name": it.Name})
			Expect(err).NotTo(HaveOccurred())
			defer watch.Stop()
			Expect(api.Patch(ctx, it, client.MergeFrom(base))).To(Succeed())
			written := false
			for event := range watch.ResultChan() {
				seen := event.Object.(*v1alpha1.AgentSession)
				if written = !lease(seen).IsZero() && !lease(seen).Equal(before); written || !lifecycle.Living(seen.Status.State) {
					break
				}
			}
			var a answer
			Eventually(begun).Should(Receive(&a))
			if !written || !expectServed(ctx, agent, session, a) {
				return false
			}
			Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
			Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
			return true
		}
		var all sync.WaitGroup
		var enough atomic.Int32
		for n := range 4 {
			all.Go(func() {
				defer GinkgoRecover()
				time.Sleep(time.Duration(n) * idle)
				Eventually(func() int32 {
					if inTime() {
						enough.Add(1)
					}
					return enough.Load()
				}).WithTimeout(5 * time.Minute).Should(BeNumerically(">=", 4))
			})
		}
		all.Wait()
	})

	It("costs few writes in constant use", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), idles), id()
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		writes, last := 0, ""
		begun := time.Now()
		for time.Since(begun) < 4*idle {
			Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
			if traffic := sessionOf(ctx, agent, session).Status.Traffic; traffic != nil && fmt.Sprint(traffic) != last {
				writes, last = writes+1, fmt.Sprint(traffic)
			}
			time.Sleep(idle / 60)
		}
		periods := float64(time.Since(begun)) / float64(idle)
		Expect(writes).To(And(BeNumerically(">", 0), BeNumerically("<=", 4*(periods+1))))
	})

	It("is one of as many as its runtime may have, however many calls come at once", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.MaxSessions = new(int32(3)) })
		var all sync.WaitGroup
		var served, refused atomic.Int32
		for range 30 {
			all.Go(func() {
				defer GinkgoRecover()
				switch d.invoke(ctx, agent, id(), ask{}).code {
				case http.StatusOK:
					served.Add(1)
				case http.StatusPaymentRequired:
					refused.Add(1)
				}
			})
		}
		all.Wait()
		Expect(served.Load()).To(BeEquivalentTo(3))
		Expect(refused.Load()).To(BeEquivalentTo(27))
	})

	It("is within that number for all who call it first", func(ctx context.Context) {
		d := openDoor(waiting, func(o *gateway.Options) { o.Client = slow{o.Client} }) // all have looked before the first has begun
		agent, session := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.MaxSessions = new(int32(1)) }), id()
		for _, a := range atOnce(ctx, 8, agent, session, d) {
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		eventuallyStopped(ctx, agent, session, d)
		for _, a := range atOnce(ctx, 8, agent, session, d) { // who wake it
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
	})

	It("that cannot start is left alone, and starts when it can and is called again", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.MaxSessions = new(int32(1))
			s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "LATER", Version: 2}}
		}), id()
		later := func() answer {
			GinkgoHelper()
			return send(d.request(ctx, path(agent, "invocations?qualifier=LATER"), session, ask{}))
		}
		a := later()
		Expect(a.code).To(Equal(http.StatusFailedDependency), a.body)
		Expect(a.failed.Message).To(ContainSubstring("RuntimeNotFound"))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
		first := id()
		Expect(d.invoke(ctx, agent, first, ask{}).code).To(Equal(http.StatusOK), "it does not count")
		Expect(d.stop(ctx, agent, first, "").code).To(Equal(http.StatusOK))
		eventuallyStopped(ctx, agent, first, d)

		base := agent.DeepCopy()
		agent.Spec.ProtocolConfiguration.Path = "/second"
		Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
		Eventually(func() int { return later().code }).Should(Equal(http.StatusOK))
		Expect(podsOf(ctx, agent)).To(HaveLen(1), "what was called in vain has not started by itself")
	})

	It("is refused when its runtime has as many as it may", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.MaxSessions = new(int32(1)) })
		first := id()
		Expect(d.invoke(ctx, agent, first, ask{}).code).To(Equal(http.StatusOK))
		a := d.invoke(ctx, agent, id(), ask{})
		Expect(a.code).To(Equal(http.StatusPaymentRequired))
		Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("ServiceQuotaExceededException"))
		Expect(d.stop(ctx, agent, first, "").code).To(Equal(http.StatusOK))
		Eventually(func() int { return d.invoke(ctx, agent, id(), ask{}).code }).Should(Equal(http.StatusOK))
	})

	It("goes with its runtime's version, and apart for each endpoint", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
			s.ProtocolConfiguration.Path = "/first"
		}), id()
		base := agent.DeepCopy()
		agent.Spec.ProtocolConfiguration.Path = "/second"
		Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
		Eventually(func() (int64, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.AgentRuntimeVersion, err
		}).Should(BeEquivalentTo(2))
		newest := d.invoke(ctx, agent, session, ask{})
		Expect(newest.told.Path).To(Equal("/second"))
		pinned := send(d.request(ctx, path(agent, "invocations?qualifier=PROD"), session, ask{}))
		Expect(pinned.code).To(Equal(http.StatusOK), pinned.body)
		Expect(pinned.told.Path).To(Equal("/first"))
		Expect(pinned.told.Pod).NotTo(Equal(newest.told.Pod))
		unknown := send(d.request(ctx, path(agent, "invocations?qualifier=TEST"), session, ask{}))
		Expect(unknown.code).To(Equal(http.StatusNotFound))
	})
})

// slow takes its time to create and to patch.
type slow struct{ client.Client }

const pause = time.Second / 2

func (s slow) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	time.Sleep(pause)
	return s.Client.Create(ctx, object, opts...)
}

func (s slow) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	time.Sleep(pause)
	return s.Client.Patch(ctx, object, patch, opts...)
}

var _ = Describe("An answer", func() {
	It("that is a stream arrives as it is made, and is no success if the agent dies", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), idles)
		streaming, leave := context.WithCancel(ctx)
		session := id()
		response, err := http.DefaultClient.Do(d.request(streaming, path(agent, "invocations"), session, ask{Chunks: 2, Sleep: "1h"}))
		Expect(err).NotTo(HaveOccurred())
		Expect(response.Header.Get("Content-Type")).To(Equal("text/event-stream"))
		line, err := bufio.NewReader(response.Body).ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		Expect(line).To(Equal("data: 0\n"), "the second comes in an hour")

		By("leaving, which ends the agent's work")
		leave()
		Eventually(plane.Gone).Should(Receive(Equal(session)))

		a := d.invoke(ctx, agent, id(), ask{Chunks: 2, Die: true})
		Expect(a.code).To(Equal(http.StatusOK))
		Expect(a.body).To(HavePrefix("data: 0"))
		Expect(a.err).To(HaveOccurred(), "the connection is cut")

		By("keeping neither session in use")
		for _, of := range []string{session, a.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")} {
			Eventually(stateOf(ctx, agent, of)).Should(Equal(v1alpha1.StateStopped))
			Expect(sessionOf(ctx, agent, of).Status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		}
	})

	It("that is an error is the agent's own, and says nothing of it", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		for _, code := range []int{http.StatusInternalServerError, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusFound} {
			a := d.invoke(ctx, agent, session, ask{Code: code})
			Expect(a.code).To(Equal(http.StatusFailedDependency))
			Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("RuntimeClientError"))
			Expect(a.failed.Message).To(MatchRegexp(`^Received error \(%d\) from runtime\.`, code))
			Expect(a.body).NotTo(ContainSubstring(echo.Secret))
		}
	})

	It("comes from an agent that learns nothing of the caller that it should not", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.RequestHeaderConfiguration = &v1alpha1.RequestHeaderConfiguration{RequestHeaderAllowlist: []string{"x-tenant", "x-hop", "Cookie"}}
		}), id()
		r := d.request(ctx, path(agent, "invocations"), session, ask{})
		for name, value := range map[string]string{
			"Authorization": "Bearer secret", "Cookie": "a=b", "X-Amz-Date": "now", "X-Amz-Security-Token": "secret", "X-Forwarded-For": "1.2.3.4",
			"X-Tenant": "blue", "X-Other": "red", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			"X-Amzn-Bedrock-AgentCore-Runtime-Custom-Colour": "green", "Content-Type": "application/octet-stream", "Connection": "x-hop", "X-Hop": "here",
		} {
			r.Header.Set(name, value)
		}
		a := send(r)
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		for _, name := range []string{"Authorization", "Cookie", "X-Amz-Date", "X-Amz-Security-Token", "X-Forwarded-For", "X-Other", "X-Hop"} {
			Expect(a.told.Header).NotTo(HaveKey(name))
		}
		Expect(a.told.Header).To(And(HaveKeyWithValue("X-Tenant", []string{"blue"}), HaveKey("Traceparent"),
			HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Custom-Colour", []string{"green"}),
			HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Session-Id", []string{session}),
			HaveKeyWithValue("Content-Type", []string{"application/json"})))
		Expect(a.header).NotTo(HaveKey("Set-Cookie"))
		Expect(a.told.Host).To(Equal(fmt.Sprint("localhost:", plane.Port)))

		By("an agent that says more than it should")
		early := d.invoke(ctx, agent, session, ask{Early: true})
		Expect(early.code).To(Equal(http.StatusOK))
		Expect(early.header).To(And(Not(HaveKey("X-Early")), Not(HaveKey("Trailer")),
			HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Session-Id", []string{session}), HaveKeyWithValue("X-Amzn-Requestid", HaveLen(1))))
	})

	It("may be a WebSocket, which keeps the session", func(ctx context.Context) {
		const idle = 3 * idle
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), idlesIn(idle)), id()
		url := "ws" + strings.TrimPrefix(d.url, "http") + path(agent, "ws")
		header := http.Header{"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": {session}, "Origin": {"https://elsewhere.example"}}
		socket, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: header})
		Expect(err).NotTo(HaveOccurred())
		defer socket.CloseNow()
		Expect(response.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")).To(Equal(session))
		hears := func(want string) {
			GinkgoHelper()
			_, message, err := socket.Read(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(message)).To(Equal(want))
		}
		hears(session)
		for until := time.Now().Add(2 * idle); time.Now().Before(until); time.Sleep(idle / 12) {
			Expect(socket.Write(ctx, websocket.MessageText, []byte("still here"))).To(Succeed())
			hears("still here")
		}

		By("a gateway that is to end, which lets it end first")
		ended := make(chan error, 1)
		go func() { ended <- d.shut() }()
		Eventually(func() error { return d.invoke(ctx, agent, session, ask{}).err }).Should(HaveOccurred(), "it takes no new calls")
		Expect(socket.Write(ctx, websocket.MessageText, []byte("still here"))).To(Succeed())
		hears("still here")
		Expect(ended).NotTo(Receive())
		Expect(socket.Close(websocket.StatusNormalClosure, "")).To(Succeed())
		Eventually(ended).Should(Receive(BeNil()))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
		Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))

		By("without asking for one")
		d = openDoor()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path(agent, "ws"), nil)
		Expect(err).NotTo(HaveOccurred())
		r.Header.Set("Upgrade", "h2c")
		Expect(send(r).code).To(Equal(http.StatusBadRequest))
	})

	It("is to exactly the payload that came", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		large := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
		a := d.invoke(ctx, agent, session, large)
		Expect(a.code).To(Equal(http.StatusOK))
		Expect(a.told.Payload).To(Equal(large))
	})
})

var _ = Describe("A call", func() {
	It("that breaks a rule is told which", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		for name, row := range map[string]struct {
			path, session, kind, says string
			code                      int
			field                     string
		}{
			"a short id":         {path(agent, "invocations"), strings.Repeat("s", 32), "ValidationException", "Value at 'runtimeSessionId' failed to satisfy constraint: Member must have length greater than or equal to 33", 400, "runtimeSessionId"},
			"a long id":          {path(agent, "invocations"), strings.Repeat("s", 257), "ValidationException", "Member must have length less than or equal to 256", 400, "runtimeSessionId"},
			"no id to stop":      {path(agent, "stopruntimesession"), "", "ValidationException", "Member must not be null", 400, "runtimeSessionId"},
			"an unknown runtime": {"/runtimes/arn%3Aaws%3Abedrock-agentcore%3Alocal%3A000000000000%3Aruntime%2Fnone-0123456789/invocations", id(), "ResourceNotFoundException", "No endpoint or agent found", 404, ""},
			"an unknown session": {path(agent, "stopruntimesession"), id(), "ResourceNotFoundException", "Session not found or already terminated", 404, ""},
			"no operation":       {path(agent, "fly"), id(), "UnknownOperationException", "no such operation", 404, ""},
			"escaped twice":      {strings.ReplaceAll(path(agent, "invocations"), "%", "%25"), id(), "ValidationException", "escaped once", 400, "agentRuntimeArn"},
		} {
			a := send(d.request(ctx, row.path, row.session, struct{}{}))
			Expect(a.code).To(Equal(row.code), name+": "+a.body)
			Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal(row.kind), name)
			Expect(a.failed.Message).To(ContainSubstring(row.says), name)
			if row.field != "" {
				Expect(a.failed.Reason).To(Equal("FieldValidationFailed"), name)
				Expect(a.failed.FieldList[0].Name).To(Equal(row.field), name)
			}
		}
		for _, length := range []int{33, 256} {
			Expect(d.invoke(ctx, agent, strings.Repeat("s", length), ask{}).code).To(Equal(http.StatusOK))
		}
		unnamed := d.invoke(ctx, agent, "", ask{})
		Expect(unnamed.code).To(Equal(http.StatusOK))
		Expect(unnamed.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")).To(HaveLen(36))
		byName := send(d.request(ctx, "/runtimes/"+agent.Namespace+"%2F"+agent.Name+"/invocations", id(), ask{}))
		Expect(byName.code).To(Equal(http.StatusOK), byName.body)
	})

	It("for the card of an A2A agent has it, in a session that many such calls share", func(ctx context.Context) {
		d, agent := openDoor(waiting), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.ProtocolConfiguration.ServerProtocol = v1alpha1.ProtocolA2A
		})
		for calls := range int64(2) {
			a := get(ctx, d, path(agent, "invocations/.well-known/agent-card.json"))
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Expect(a.told.Path).To(Equal("/.well-known/agent-card.json"))
			Expect(a.told.Calls).To(Equal(calls + 1))
		}
		Expect(send(d.request(ctx, path(agent, "invocations"), id(), ask{})).told.Path).To(Equal("/"))
	})

	It("that runs a command is told what is wrong with it", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		for says, body := range map[string]string{
			"between 1 and 65536": `{"command":""}`,
			"at 'command'":        `{"command":"` + strings.Repeat("x", 65537) + `"}`,
			"between 1 and 3600":  `{"command":"true","timeout":3601}`,
			"at 'timeout'":        `{"command":"true","timeout":0}`,
			"a JSON object":       `true`,
		} {
			a := send(d.request(ctx, path(agent, "commands"), id(), []byte(body)))
			Expect(a.code).To(Equal(http.StatusBadRequest))
			Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("ValidationException"))
			Expect(a.failed.Message).To(ContainSubstring(says))
		}
		Expect(podsOf(ctx, agent)).To(BeEmpty(), "none is started for it")
		session := id()
		a := send(d.request(ctx, path(agent, "commands"), session, []byte(`{"command":"true"}`)))
		Expect(a.code).To(Equal(http.StatusFailedDependency), "the stand-in node runs none")
		Expect(a.failed.Message).To(ContainSubstring("/bin/sh"))
		Expect(d.invoke(ctx, agent, session, ask{}).told.Calls).To(BeEquivalentTo(1), "it has started the session")
	})

	It("does not go to an agent that somebody put where the session belongs", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		theirs := sessionOf(ctx, agent, session)
		Expect(api.Delete(ctx, theirs)).To(Succeed())
		Eventually(func() error {
			return api.Create(ctx, &v1alpha1.AgentSession{
				ObjectMeta: metav1.ObjectMeta{Namespace: theirs.Namespace, Name: theirs.Name},
				Spec: v1alpha1.AgentSessionSpec{
					Template: agent.Spec.Template, Ping: v1alpha1.PingSpec{Port: plane.Port}, RuntimeSessionID: session,
				},
			})
		}).Should(Succeed())
		Eventually(func() string { return d.invoke(ctx, agent, session, ask{}).header.Get("X-Amzn-ErrorType") }).Should(Equal("ConflictException"))
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusNotFound))
	})

	It("is for those who have a key of its namespace", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent := newRuntime(ctx, namespace)
		for name, of := range map[string]string{"ours": namespace, "theirs": "other, another"} {
			Expect(api.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{authn.LabelAccessKey: ""}},
				StringData: map[string]string{"accessKeyId": "AK" + namespace + name, "secretAccessKey": "secret-" + name, "namespaces": of},
			})).To(Succeed())
		}
		d := openDoor(front.Authenticated)
		call := func(key, secret string) answer {
			r := d.request(ctx, path(agent, "invocations"), id(), ask{})
			if key != "" {
				Expect(caller.Sign(r, key, secret)).To(Succeed())
			}
			return send(r)
		}
		Expect(call("AK"+namespace+"ours", "secret-ours").code).To(Equal(http.StatusOK))
		for _, refused := range []answer{call("", ""), call("AKnobody", "secret-ours"), call("AK"+namespace+"ours", "wrong")} {
			Expect(refused.code).To(Equal(http.StatusForbidden))
			Expect(refused.header.Get("X-Amzn-ErrorType")).To(Equal("AccessDeniedException"))
			Expect(refused.body).NotTo(ContainSubstring("secret-"))
		}
		Expect(call("AK"+namespace+"theirs", "secret-theirs").code).To(Equal(http.StatusNotFound), "what one may not call is not there")
	})

	It("is for those who may create agentruntimes/invocations", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		d := openDoor(front.Authenticated)
		agent, other := newRuntime(ctx, namespace), newRuntime(ctx, namespace)
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "caller"}}
		role := &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "caller"},
			Rules: []rbacv1.PolicyRule{{
				APIGroups: []string{"runtime.agentsession.dev"}, Resources: []string{"agentruntimes/invocations"}, ResourceNames: []string{agent.Name}, Verbs: []string{"create"},
			}},
		}
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "caller"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account.Name}},
		}
		for _, object := range []client.Object{account, role, binding} {
			Expect(api.Create(ctx, object)).To(Succeed())
		}
		Eventually(func() bool { // as soon as the API server knows of it: what it denies stands for a while
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: "system:serviceaccount:" + namespace + ":" + account.Name,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Group: "runtime.agentsession.dev", Resource: "agentruntimes", Subresource: "invocations", Name: agent.Name, Verb: "create",
				},
			}}
			Expect(api.Create(ctx, review)).To(Succeed())
			return review.Status.Allowed
		}).Should(BeTrue())
		token := &authenticationv1.TokenRequest{}
		Expect(api.SubResource("token").Create(ctx, account, token)).To(Succeed())
		call := func(agent *v1alpha1.AgentRuntime, token string) answer {
			r := d.request(ctx, path(agent, "invocations"), id(), ask{})
			r.Header.Set("Authorization", "Bearer "+token)
			return send(r)
		}
		a := call(agent, token.Status.Token)
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.told.Header).NotTo(HaveKey("Authorization"))
		Expect(call(other, token.Status.Token).code).To(Equal(http.StatusNotFound))

		By("seeing the sessions only where one may")
		seen := func() []string {
			GinkgoHelper()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/sessions?namespace="+namespace, nil)
			Expect(err).NotTo(HaveOccurred())
			r.Header.Set("Authorization", "Bearer "+token.Status.Token)
			ids, _ := listed(send(r))
			return ids
		}
		Expect(seen()).To(BeEmpty())
		role.Rules = append(role.Rules, rbacv1.PolicyRule{
			APIGroups: []string{"runtime.agentsession.dev"}, Resources: []string{"agentruntimes/sessions"}, ResourceNames: []string{agent.Name}, Verbs: []string{"get"},
		})
		Expect(api.Update(ctx, role)).To(Succeed())
		Eventually(seen).Should(HaveLen(1), "what was denied stands for 10 s")
		stranger := call(agent, "a-token-of-nobody")
		Expect(stranger.code).To(Equal(http.StatusUnauthorized))
		Expect(stranger.header.Get("X-Amzn-ErrorType")).To(Equal("UnauthorizedException"))
		Expect(stranger.header.Get("WWW-Authenticate")).To(Equal("Bearer"))
	})
})
