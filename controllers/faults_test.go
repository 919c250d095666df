package controllers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

var errDied = errors.New("the operator died here")

// death is when an operator dies that lets some writes through: with the first that it does
// not, and every request fails from then on. Reading too, for a dead operator sees nothing.
type death struct{ left atomic.Int64 }

func dyingAfter(writes int64) func(*controllers.AgentSessionReconciler) {
	return func(r *controllers.AgentSessionReconciler) {
		d := &death{}
		d.left.Store(writes)
		r.Client, r.Live = dying{r.Client, dyingReader{r.Client, d}}, dyingReader{r.Live, d}
	}
}

func (d *death) write(do func() error) error {
	if d.left.Add(-1) < 0 {
		return errDied
	}
	return do()
}

func (d *death) read(do func() error) error {
	if d.left.Load() < 0 {
		return errDied
	}
	return do()
}

// dyingReader is what an operator that dies reads by: from the cache, or past it.
type dyingReader struct {
	client.Reader
	death *death
}

func (r dyingReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return r.death.read(func() error { return r.Reader.Get(ctx, key, object, opts...) })
}

func (r dyingReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return r.death.read(func() error { return r.Reader.List(ctx, list, opts...) })
}

// dying is the client of an operator that dies.
type dying struct {
	client.Client
	reader dyingReader
}

func (d dying) write(do func() error) error { return d.reader.death.write(do) }

func (d dying) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return d.reader.Get(ctx, key, object, opts...)
}

func (d dying) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return d.reader.List(ctx, list, opts...)
}

func (d dying) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	return d.write(func() error { return d.Client.Create(ctx, object, opts...) })
}

func (d dying) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	return d.write(func() error { return d.Client.Delete(ctx, object, opts...) })
}

func (d dying) DeleteAllOf(ctx context.Context, object client.Object, opts ...client.DeleteAllOfOption) error {
	return d.write(func() error { return d.Client.DeleteAllOf(ctx, object, opts...) })
}

func (d dying) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	return d.write(func() error { return d.Client.Update(ctx, object, opts...) })
}

func (d dying) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return d.write(func() error { return d.Client.Patch(ctx, object, patch, opts...) })
}

func (d dying) Apply(ctx context.Context, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	return d.write(func() error { return d.Client.Apply(ctx, object, opts...) })
}

func (d dying) Status() client.SubResourceWriter { return d.SubResource("status") }

func (d dying) SubResource(name string) client.SubResourceClient {
	return dyingSubResource{d.Client.SubResource(name), d.reader.death}
}

type dyingSubResource struct {
	client.SubResourceClient
	death *death
}

func (s dyingSubResource) Get(ctx context.Context, object, sub client.Object, opts ...client.SubResourceGetOption) error {
	return s.death.read(func() error { return s.SubResourceClient.Get(ctx, object, sub, opts...) })
}

func (s dyingSubResource) Create(ctx context.Context, object, sub client.Object, opts ...client.SubResourceCreateOption) error {
	return s.death.write(func() error { return s.SubResourceClient.Create(ctx, object, sub, opts...) })
}

func (s dyingSubResource) Update(ctx context.Context, object client.Object, opts ...client.SubResourceUpdateOption) error {
	return s.death.write(func() error { return s.SubResourceClient.Update(ctx, object, opts...) })
}

func (s dyingSubResource) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.death.write(func() error { return s.SubResourceClient.Patch(ctx, object, patch, opts...) })
}

func (s dyingSubResource) Apply(ctx context.Context, object runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	return s.death.write(func() error { return s.SubResourceClient.Apply(ctx, object, opts...) })
}

