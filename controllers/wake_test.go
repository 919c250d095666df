package controllers_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// deaf has the pods of a session not go when they are told to, and not time out.
func deaf(grace int64) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) {
		s.Spec.LifecycleConfiguration = nil
		s.Spec.Template.Annotations = map[string]string{node.Deaf: "yes"}
		s.Spec.Template.Spec.TerminationGracePeriodSeconds = &grace
	}
}

// withVolume has them use one that no two pods may use at once.
func withVolume(s *v1alpha1.AgentSession) {
	s.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "work", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "work"},
	}}}
}

// podNamed reads a pod; it may be gone.
func podNamed(ctx context.Context, namespace, name string) func() (*corev1.Pod, error) {
	return func() (*corev1.Pod, error) {
		pod := &corev1.Pod{}
		return pod, api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod)
	}
}

func gone(ctx context.Context, namespace, name string) func() bool {
	return func() bool {
		_, err := podNamed(ctx, namespace, name)()
		return apierrors.IsNotFound(err)
	}
}

// bury has a pod be gone.
func bury(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
}

// preferOthersThan is a pod that is to run on another node, if there is one.
func preferOthersThan(node string) types.GomegaMatcher {
	return HaveField("Spec.Affinity", HaveValue(HaveField("NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution", HaveExactElements(corev1.PreferredSchedulingTerm{
		Weight: 100, Preference: corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "NotIn", Values: []string{node}}}},
	}))))
}

// running starts a session, and returns its agent.
func running(ctx context.Context, session *v1alpha1.AgentSession) *node.Agent {
	GinkgoHelper()
	Expect(api.Create(ctx, session)).To(Succeed())
	eventuallyState(ctx, session, v1alpha1.StateIdle)
	return agentOf(ctx, session)
}

