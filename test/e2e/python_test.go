package e2e_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var _ = Describe("An agent of AWS's SDK for Python, unchanged", Ordered, func() {
	BeforeAll(func(ctx context.Context) { runOperator(ctx, "--time-scale=12") })

	It("is busy by an async task, idle, stopped for it, and woken", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		session.Name = "python"
		agent := &session.Spec.Template.Spec.Containers[0]
		agent.Image, agent.Args = stockImage, nil
		agent.Resources = corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}}
		// Python takes its time to start, and scaled time is short.
		session.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 120, MaxLifetime: 1800}
		Expect(api.Create(ctx, session)).To(Succeed())

		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.PingStatus).To(Equal("Healthy"))
		first := status.Pod.UID
		Expect(invoke(ctx, session, `{"seconds":4}`)).To(MatchJSON(`{"started":"research"}`))
		Expect(eventuallyState(ctx, session, v1alpha1.StateActive).PingStatus).To(Equal("HealthyBusy"))
		status = eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.PingStatus).To(Equal("Healthy"))
		Expect(status.Pod.UID).To(Equal(first), "the task did not cost the session its pod")
		Expect(meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPingContract)).To(And(
			HaveField("Status", metav1.ConditionTrue), HaveField("Reason", v1alpha1.ReasonPingConforms)))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))

		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = session.Status.Activation + 1 })
		status = eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.Activation).To(BeEquivalentTo(2))
		Expect(status.Pod.UID).NotTo(Equal(first))
	})
})