var _ = Describe("An operator that dies", func() {
	// A life is five writes and the last is the report of the stop; dying
	// before each of them in turn leaves every state in between behind.
	for writes := range int64(6) {
		It(fmt.Sprintf("after %d writes leaves nothing that the next cannot go on with", writes), func(ctx context.Context) {
			namespace := newNamespace(ctx)
			session := newSession(namespace, "left", neverIdle)
			Expect(api.Create(ctx, session)).To(Succeed())
			first := startOperator(namespace, dyingAfter(writes))
			if writes > 2 {
				eventuallyState(ctx, session, v1alpha1.StateIdle)
				patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
			}
			Eventually(func(g Gomega) { // it came as far as it could
				status, err := reading(ctx, session)()
				g.Expect(err).NotTo(HaveOccurred())
				pods := podsOf(ctx, session)
				switch writes {
				case 0:
					g.Expect(pods).To(BeEmpty())
				case 1:
					g.Expect(pods).To(HaveLen(1))
					g.Expect(status.State).To(BeEmpty())
				case 2:
					g.Expect(status.State).To(Equal(v1alpha1.StateStarting))
				case 3:
					g.Expect(status.State).To(Equal(v1alpha1.StateIdle))
				case 4:
					g.Expect(status.State).To(Equal(v1alpha1.StateStopping))
					g.Expect(pods).To(ConsistOf(HaveField("DeletionTimestamp", BeNil())))
				case 5:
					g.Expect(status.State).To(Equal(v1alpha1.StateStopping))
					g.Expect(pods).To(BeEmpty())
				}
			}).Should(Succeed())
			first.end()
			var uid string
			if pods := podsOf(ctx, session); len(pods) == 1 {
				uid = string(pods[0].UID)
			}

			startOperator(namespace)
			if writes <= 2 {
				status := eventuallyState(ctx, session, v1alpha1.StateIdle)
				Expect(status.Activation).To(BeEquivalentTo(1))
				Expect(podsOf(ctx, session)).To(HaveLen(1))
				if uid != "" {
					Expect(status.Pod.UID).To(BeEquivalentTo(uid), "the pod that was there is taken over")
				}
				patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
			}
			status := eventuallyState(ctx, session, v1alpha1.StateStopped)
			Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
			Expect(status.Activation).To(BeEquivalentTo(1))
			Expect(podsOf(ctx, session)).To(BeEmpty())
		})
	}

	It("loses no pod that it created without saying so, even if the session is to be stopped meanwhile", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		session := newSession(namespace, "orphan")
		Expect(api.Create(ctx, session)).To(Succeed())
		first := startOperator(namespace, dyingAfter(1))
		Eventually(func() []corev1.Pod { return podsOf(ctx, session) }).Should(HaveLen(1))
		first.end()
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		startOperator(namespace)
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
		Expect(podsOf(ctx, session)).To(BeEmpty())
	})

	It("resets no clock and writes nothing when it comes back", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		worker := newSession(namespace, "worker", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration.MaxLifetime = 500 })
		fromItsFirstMoment(namespace, worker.Name, busy)
		idle := newSession(namespace, "idle", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration.IdleRuntimeSessionTimeout = 400 })
		overdue := newSession(namespace, "overdue", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration.IdleRuntimeSessionTimeout = 160 })
		for _, s := range []*v1alpha1.AgentSession{worker, idle, overdue} {
			Expect(api.Create(ctx, s)).To(Succeed())
		}
		first := startOperator(namespace)
		eventuallyState(ctx, worker, v1alpha1.StateActive)
		before := eventuallyState(ctx, idle, v1alpha1.StateIdle)
		due := eventuallyState(ctx, overdue, v1alpha1.StateIdle).NextStop.At.Time
		versions := []string{worker.ResourceVersion, idle.ResourceVersion}
		first.end()
		Eventually(time.Now).Should(BeTemporally(">", due), "it is due while nobody looks")
		Expect(reading(ctx, overdue)()).To(HaveField("State", v1alpha1.StateIdle))

		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.LastLeader = func() time.Time { return due.Add(-time.Second) }
		})
		Expect(eventuallyState(ctx, overdue, v1alpha1.StateStopped).LastTermination.DueAt.Time).To(BeTemporally("==", due))
		Expect(reading(ctx, idle)()).To(HaveField("NextStop", Equal(before.NextStop)))
		_, err := reading(ctx, worker)()
		Expect(err).NotTo(HaveOccurred())
		Expect([]string{worker.ResourceVersion, idle.ResourceVersion}).To(Equal(versions))

		Expect(eventuallyState(ctx, idle, v1alpha1.StateStopped).LastTermination.DueAt.Time).To(BeTemporally("==", before.NextStop.At.Time))
		status := eventuallyState(ctx, worker, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopMaxLifetime))
		for _, s := range []*v1alpha1.AgentSession{worker, idle, overdue} {
			Expect(eventuallyTold(ctx, s)).To(HaveLen(1))
		}
	})
})

