package controllers_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// agentSays reports the agent's container as a kubelet would.
func agentSays(ctx context.Context, session *v1alpha1.AgentSession, state corev1.ContainerState) {
	GinkgoHelper()
	var pod corev1.Pod
	Expect(api.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
	base := pod.DeepCopy()
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "agent", Image: "agent:1", State: state}}
	Expect(api.Status().Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func readyOf(ctx context.Context, session *v1alpha1.AgentSession) func() (metav1.Condition, error) {
	return func() (metav1.Condition, error) {
		status, err := reading(ctx, session)()
		if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); c != nil {
			return *c, err
		}
		return metav1.Condition{}, err
	}
}

// What a pod says while it starts is told by the operator whoever asks the agents.
var _ = Describe("A session that starts", func() {
	for mode, adjust := range map[string]func(*controllers.AgentSessionReconciler){
		"one operator":                 func(*controllers.AgentSessionReconciler) {},
		"an operator that asks nobody": func(r *controllers.AgentSessionReconciler) { r.Prober = nil },
	} {
		It("says what its pod waits for, once for each thing that it is: "+mode, func(ctx context.Context) {
			namespace := newNamespace(ctx)
			startOperator(namespace, adjust)
			session := newSession(namespace, "waits", func(s *v1alpha1.AgentSession) {
				s.Spec.Template.Annotations = map[string]string{"pending": "yes"}
				s.Spec.ProvisioningTimeoutSeconds = 400 // 20 s
			})
			reports := reportsOn(session)
			Expect(api.Create(ctx, session)).To(Succeed())
			status := eventuallyState(ctx, session, v1alpha1.StateStarting)
			Expect(*status.NextStop).To(Equal(v1alpha1.NextStop{At: metav1.Time{Time: status.Pod.CreatedAt.Add(20 * time.Second)}, Reason: v1alpha1.StopStartFailed}))

			By("going through what every start goes through")
			agentSays(ctx, session, waiting("ContainerCreating", ""))
			version := session.ResourceVersion
			Consistently(func() (string, error) { _, err := reading(ctx, session)(); return session.ResourceVersion, err }, time.Second).Should(Equal(version))

			By("an image that is not there, in the kubelet's changing words")
			agentSays(ctx, session, waiting("ErrImagePull", "not found, at first"))
			Eventually(readyOf(ctx, session)).Should(And(HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonImagePullFailed), HaveField("Message",
				`The agent's container has not started yet: the image "agent:1" of the agent (container "agent") cannot be had: ErrImagePull: not found, at first. Look at its name, and at the pull secrets.`)))
			version = session.ResourceVersion
			for i := range 20 {
				reason := []string{"ImagePullBackOff", "ErrImagePull"}[i%2]
				agentSays(ctx, session, waiting(reason, fmt.Sprintf("try %d", i)))
			}
			Consistently(func() (string, error) { _, err := reading(ctx, session)(); return session.ResourceVersion, err }, time.Second).Should(Equal(version))

			By("another thing")
			agentSays(ctx, session, waiting("CreateContainerConfigError", `secret "api-keys" not found`))
			Eventually(readyOf(ctx, session)).Should(HaveField("Reason", v1alpha1.ReasonContainerConfigError))

			status = eventuallyState(ctx, session, v1alpha1.StateStopped)
			Expect(status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopStartFailed),
				HaveField("Message", And(HavePrefix("The agent's container did not start within 20s of the creation of its pod (spec.provisioningTimeoutSeconds): "), ContainSubstring(`secret "api-keys" not found`))),
				HaveField("DueAt.Time", BeTemporally("==", status.History[0].From.Add(20*time.Second)))))
			Eventually(reports).Should(HaveLen(5), "Starting, two things, Stopping, Stopped")
		})
	}

	It("tells what its pod says every ten seconds at most", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "flaps", func(s *v1alpha1.AgentSession) {
			s.Spec.Template.Annotations = map[string]string{"pending": "yes"}
		})
		reports := reportsOn(session)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateStarting)
		began, changes := time.Now(), 0
		Eventually(func() int {
			agentSays(ctx, session, waiting([]string{"ErrImagePull", "CreateContainerError"}[changes%2], ""))
			changes++
			return len(reports())
		}).WithPolling(time.Millisecond).Should(BeNumerically(">", 6))
		most := 2 + int(time.Since(began)/(10*time.Second/scale))
		Expect(len(reports())).To(BeNumerically("<=", most), "%d changes", changes)
	})

	It("has AgentCore's time from the start of its container on", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "slow", func(s *v1alpha1.AgentSession) {
			s.Spec.ProvisioningTimeoutSeconds = 110 // 5.5 s, and 20 from then on
		})
		fromItsFirstMoment(namespace, session.Name, absent)
		Expect(api.Create(ctx, session)).To(Succeed())
		var pod *corev1.Pod
		Eventually(func() (_ []corev1.ContainerStatus, err error) {
			pod, err = podNamed(ctx, namespace, "slow-1")()
			return pod.Status.ContainerStatuses, err
		}).ShouldNot(BeEmpty())
		eventually(ctx, session, And(HaveField("State", v1alpha1.StateStarting), HaveField("Conditions", ContainElement(
			And(HaveField("Reason", v1alpha1.ReasonNoGoodAnswer), HaveField("Message", ContainSubstring("404")))))))
		due := pod.Status.ContainerStatuses[0].State.Running.StartedAt.Add(20 * time.Second)
		Expect(session.Status.NextStop).To(And(HaveField("Reason", v1alpha1.StopStartTimeout), HaveField("At.Time", BeTemporally("==", due))))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopStartTimeout), HaveField("DueAt.Time", BeTemporally("==", due)), HaveField("Message", ContainSubstring("404"))))
	})

	It("fails at once when its agent never ran", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "rejected", func(s *v1alpha1.AgentSession) {
			s.Spec.Template.Annotations = map[string]string{"pending": "yes"}
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateStarting)
		var pod corev1.Pod
		Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
		base := pod.DeepCopy()
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "OutOfcpu", "Node didn't have enough resource: cpu"
		Expect(api.Status().Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopStartFailed), HaveField("Message", ContainSubstring("refused the pod, so the agent never ran: OutOfcpu"))))
		Expect(lifecycle.PhaseOf(session)).To(Equal(lifecycle.PhaseStopped), "it is not tried again")
	})

	It("is not taken for one whose init container listens on its port", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		session := newSession(namespace, "impostor")
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.Template.Annotations = map[string]string{"initializing": "yes"}
			s.Activation = 2
		})
		Eventually(reading(ctx, session)).Should(And(HaveField("State", v1alpha1.StateStarting), HaveField("Activation", BeEquivalentTo(2))))
		agent := agentOf(ctx, session)
		Consistently(agent.Pings, time.Second).Should(BeZero())
		agentSays(ctx, session, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(agent.Pings()).NotTo(BeZero())
	})
})