// inUse is a session with a call in flight, as a gateway writes it.
func inUse(ctx context.Context, session *v1alpha1.AgentSession) {
	GinkgoHelper()
	base := session.DeepCopy()
	session.Status.Traffic = &v1alpha1.Traffic{InUseUntil: new(metav1.NewMicroTime(time.Now().Add(time.Hour)))}
	Expect(api.Status().Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
	eventuallyState(ctx, session, v1alpha1.StateActive)
}

var _ = Describe("A session whose last pod is still ending", func() {
	var namespace string
	var first *operator
	BeforeEach(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		first = startOperator(namespace)
	})
	wakes := func(ctx context.Context, session *v1alpha1.AgentSession) {
		GinkgoHelper()
		Eventually(reading(ctx, session)).Should(And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
	}
	readyMessage := func(session *v1alpha1.AgentSession) string {
		return meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady).Message
	}

	It("is woken beside it, and asks it no more", func(ctx context.Context) {
		session := newSession(namespace, "beside", deaf(3600))
		old := running(ctx, session)
		pod := session.Status.Pod
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		wakes(ctx, session)
		pings := old.Pings()
		Expect(session.Status.Pod.Name).To(Equal("beside-2"))
		Expect(session.Status.HealthyAt.Time).NotTo(BeTemporally("<", session.Status.Pod.CreatedAt.Time))
		Expect(session.Status.Pod.IP).NotTo(Equal(pod.IP))
		Expect(agentOf(ctx, session)).NotTo(BeIdenticalTo(old))
		Expect(session.Status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopRequested), HaveField("Activation", BeEquivalentTo(1)),
			HaveField("At", Not(BeNil())), HaveField("Message", "spec.activation asks for activation 2")))
		Expect(session.Status.History).To(HaveExactElements(And(HaveField("Activation", BeEquivalentTo(1)), HaveField("From", HaveValue(Equal(pod.CreatedAt))))))
		Expect(podNamed(ctx, namespace, pod.Name)()).To(And(HaveField("UID", pod.UID), HaveField("DeletionTimestamp", Not(BeNil()))))

		By("another operator, which finds both, and has nothing to say")
		version := session.ResourceVersion
		first.end()
		startOperator(namespace)
		asked := agentOf(ctx, session).Pings()
		Eventually(agentOf(ctx, session).Pings).Should(BeNumerically(">", asked+3))
		Expect(old.Pings()).To(Equal(pings), "nobody asks what was told to go")
		By("its end, of which nobody has anything to say either")
		bury(ctx, namespace, pod.Name)
		Eventually(gone(ctx, namespace, pod.Name)).Should(BeTrue())
		asked = agentOf(ctx, session).Pings()
		Eventually(agentOf(ctx, session).Pings).Should(BeNumerically(">", asked+3))
		Expect(reading(ctx, session)()).To(HaveField("State", v1alpha1.StateIdle))
		Expect(session.ResourceVersion).To(Equal(version))

		By("the end of the next one: each stop is told of once")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopping)
		Eventually(podNamed(ctx, namespace, "beside-2")).Should(HaveField("DeletionTimestamp", Not(BeNil())))
		bury(ctx, namespace, "beside-2")
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).History).To(HaveLen(2))
		Expect(eventuallyTold(ctx, session)).To(ConsistOf("StopRequested", "StopRequested"))
	})

	It("is woken beside it when the stop is taken back", func(ctx context.Context) {
		session := newSession(namespace, "back", deaf(3600))
		running(ctx, session)
		inUse(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopping)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredRunning })
		wakes(ctx, session)
		Expect(podsOf(ctx, session)).To(HaveLen(2))
		Expect(session.Status.Traffic.InUseUntil).To(BeNil(), "what was in flight was the last one's")
		Expect(session.Status.History).To(HaveLen(1))
	})

	It("starts as any other beside it, whatever the last one was", func(ctx context.Context) {
		session := newSession(namespace, "fresh", deaf(3600))
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation, s.Template.Annotations["pending"] = 2, "yes" })
		Eventually(reading(ctx, session)).Should(HaveField("Activation", BeEquivalentTo(2)))
		Expect(session.Status).To(And(HaveField("State", v1alpha1.StateStarting), HaveField("HealthyAt", BeNil()), HaveField("PingStatus", ""),
			HaveField("Pod.IP", ""), HaveField("Usage", BeNil()), HaveField("NextStop.Reason", v1alpha1.StopStartFailed)))
	})

	It("waits for it where both would use one volume, and says so", func(ctx context.Context) {
		session := newSession(namespace, "volume", deaf(3600), withVolume)
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		Eventually(func() string { _, _ = reading(ctx, session)(); return readyMessage(session) }).Should(Equal(
			`The compute is being taken away. The next one waits: The pod volume-1 (node stand-in) has not gone yet, and no other may use its volume "work" beside it.`))
		Expect(session.Status.State).To(Equal(v1alpha1.StateStopping))
		Expect(podsOf(ctx, session)).To(HaveLen(1))
		bury(ctx, namespace, "volume-1")
		wakes(ctx, session)
	})

	It("is stopped when it has not gone some time after its grace, and woken beside it", func(ctx context.Context) {
		session := newSession(namespace, "lost", deaf(1))
		old := running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopRequested),
			HaveField("Message", "spec.desiredState is Stopped. The pod lost-1 (node stand-in) is still there")))
		Expect(podNamed(ctx, namespace, "lost-1")()).To(HaveField("DeletionTimestamp.Time", BeTemporally("<=", status.LastTermination.At.Add(-9*time.Second))), "10 s, in whole seconds, whatever the scale")
		Expect(status.History).To(HaveExactElements(HaveField("Message", status.LastTermination.Message)))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredRunning })
		wakes(ctx, session)
		Expect(podNamed(ctx, namespace, "lost-2")()).To(preferOthersThan("stand-in"), "whose kubelet may be dead")
		pings := old.Pings()
		asked := agentOf(ctx, session).Pings()
		Eventually(agentOf(ctx, session).Pings).Should(BeNumerically(">", asked+3))
		Expect(old.Pings()).To(Equal(pings))
		Expect(session.Status.History).To(HaveLen(1))
	})

	It("is stopped when it is lost, and not woken beside its volume", func(ctx context.Context) {
		session := newSession(namespace, "held", deaf(1), withVolume)
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		eventuallyState(ctx, session, v1alpha1.StateStopped)
		Eventually(func() string { _, _ = reading(ctx, session)(); return readyMessage(session) }).Should(HavePrefix("The session has no compute. The next one waits: The pod held-1 "))
		bury(ctx, namespace, "held-1")
		wakes(ctx, session)
	})

	It("is not refused for a quota that counts it", func(ctx context.Context) {
		other := newNamespace(ctx)
		startOperator(other, func(r *controllers.AgentSessionReconciler) { r.Client = onePod{r.Client} })
		session := newSession(other, "quota", deaf(3600))
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		Eventually(reading(ctx, session)).Should(HaveField("Activation", BeEquivalentTo(2)))
		Expect(session.Status.Pod).To(BeNil())
		Expect(reasonOf(session, v1alpha1.ConditionReady)).To(Equal("Starting"))
		Expect(readyMessage(session)).To(ContainSubstring("The pod quota-1 (node stand-in) has not gone yet. The API server refused the pod"))
		bury(ctx, other, "quota-1")
		wakes(ctx, session)
	})
})