var _ = Describe("A task that was forgotten", func() {
	It("is reported once, whether the agent goes on telling or not, and over a restart", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		first := startOperator(namespace)
		session := newSession(namespace, "forgotten", func(s *v1alpha1.AgentSession) {
			s.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 28800}
		})
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			busy(agent)
			agent.Tell(telling("chore", 9*time.Second, new(4*time.Second)))
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		agent := agentOf(ctx, session)
		reason := func() string {
			_, _ = reading(ctx, session)()
			return reasonOf(session, v1alpha1.ConditionStuck)
		}
		Eventually(reason).Should(Equal(v1alpha1.ReasonTaskForgotten))
		Expect(stuckMessage(session)).To(ContainSubstring(`task "chore", begun`))
		version := session.ResourceVersion
		// Whatever the first answer leads to has been done before the second question.
		askedTwice := func() {
			Eventually(agent.Asked).Should(BeNumerically(">=", agent.Asked()+2))
			_, err := reading(ctx, session)()
			Expect(err).NotTo(HaveOccurred())
			Expect(session.ResourceVersion).To(Equal(version))
		}
		By("telling the same again")
		askedTwice()
		By("telling no more")
		agent.Tell(nil)
		askedTwice()
		By("another operator, which knows only what status says")
		first.end()
		startOperator(namespace)
		askedTwice()
		By("completing the task")
		agent.Tell(func() contract.Tasks { return contract.Tasks{} })
		Eventually(reason).Should(Equal(v1alpha1.ReasonNotStuck))
		Expect(session.Status.State).To(Equal(v1alpha1.StateActive))
	})
})

var _ = Describe("A compute that cannot be had", Ordered, func() {
	var namespace string
	BeforeAll(func(ctx context.Context) {
		namespace = newNamespace(ctx, "pod-security.kubernetes.io/enforce", "restricted")
		startOperator(namespace)
	})

	It("is reported when the API server refuses the pod, and had as soon as it does not", func(ctx context.Context) {
		session := newSession(namespace, "refused")
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(func() string {
			_, _ = reading(ctx, session)()
			return reasonOf(session, v1alpha1.ConditionReady)
		}).Should(Equal(v1alpha1.ReasonPodRefused))
		Expect(session.Status.State).To(Equal(v1alpha1.StateStarting))
		Expect(meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("violates PodSecurity"))

		By("giving it up, which says why nobody could have it, and taking that back")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopStartFailed),
			HaveField("Message", MatchRegexp(`^PodRefused: The API server refused the pod: .*violates PodSecurity.* \(given up: spec.desiredState is Stopped\)$`))))
		Expect(status.History[0].From).To(BeNil(), "it never had a pod")
		Expect(meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).Message).To(And(
			ContainSubstring("violates PodSecurity"), HaveSuffix("Set spec.desiredState to Running to start it.")))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredRunning })
		eventually(ctx, session, And(HaveField("Activation", BeEquivalentTo(2)), because(v1alpha1.ConditionReady, v1alpha1.ReasonPodRefused)))

		By("lifting the level, of which no event tells the operator")
		var ns corev1.Namespace
		Expect(api.Get(ctx, client.ObjectKey{Name: namespace}, &ns)).To(Succeed())
		base := ns.DeepCopy()
		delete(ns.Labels, "pod-security.kubernetes.io/enforce")
		Expect(api.Patch(ctx, &ns, client.MergeFrom(base))).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(session.Status.Activation).To(BeEquivalentTo(2))
	})

	It("is not taken from somebody else", func(ctx context.Context) {
		foreign := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "taken-1", Labels: map[string]string{v1alpha1.LabelSession: "taken", v1alpha1.LabelActivation: "1"},
		}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}}}
		Expect(api.Create(ctx, foreign)).To(Succeed())
		session := newSession(namespace, "taken")
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(func() string {
			_, _ = reading(ctx, session)()
			return reasonOf(session, v1alpha1.ConditionReady)
		}).Should(Equal(v1alpha1.ReasonPodNameTaken))
		Expect(session.Status.Pod).To(BeNil())

		By("stopping it, which leaves the other pod alone")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(api.Get(ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
		Expect(foreign.DeletionTimestamp).To(BeNil())
	})

	It("is kept when somebody takes our label off its pod", func(ctx context.Context) {
		session := newSession(namespace, "stripped", neverIdle)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		var pod corev1.Pod
		Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
		base := pod.DeepCopy()
		pod.Labels = nil
		Expect(api.Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
		Consistently(reading(ctx, session)).WithTimeout(time.Second).Should(HaveField("State", v1alpha1.StateIdle))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
	})

	It("is not asked at an address that is no pod's", func(ctx context.Context) {
		session := newSession(namespace, "metadata", func(s *v1alpha1.AgentSession) {
			s.Spec.Template.Annotations = map[string]string{"pending": "yes"}
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateStarting)
		pretendToBeMetadata(ctx, session)
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopStartTimeout), HaveField("Message", ContainSubstring("it was not asked: the pod's address 169.254.169.254 is"))))
	})

	It("is nobody's to call when its pod's address changes to such a one", func(ctx context.Context) {
		session := newSession(namespace, "moved", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration = nil })
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(session.Status.Pod.IP).NotTo(BeEmpty())
		pretendToBeMetadata(ctx, session)
		Expect(session.Status.Pod.IP).To(BeEmpty())
		Expect(lifecycle.PhaseOf(session)).NotTo(Equal(lifecycle.PhaseReady))
	})
})

