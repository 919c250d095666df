package e2e_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var _ = Describe("Time as it is", Ordered, func() {
	BeforeAll(func(ctx context.Context) { runOperator(ctx) })

	It("stops an idle session after 60 s and a busy one at its maximal lifetime, on time", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		idle, busy := example(namespace, "echo"), example(namespace, "forgetful")
		idle.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
		busy.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 75}
		Expect(api.Create(ctx, idle)).To(Succeed())
		Expect(api.Create(ctx, busy)).To(Succeed())
		eventuallyState(ctx, busy, v1alpha1.StateActive)
		status := eventuallyState(ctx, idle, v1alpha1.StateIdle)
		Expect(status.TimeScale).To(BeZero())
		Expect(status.NextStop.At.Sub(status.IdleSince.Time)).To(Equal(60 * time.Second))

		Expect(eventuallyState(ctx, idle, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(eventuallyState(ctx, busy, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopMaxLifetime))
		expectOnTime(ctx)
	})
})

var _ = Describe("The stories", Ordered, func() {
	BeforeAll(func(ctx context.Context) { runOperator(ctx, "--time-scale=12") })
	AfterAll(func(ctx context.Context) { expectOnTime(ctx) })

	It("research works in the background, is idle, and is stopped for it", func(ctx context.Context) {
		session := example(newNamespace(ctx), "research")
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateActive)
		Expect(status.PingStatus).To(Equal("HealthyBusy"))
		Expect(status.TimeScale).To(BeEquivalentTo(scale))
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(podsOf(ctx, session)).To(BeEmpty())
	})

	It("forgetful stays busy beyond its idle timeout, is reported stuck, and ends at its maximal lifetime", func(ctx context.Context) {
		session := example(newNamespace(ctx), "forgetful")
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateActive)
		Eventually(func() bool {
			_, err := reading(ctx, session)()
			return err == nil && session.Status.State == v1alpha1.StateActive &&
				meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionStuck)
		}).Should(BeTrue())
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopMaxLifetime))
	})

	It("echo is stopped by hand and woken as activation 2, with fresh memory", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		Expect(api.Create(ctx, session)).To(Succeed())
		first := eventuallyState(ctx, session, v1alpha1.StateIdle).Pod.UID
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.DesiredState, s.Activation = v1alpha1.DesiredRunning, session.Status.Activation+1
		})
		Eventually(reading(ctx, session)).Should(And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
		Expect(session.Status.Pod.UID).NotTo(Equal(first))
	})

	It("plain, a server without our library, is told what AWS would make of it", func(ctx context.Context) {
		session := example(newNamespace(ctx), "plain")
		session.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPingContract)).To(And(
			HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonTimestampMissing)))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})
})

var _ = Describe("What goes wrong", Ordered, func() {
	BeforeAll(func(ctx context.Context) { runOperator(ctx, "--time-scale=12") })

	// Each harm is done twice: once as it is, once with the operator killed in
	// the middle. Both must come to the same end.
	for _, killed := range []bool{false, true} {
		suffix := ""
		if killed {
			suffix = ", with the operator killed in the middle"
		}
		DescribeTable("ends with its reason"+suffix, func(ctx context.Context, args []string, started v1alpha1.SessionState, want v1alpha1.StopReason, message string) {
			session := faulty(newNamespace(ctx), "faulty", args...)
			session.Spec.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
			Expect(api.Create(ctx, session)).To(Succeed())
			status := eventuallyState(ctx, session, started)
			if killed {
				killOperator(ctx)
			}
			created, uid := status.Pod.CreatedAt, status.Pod.UID
			Eventually(func(g Gomega) {
				_, err := reading(ctx, session)()
				g.Expect(err).NotTo(HaveOccurred())
				for _, pod := range podsOf(ctx, session) {
					Expect(pod.UID).To(Equal(uid), "one pod at most")
				}
				if session.Status.Pod != nil {
					Expect(session.Status.Pod.CreatedAt).To(Equal(created), "no clock is reset")
				}
				g.Expect(session.Status.State).To(Equal(v1alpha1.StateStopped))
			}).Should(Succeed())
			Expect(session.Status.LastTermination.Reason).To(Equal(want))
			Expect(session.Status.LastTermination.Message).To(ContainSubstring(message))
			Expect(session.Status.Activation).To(BeEquivalentTo(1))
			if want == v1alpha1.StopStartTimeout {
				Expect(session.Status.LastTermination.DueAt.Time).To(BeTemporally("==", created.Add(120*time.Second/scale)))
			}
			Expect(podsOf(ctx, session)).To(BeEmpty())
		},
			Entry("an agent that exits", []string{"--exit-after=4s", "--exit-code=1"}, v1alpha1.StateIdle, v1alpha1.StopAgentExited, "code 1"),
			Entry("an agent that eats its memory", []string{"--eat-memory-after=4s"}, v1alpha1.StateIdle, v1alpha1.StopAgentExited, "137: OOMKilled"),
			Entry("an agent that hangs", []string{"--hang-after=4s"}, v1alpha1.StateIdle, v1alpha1.StopUnhealthy, "no answer within"),
			Entry("an agent that is never healthy", []string{"--never-healthy"}, v1alpha1.StateStarting, v1alpha1.StopStartTimeout, "answered 503"),
		)
	}

	It("keeps the due moments of living sessions when the operator is killed", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		idle, busy := example(namespace, "echo"), example(namespace, "forgetful")
		idle.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 480}
		busy.Spec.LifecycleConfiguration.MaxLifetime = 600
		Expect(api.Create(ctx, idle)).To(Succeed())
		Expect(api.Create(ctx, busy)).To(Succeed())
		idleDue := eventuallyState(ctx, idle, v1alpha1.StateIdle).NextStop.At
		busyDue := eventuallyState(ctx, busy, v1alpha1.StateActive).NextStop.At
		killOperator(ctx)
		Expect(eventuallyState(ctx, idle, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopIdleTimeout), HaveField("DueAt.Time", BeTemporally("==", idleDue.Time))))
		Expect(eventuallyState(ctx, busy, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopMaxLifetime), HaveField("DueAt.Time", BeTemporally("==", busyDue.Time))))
	})

	It("reports a pod that somebody deletes as lost", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(api.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: status.Pod.Name}})).To(Succeed())
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopComputeLost))
		Consistently(reading(ctx, session)).WithTimeout(2*time.Second).Should(HaveField("State", v1alpha1.StateStopped), "it is not started again")
	})

	It("leaves no pod behind when the session is deleted", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(api.Delete(ctx, session)).To(Succeed())
		Eventually(func() []corev1.Pod { return podsOf(ctx, session) }).Should(BeEmpty())
		Expect(apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(session), session))).To(BeTrue())
	})
})