// onePod is a client of a namespace that may have one pod.
type onePod struct{ client.Client }

func (c onePod) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if pod, is := object.(*corev1.Pod); is {
		var pods corev1.PodList
		if err := api.List(ctx, &pods, client.InNamespace(pod.Namespace)); err != nil || len(pods.Items) > 0 {
			return apierrors.NewForbidden(corev1.Resource("pods"), pod.Name, errors.New("exceeded quota"))
		}
	}
	return c.Client.Create(ctx, object, opts...)
}

// unseen is a client whose cache shows no sessions yet.
type unseen struct {
	client.Client
	asked *atomic.Int64
}

func (c unseen) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if _, is := object.(*v1alpha1.AgentSession); is {
		c.asked.Add(1)
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("agentsessions").GroupResource(), key.Name)
	}
	return c.Client.Get(ctx, key, object, opts...)
}

var _ = Describe("A node that is gone", func() {
	// What Kubernetes' node controller writes when it has heard nothing of a node.
	silence := func(ctx context.Context, session *v1alpha1.AgentSession) {
		GinkgoHelper()
		pod, err := podNamed(ctx, session.Namespace, session.Status.Pod.Name)()
		Expect(err).NotTo(HaveOccurred())
		base := pod.DeepCopy()
		for i := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
				c.Status, c.LastTransitionTime = corev1.ConditionFalse, metav1.Now()
			}
		}
		Expect(api.Status().Patch(ctx, pod, client.MergeFrom(base))).To(Succeed())
	}
	It("ends its sessions with calls in flight, and does not wait for their pods to go", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "dead", deaf(3600))
		agent := running(ctx, session)
		inUse(ctx, session)
		agent.Hang()
		asked := agent.Pings()
		Eventually(agent.Pings).Should(BeNumerically(">", asked+2*15))
		Expect(reading(ctx, session)()).To(HaveField("State", v1alpha1.StateActive), "an agent may be silent in a call")
		silence(ctx, session)
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopUnhealthy),
			HaveField("Message", And(ContainSubstring("the API server hears nothing of the agent's node"), HaveSuffix("The pod dead-1 (node stand-in) is still there")))))
		Expect(podNamed(ctx, namespace, "dead-1")()).To(HaveField("DeletionTimestamp", Not(BeNil())))
		By("waking it, preferably elsewhere")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		Eventually(reading(ctx, session)).Should(HaveField("State", v1alpha1.StateIdle))
		Expect(podNamed(ctx, namespace, "dead-2")()).To(preferOthersThan("stand-in"))
	})

	It("ends a start of whose pod its kubelet has said nothing for a minute, and the next is made elsewhere", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "untaken", deaf(3600), func(s *v1alpha1.AgentSession) {
			s.Spec.ProvisioningTimeoutSeconds, s.Spec.Template.Annotations["pending"] = 3600, "yes"
		})
		reports := reportsOn(session)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventually(ctx, session, And(HaveField("State", v1alpha1.StateStarting), HaveField("Pod", Not(BeNil()))))
		var pod *corev1.Pod
		Eventually(func() (_ string, err error) {
			pod, err = podNamed(ctx, namespace, "untaken-1")()
			return pod.Spec.NodeName, err
		}).ShouldNot(BeEmpty())
		base := pod.DeepCopy()
		assigned := pod.Status.Conditions[slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })]
		assigned.LastTransitionTime = metav1.NewTime(time.Now().Add(-time.Minute).Truncate(time.Second))
		pod.Status.Conditions = []corev1.PodCondition{assigned}
		Expect(api.Status().Patch(ctx, pod, client.MergeFrom(base))).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateStopping)
		Expect(session.Status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopComputeLost),
			HaveField("DueAt.Time", BeTemporally("==", assigned.LastTransitionTime.Add(time.Minute))),
			HaveField("Message", "The pod untaken-1 (node stand-in) was assigned to its node, and for 1m0s the node's kubelet has said nothing of it: the node may be dead")))
		Expect(reports()).To(Equal([]v1alpha1.SessionState{v1alpha1.StateStarting, v1alpha1.StateStopping}), "no word before")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2; delete(s.Template.Annotations, "pending") })
		Eventually(reading(ctx, session)).Should(HaveField("State", v1alpha1.StateIdle))
		Expect(podNamed(ctx, namespace, "untaken-2")()).To(preferOthersThan("stand-in"))
	})

	It("ends no session whose agent answers", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "alive", deaf(3600))
		agent := running(ctx, session)
		silence(ctx, session)
		asked := agent.Pings()
		Eventually(agent.Pings).Should(BeNumerically(">", asked+2*15))
		Expect(reading(ctx, session)()).To(HaveField("State", v1alpha1.StateIdle))
	})
})

