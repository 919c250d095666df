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
	"k8s.io/apimachinery/pkg/util/intstr"
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
			HaveField("Status", metav1.ConditionTrue), HaveField("Reason", v1alpha1.ReasonTimestampMissing)))
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
			var began time.Time // the agent's container
			Eventually(func(g Gomega) {
				_, err := reading(ctx, session)()
				g.Expect(err).NotTo(HaveOccurred())
				for _, pod := range podsOf(ctx, session) {
					Expect(pod.UID).To(Equal(uid), "one pod at most")
					if containers := pod.Status.ContainerStatuses; len(containers) == 1 && containers[0].State.Running != nil {
						began = containers[0].State.Running.StartedAt.Time
					}
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
				Expect(session.Status.LastTermination.DueAt.Time).To(BeTemporally("==", began.Add(20*time.Second)))
			}
			Expect(podsOf(ctx, session)).To(BeEmpty())
		},
			Entry("an agent that exits", []string{"--exit-after=4s", "--exit-code=1"}, v1alpha1.StateIdle, v1alpha1.StopAgentExited, "code 1"),
			Entry("an agent that eats its memory", []string{"--eat-memory-after=4s"}, v1alpha1.StateIdle, v1alpha1.StopAgentExited, "137: OOMKilled"),
			Entry("an agent that hangs", []string{"--hang-after=4s"}, v1alpha1.StateIdle, v1alpha1.StopUnhealthy, "was not answered within"),
			Entry("an agent that is never healthy", []string{"--never-healthy"}, v1alpha1.StateStarting, v1alpha1.StopStartTimeout, "GET /ping was answered with 503"),
		)
	}

	// What the kubelet says of a start that fails is what people are told.
	DescribeTable("does not start, and says why", func(ctx context.Context, harm func(*corev1.PodSpec), want v1alpha1.StopReason, waits string, message ...string) {
		session := example(newNamespace(ctx), "echo")
		session.Spec.ProvisioningTimeoutSeconds = 120 // 10 s
		harm(&session.Spec.Template.Spec)
		Expect(api.Create(ctx, session)).To(Succeed())
		if waits != "" {
			Eventually(func() (string, error) {
				status, err := reading(ctx, session)()
				if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); c != nil {
					return c.Reason, err
				}
				return "", err
			}).Should(Equal(waits))
		}
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(want))
		for _, part := range message {
			Expect(status.LastTermination.Message).To(ContainSubstring(part))
		}
		Expect(status.History).To(HaveLen(1))
	},
		Entry("a missing Secret", func(pod *corev1.PodSpec) {
			pod.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "api-keys"}}}}
		}, v1alpha1.StopStartFailed, v1alpha1.ReasonContainerConfigError, "spec.provisioningTimeoutSeconds", `secret "api-keys" not found`),
		Entry("no image", func(pod *corev1.PodSpec) {
			pod.Containers[0].Image = "registry.invalid/agent:1"
		}, v1alpha1.StopStartFailed, v1alpha1.ReasonImagePullFailed, "spec.provisioningTimeoutSeconds", `the image "registry.invalid/agent:1" of the agent`),
		Entry("no image of a native sidecar", func(pod *corev1.PodSpec) {
			sidecar := *pod.Containers[0].DeepCopy()
			sidecar.Name, sidecar.Image, sidecar.RestartPolicy = "credential-proxy", "registry.invalid/proxy:1", new(corev1.ContainerRestartPolicyAlways)
			pod.InitContainers = []corev1.Container{sidecar}
		}, v1alpha1.StopStartFailed, v1alpha1.ReasonImagePullFailed, `the image "registry.invalid/proxy:1" of sidecar "credential-proxy"`),
		Entry("an init container that fails", func(pod *corev1.PodSpec) {
			init := *pod.Containers[0].DeepCopy()
			init.Name, init.Args = "fetch-model", []string{"no-such-agent"}
			pod.InitContainers = []corev1.Container{init}
		}, v1alpha1.StopStartFailed, "", `The init container "fetch-model" exited with code `, "so the agent never ran", "Its last words: "),
		Entry("a program that is not there", func(pod *corev1.PodSpec) {
			pod.Containers[0].Command = []string{"/no-such-program"}
		}, v1alpha1.StopStartFailed, "", "could not be started", "/no-such-program"),
	)

	It("says that a livenessProbe may have ended the agent", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		session.Spec.Template.Spec.Containers[0].LivenessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}},
			PeriodSeconds: 1, FailureThreshold: 2,
		}
		Expect(api.Create(ctx, session)).To(Succeed())
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopAgentExited), HaveField("Message", ContainSubstring("Its template has a livenessProbe"))))
	})

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
