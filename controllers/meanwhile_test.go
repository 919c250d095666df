package controllers_test

import (
	"context"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// overtaken is the client of an operator that somebody overtakes between its decision
// and its write.
type overtaken struct {
	client.Client

	creates, deletes func(client.Object)
}

func (o overtaken) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if o.creates != nil {
		o.creates(object)
	}
	return o.Client.Create(ctx, object, opts...)
}

func (o overtaken) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	if o.deletes != nil {
		o.deletes(object)
	}
	return o.Client.Delete(ctx, object, opts...)
}

var _ = Describe("What happens meanwhile", func() {
	var namespace string
	BeforeEach(func(ctx context.Context) { namespace = newNamespace(ctx) })

	// replace makes a pod of somebody's in the place of a session's, by its name.
	replace := func(ctx context.Context, name string) *corev1.Pod {
		GinkgoHelper()
		bury(ctx, namespace, name)
		Eventually(gone(ctx, namespace, name)).Should(BeTrue())
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "another", Image: "another"}}},
		}
		Expect(api.Create(ctx, pod)).To(Succeed())
		return pod
	}

	It("makes no other pod by the same name the session's", func(ctx context.Context) {
		first := startOperator(namespace)
		session := newSession(namespace, "twin", neverIdle)
		running(ctx, session)
		first.end()
		another := replace(ctx, "twin-1")
		startOperator(namespace)
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopComputeLost))
		Expect(podNamed(ctx, namespace, "twin-1")()).To(And(HaveField("UID", another.UID), HaveField("DeletionTimestamp", BeNil())))
	})

	It("costs nobody a pod by the same name", func(ctx context.Context) {
		var another *corev1.Pod
		var once sync.Once
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Client = overtaken{Client: r.Client, deletes: func(object client.Object) {
				defer GinkgoRecover()
				once.Do(func() { another = replace(ctx, object.GetName()) })
			}}
		})
		session := newSession(namespace, "swapped", neverIdle)
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(podNamed(ctx, namespace, "swapped-1")()).To(And(HaveField("UID", another.UID), HaveField("DeletionTimestamp", BeNil())))
	})

	It("keeps a session that is woken as it expires", func(ctx context.Context) {
		var once sync.Once
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Client = overtaken{Client: r.Client, deletes: func(object client.Object) {
				defer GinkgoRecover()
				if read, is := object.(*v1alpha1.AgentSession); is {
					once.Do(func() {
						patchSpec(ctx, read.DeepCopy(), func(s *v1alpha1.AgentSessionSpec) { s.Activation, s.DesiredState = 2, v1alpha1.DesiredRunning })
					})
				}
			}}
		})
		session := newSession(namespace, "woken", neverIdle, func(s *v1alpha1.AgentSession) { s.Spec.TTLSecondsAfterStopped = new(int32(0)) })
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventually(ctx, session, And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
	})

	It("takes over a pod with the version that it was made of", func(ctx context.Context) {
		agent := newRuntime(namespace, "changes", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		var once sync.Once
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Client = overtaken{Client: r.Client, creates: func(object client.Object) {
				defer GinkgoRecover()
				if pod, is := object.(*corev1.Pod); is { // made of the version before, by an operator that died
					once.Do(func() {
						pod := pod.DeepCopy()
						pod.Labels[v1alpha1.LabelVersion], pod.Spec.Containers[0].Image = "1", "first"
						Expect(api.Create(ctx, pod)).To(Succeed())
					})
				}
			}}
		})
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(1))
		updateRuntime(ctx, agent, image("second"))
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(2))
		session := sessionOf(agent, "old")
		Expect(api.Create(ctx, session)).To(Succeed())
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(imageOf(ctx, session)).To(Equal("first"))
	})

	// The agent sends no stamps: how long it is idle is what operators have seen.
	It("adds to the idle time no more than nobody looked, over two restarts", func(ctx context.Context) {
		session := newSession(namespace, "seen", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration.IdleRuntimeSessionTimeout = 600 })
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			agent.Answer(func() (int, string) { return http.StatusOK, `{"status":"Healthy"}` })
		})
		operator := startOperator(namespace)
		running(ctx, session)
		idle, due := session.Status.IdleSince.Time, session.Status.NextStop.At.Time
		Eventually(time.Now).Should(BeTemporally(">", idle.Add(5*time.Second)), "for a while it is seen")
		for range 2 {
			operator.end()
			seen := time.Now()
			Eventually(time.Now).Should(BeTemporally(">", seen.Add(2*time.Second)))
			operator = startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
				r.LastLeader = func() time.Time { return seen }
			})
			later := due.Add(time.Second)
			Eventually(reading(ctx, session)).Should(HaveField("NextStop.At.Time", BeTemporally(">=", later)))
			Expect(session.Status.NextStop.At.Time).To(BeTemporally("<=", due.Add(time.Since(seen)+time.Second)))
			due = session.Status.NextStop.At.Time
		}
	})

	It("leaves what was foreseen as it is until the agent has answered", func(ctx context.Context) {
		operator := startOperator(namespace)
		session := newSession(namespace, "silent", neverIdle)
		fromItsFirstMoment(namespace, session.Name, busy)
		Expect(api.Create(ctx, session)).To(Succeed())
		began := eventuallyState(ctx, session, v1alpha1.StateActive).HealthyAt.Time
		Eventually(time.Now).Should(BeTemporally(">", began.Add(3*time.Second)))
		agent := agentOf(ctx, session)
		agent.SayAt(contract.Healthy, began) // its stamp, which no operator knows before it answers, counts
		foreseen := eventuallyState(ctx, session, v1alpha1.StateIdle).NextStop
		Expect(foreseen.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(session.Status.PingStatusSince.Time).To(BeTemporally(">", session.Status.IdleSince.Time))
		operator.end()
		agent.Hang()
		startOperator(namespace)
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopUnhealthy))
		for _, version := range seen.of(client.ObjectKeyFromObject(session)) {
			if version.Status.State == v1alpha1.StateIdle {
				Expect(version.Status.NextStop).To(Equal(foreseen))
			}
		}
	})
})
