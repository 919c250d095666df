package e2e_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const nodeProberName = "agentsession-node-prober"

// runNodeProbers has the agents asked from their nodes, until the specs end.
func runNodeProbers(ctx context.Context, args ...string) {
	GinkgoHelper()
	DeferCleanup(func(ctx context.Context) {
		for _, object := range manifest("install-node.yaml") {
			if strings.HasPrefix(object.GetName(), nodeProberName) {
				Expect(client.IgnoreNotFound(api.Delete(ctx, object))).To(Succeed())
			}
		}
		install(ctx, "install.yaml")
		runOperator(ctx)
	})
	install(ctx, "install-node.yaml")
	runOperator(ctx, append([]string{"--probe=none"}, args...)...)
	var probers appsv1.DaemonSet
	key := client.ObjectKey{Namespace: systemNamespace, Name: nodeProberName}
	Expect(api.Get(ctx, key, &probers)).To(Succeed())
	base := probers.DeepCopy()
	probers.Spec.Template.Spec.Containers[0].Args = append([]string{"--probe=node"}, args...)
	Expect(api.Patch(ctx, &probers, client.MergeFrom(base))).To(Succeed())
	Eventually(func(g Gomega) {
		g.Expect(api.Get(ctx, key, &probers)).To(Succeed())
		g.Expect(probers.Status).To(And(
			HaveField("ObservedGeneration", probers.Generation),
			HaveField("UpdatedNumberScheduled", BeNumerically(">", 0)),
			HaveField("UpdatedNumberScheduled", probers.Status.DesiredNumberScheduled),
			HaveField("NumberReady", probers.Status.DesiredNumberScheduled),
		))
	}).Should(Succeed())
}

var _ = Describe("Agents that are asked from their own node", Ordered, func() {
	BeforeAll(func(ctx context.Context) { runNodeProbers(ctx, "--time-scale=12") })

	It("live, idle out and wake as they do with one operator", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		session.Spec.LifecycleConfiguration = nil // 900 s
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		var pod corev1.Pod
		Expect(api.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: status.Pod.Name}, &pod)).To(Succeed())
		Expect(status.Pod.Node).To(Equal(pod.Spec.NodeName))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
		})
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).Activation).To(BeEquivalentTo(2))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})

	It("are asked again by a new process on their node", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		session.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 600}
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(api.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(systemNamespace),
			client.MatchingLabels{"app.kubernetes.io/component": "node-prober"})).To(Succeed())
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})

	It("are stopped by the operator when somebody asks for it", func(ctx context.Context) {
		session := example(newNamespace(ctx), "research")
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(reading(ctx, session)).Should(HaveField("HealthyAt", Not(BeNil())))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
	})
})