// pretendToBeMetadata gives a session's pod the address of a cloud's metadata, and
// waits until the session says what is made of that.
func pretendToBeMetadata(ctx context.Context, session *v1alpha1.AgentSession) {
	GinkgoHelper()
	var pod corev1.Pod
	Expect(api.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
	base := pod.DeepCopy()
	pod.Status.PodIP, pod.Status.PodIPs = "169.254.169.254", []corev1.PodIP{{IP: "169.254.169.254"}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "agent", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
	Expect(api.Status().Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
	eventually(ctx, session, because(v1alpha1.ConditionReady, v1alpha1.ReasonAddressRefused))
}

// counting is the client of an operator whose reports are counted.
type counting struct {
	client.Client
	reports *atomic.Int64
}

func countingReports(reports *atomic.Int64) func(*controllers.AgentSessionReconciler) {
	return func(r *controllers.AgentSessionReconciler) { r.Client = counting{r.Client, reports} }
}

func (c counting) Status() client.SubResourceWriter {
	return countingStatus{c.Client.Status(), c.reports}
}

type countingStatus struct {
	client.SubResourceWriter
	reports *atomic.Int64
}

func (s countingStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	s.reports.Add(1)
	return s.SubResourceWriter.Patch(ctx, object, patch, opts...)
}

// listening is the client of an operator whose reports are kept as they are sent.
type listening struct {
	client.Client
	sent func(map[string]any)
}

func (l listening) Status() client.SubResourceWriter {
	return listeningStatus{l.Client.Status(), l.sent}
}

type listeningStatus struct {
	client.SubResourceWriter
	sent func(map[string]any)
}

func (s listeningStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	defer GinkgoRecover()
	raw, err := patch.Data(object)
	Expect(err).NotTo(HaveOccurred())
	var body map[string]any
	Expect(json.Unmarshal(raw, &body)).To(Succeed())
	s.sent(body)
	return s.SubResourceWriter.Patch(ctx, object, patch, opts...)
}

var _ = Describe("A report of a runtime's session", func() {
	It("says nothing of its spec: the one that is in force is the runtime's too", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		bodies := make(chan map[string]any, 100)
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Client = listening{r.Client, func(body map[string]any) { bodies <- body }}
		})
		agent := newRuntime(namespace, "reports", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		session := sessionOf(agent, "reports-session")
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(*status.LifecycleConfiguration).To(Equal(*agent.Spec.LifecycleConfiguration), "which are not the session's own")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopped)

		for range 3 { // of its start, and the two of its stop
			var body map[string]any
			Eventually(bodies).Should(Receive(&body))
			Expect(body).To(HaveKey("status"))
			Expect(body).NotTo(HaveKey("spec"))
		}
	})
})