var _ = Describe("A drain", func() {
	It("ends a session by an eviction, and a PodDisruptionBudget keeps it from that", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "drained", deaf(3600)) // else the pod may be gone before the operator sees that it goes
		running(ctx, session)
		pod, err := podNamed(ctx, namespace, "drained-1")()
		Expect(err).NotTo(HaveOccurred())
		budget := &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sessions"},
			Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(0)), Selector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: v1alpha1.LabelSession, Operator: metav1.LabelSelectorOpExists}},
			}},
		}
		Expect(api.Create(ctx, budget)).To(Succeed())
		budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: budget.Generation} // as the disruption controller, which is not there
		Expect(api.Status().Update(ctx, budget)).To(Succeed())
		evict := func() error { return api.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{}) }
		Expect(apierrors.IsTooManyRequests(evict())).To(BeTrue())
		Expect(reading(ctx, session)()).To(HaveField("State", v1alpha1.StateIdle))

		By("its own stops, which the budget does not keep")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		Eventually(reading(ctx, session)).Should(And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))

		By("the end of the budget")
		Expect(api.Delete(ctx, budget)).To(Succeed())
		pod, err = podNamed(ctx, namespace, "drained-2")()
		Expect(err).NotTo(HaveOccurred())
		Eventually(evict).Should(Succeed())
		bury(ctx, namespace, "drained-1")
		eventuallyState(ctx, session, v1alpha1.StateStopping)
		bury(ctx, namespace, "drained-2")
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(And(HaveField("Reason", v1alpha1.StopComputeLost),
			HaveField("Message", HavePrefix("Somebody else deletes the pod (EvictionByEvictionAPI"))))
	})
})