var _ = Describe("A flapping agent", func() {
	It("costs few writes, also after a restart, and is stopped in time", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		var reports, again, n atomic.Int64
		first := startOperator(namespace, countingReports(&reports))
		session := newSession(namespace, "flapping", neverIdle)
		Expect(api.Create(ctx, session)).To(Succeed())
		agent := agentOf(ctx, session)
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		agent.Answer(func() (int, string) {
			status := contract.Healthy
			if n.Add(1)%2 == 0 {
				status = contract.HealthyBusy
			}
			ping := contract.Ping{Status: status, UpdatedAt: time.Now(), Stamp: contract.StampSeconds}
			return 200, string(ping.AppendJSON(nil))
		})
		// most is what is written at once, and one more in each nine seconds.
		most := func(atOnce int64, since time.Time) int64 {
			return atOnce + 1 + int64(time.Since(since)/(3*time.Minute/scale))
		}
		began, before := time.Now(), reports.Load()
		Eventually(readyOf(ctx, session)).Should(And(HaveField("Status", metav1.ConditionTrue), HaveField("Reason", v1alpha1.ReasonFlapping)))
		flaps := n.Load()
		Eventually(n.Load).Should(BeNumerically(">", flaps+50))
		Expect(reports.Load()-before).To(BeNumerically("<=", most(20, began)), "%d changes", n.Load())

		By("another operator")
		first.end()
		begun := n.Load()
		began = time.Now()
		startOperator(namespace, countingReports(&again))
		Eventually(n.Load).Should(BeNumerically(">", begun+50))
		Expect(again.Load()).To(BeNumerically("<=", most(0, began)), "50 changes")

		By("being idle")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
		})
		said := time.Now()
		agent.Say(contract.Healthy)
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(And(HaveField("Reason", v1alpha1.StopIdleTimeout),
			HaveField("DueAt.Time", BeTemporally("<=", said.Add(60*time.Second/scale+time.Second+2*canary())))))
	})
})

var _ = Describe("Agents that are silent at once", func() {
	It("are not stopped for it, and their sessions say so", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		agents, sessions := make([]*node.Agent, 10), make([]*v1alpha1.AgentSession, 10)
		for i := range sessions {
			sessions[i] = newSession(namespace, fmt.Sprintf("silent-%d", i), func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration = nil })
			Expect(api.Create(ctx, sessions[i])).To(Succeed())
		}
		for i, session := range sessions {
			agents[i] = agentOf(ctx, session)
			eventuallyState(ctx, session, v1alpha1.StateIdle)
		}
		for _, agent := range agents {
			agent.Hang()
		}
		for _, session := range sessions {
			Eventually(readyOf(ctx, session)).Should(And(
				HaveField("Reason", v1alpha1.ReasonMassFailure), HaveField("Status", metav1.ConditionFalse)))
		}
		for _, agent := range agents[1:] {
			agent.Resume()
		}
		for _, session := range sessions[1:] {
			Eventually(readyOf(ctx, session)).Should(HaveField("Status", metav1.ConditionTrue))
			Expect(session.Status.State).To(Equal(v1alpha1.StateIdle))
		}
		Expect(eventuallyState(ctx, sessions[0], v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopUnhealthy))
	})
})

var _ = Describe("A session that no typed client can read", Serial, func() {
	It("says so, and harms no other", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		By("an older schema, which did not bound the ports")
		port := "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/template/properties/spec/properties/containers/items/properties/ports/items/properties/containerPort"
		crd := &unstructured.Unstructured{}
		crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		crd.SetName("agentsessions.runtime.agentsession.dev")
		become := func(ctx context.Context, schema string) {
			GinkgoHelper()
			patch := fmt.Sprintf(`[{"op": "replace", "path": %q, "value": %s}]`, port, schema)
			Expect(api.Patch(ctx, crd, client.RawPatch(types.JSONPatchType, []byte(patch)))).To(Succeed())
		}
		become(ctx, `{"type": "integer"}`)
		DeferCleanup(func(ctx context.Context) {
			become(ctx, `{"type": "integer", "format": "int32", "minimum": -2147483647, "maximum": 2147483647}`)
		})
		odd := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"name": "agent", "image": "agent", "ports": []any{map[string]any{"containerPort": int64(3_000_000_000)}}}},
		}}}}}
		odd.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSession"))
		odd.SetNamespace(namespace)
		odd.SetName("odd")
		Eventually(func() error { return api.Create(ctx, odd) }).Should(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, odd)).To(Succeed()) })

		startOperator(namespace)
		fine := newSession(namespace, "fine")
		Expect(api.Create(ctx, fine)).To(Succeed())
		eventuallyState(ctx, fine, v1alpha1.StateIdle)
		session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "odd"}}
		Eventually(readyOf(ctx, session)).Should(And(
			HaveField("Reason", v1alpha1.ReasonUnreadable), HaveField("Message", ContainSubstring("int32"))))
		var pod corev1.Pod
		Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "odd-1"}, &pod)).To(Satisfy(apierrors.IsNotFound))
	})
})