var _ = Describe("A pod that is left", func() {
	var namespace string
	BeforeEach(func(ctx context.Context) { namespace = newNamespace(ctx) })
	// left makes a pod as an operator would for an activation.
	left := func(ctx context.Context, session *v1alpha1.AgentSession, activation string) {
		GinkgoHelper()
		Expect(api.Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: session.Name + "-" + activation,
				Labels:          map[string]string{v1alpha1.LabelSession: session.Name, v1alpha1.LabelActivation: activation},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("AgentSession"))},
			},
			Spec: session.Spec.Template.Spec,
		})).To(Succeed())
	}

	It("by an operator whose report was refused, since a higher activation was asked for, is removed", func(ctx context.Context) {
		session := newSession(namespace, "left", func(s *v1alpha1.AgentSession) { s.Spec.Activation, s.Spec.LifecycleConfiguration = 2, nil })
		Expect(api.Create(ctx, session)).To(Succeed())
		startOperator(namespace)
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		left(ctx, session, "1")
		left(ctx, session, "3") // it may be that the session is not known yet as it is
		Eventually(gone(ctx, namespace, "left-1")).Should(BeTrue())
		Expect(podNamed(ctx, namespace, "left-3")()).To(HaveField("DeletionTimestamp", BeNil()))
		Expect(reading(ctx, session)()).To(And(HaveField("State", v1alpha1.StateIdle), HaveField("Pod.Name", "left-2")))
	})

	It("by a session that was deleted is removed at once", func(ctx context.Context) {
		startOperator(namespace)
		session, other := newSession(namespace, "deleted", neverIdle), newSession(namespace, "other", deaf(3600))
		running(ctx, session)
		running(ctx, other)
		Expect(api.Delete(ctx, session)).To(Succeed())
		Eventually(gone(ctx, namespace, "deleted-1")).Should(BeTrue()) // no garbage collector runs here
		Expect(podNamed(ctx, namespace, "other-1")()).To(HaveField("DeletionTimestamp", BeNil()))
	})

	It("is not one whose session the cache does not show yet", func(ctx context.Context) {
		first := startOperator(namespace)
		session := newSession(namespace, "unseen", deaf(3600))
		running(ctx, session)
		first.end()
		late := unseen{asked: new(atomic.Int64)}
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) { late.Client = r.Client; r.Client = late })
		Eventually(late.asked.Load).Should(BeNumerically(">", 0))
		pod, err := podNamed(ctx, namespace, "unseen-1")()
		Expect(err).NotTo(HaveOccurred())
		base := pod.DeepCopy()
		pod.Labels["look"] = "again"
		Expect(api.Patch(ctx, pod, client.MergeFrom(base))).To(Succeed())
		Eventually(late.asked.Load).Should(BeNumerically(">", 1), "when the second look begins, the first has ended")
		Expect(podNamed(ctx, namespace, "unseen-1")()).To(HaveField("DeletionTimestamp", BeNil()))
	})

	It("by a session that was deleted keeps none by its name waiting", func(ctx context.Context) {
		startOperator(namespace)
		session := newSession(namespace, "again", deaf(3600))
		running(ctx, session)
		Expect(api.Delete(ctx, session)).To(Succeed())
		Eventually(podNamed(ctx, namespace, "again-1")).Should(HaveField("DeletionTimestamp", Not(BeNil())))
		next := newSession(namespace, "again", deaf(3600))
		running(ctx, next)
		Expect(next.Status.Pod.Name).To(Equal("again-1-x" + string(next.UID)[:5]))
		patchSpec(ctx, next, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		Eventually(reading(ctx, next)).Should(And(HaveField("State", v1alpha1.StateIdle), HaveField("Pod.Name", "again-2")))

		By("one with a volume of the same name, which waits")
		third, other := newSession(namespace, "claimed", deaf(3600), withVolume), newSession(namespace, "claimed", deaf(3600), withVolume)
		running(ctx, third)
		Expect(api.Delete(ctx, third)).To(Succeed())
		Eventually(podNamed(ctx, namespace, "claimed-1")).Should(HaveField("DeletionTimestamp", Not(BeNil())))
		Expect(api.Create(ctx, other)).To(Succeed())
		eventuallyState(ctx, other, v1alpha1.StateStarting)
		Expect(other.Status.Pod).To(BeNil())
		bury(ctx, namespace, "claimed-1")
		eventuallyState(ctx, other, v1alpha1.StateIdle)
		Expect(other.Status.Pod.Name).To(Equal("claimed-1"))
	})

	It("without its owner while its session stops keeps it from that no longer than it is there", func(ctx context.Context) {
		startOperator(namespace)
		session := newSession(namespace, "disowned", deaf(3600))
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopping)
		Eventually(podNamed(ctx, namespace, "disowned-1")).Should(HaveField("DeletionTimestamp", Not(BeNil())))
		pod, err := podNamed(ctx, namespace, "disowned-1")()
		Expect(err).NotTo(HaveOccurred())
		base := pod.DeepCopy()
		pod.OwnerReferences = nil
		Expect(api.Patch(ctx, pod, client.MergeFrom(base))).To(Succeed())
		bury(ctx, namespace, "disowned-1")
		eventuallyState(ctx, session, v1alpha1.StateStopped)
	})

	It("without its label when it is told to go holds no worker", func(ctx context.Context) {
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) { r.Concurrency = 1 })
		session := newSession(namespace, "unlabelled", deaf(3600))
		running(ctx, session)
		pod, err := podNamed(ctx, namespace, "unlabelled-1")()
		Expect(err).NotTo(HaveOccurred())
		base := pod.DeepCopy()
		pod.Labels = nil
		Expect(api.Patch(ctx, pod, client.MergeFrom(base))).To(Succeed())
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopping)
		Eventually(podNamed(ctx, namespace, "unlabelled-1")).Should(HaveField("DeletionTimestamp", Not(BeNil())))
		running(ctx, newSession(namespace, "next", neverIdle))
		bury(ctx, namespace, "unlabelled-1")
		eventuallyState(ctx, session, v1alpha1.StateStopped)
	})
})
