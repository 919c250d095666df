package e2e_test

import (
	"context"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// helm runs it in the operator's namespace.
func helm(ctx context.Context, args ...string) {
	GinkgoHelper()
	args = append([]string{"tool", "-modfile=../../hack/tools/helm/go.mod", "helm"}, args...)
	out, err := exec.CommandContext(ctx, "go", append(args, "--namespace="+systemNamespace)...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
}

var _ = Describe("The Helm chart", Ordered, func() {
	AfterAll(func(ctx context.Context) { // for the other specs
		install(ctx, "install.yaml")
		awaitOperator(ctx)
	})

	It("takes over from dist/install.yaml, upgrades, and leaves sessions when it is taken away", func(ctx context.Context) {
		session := example(newNamespace(ctx), "echo")
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		pod := session.Status.Pod.UID

		helm(ctx, "upgrade", "--install", "agentsession", "../../charts/agentsession", "--take-ownership", "--force-conflicts", "--wait", "--timeout=5m")
		awaitOperator(ctx)
		helm(ctx, "upgrade", "agentsession", "../../charts/agentsession", "--force-conflicts", "--set=operator.extraArgs={--time-scale=12}", "--wait", "--timeout=5m")
		awaitOperator(ctx)
		Consistently(reading(ctx, session), "10s").Should(HaveField("Pod.UID", pod))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60} // 5 s
		})
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))

		helm(ctx, "uninstall", "agentsession", "--wait", "--timeout=5m")
		var pods corev1.PodList
		Eventually(func() []corev1.Pod {
			Expect(api.List(ctx, &pods, client.InNamespace(systemNamespace), client.MatchingLabels{"app.kubernetes.io/component": "operator"})).To(Succeed())
			return pods.Items
		}).Should(BeEmpty())
		Expect(api.Get(ctx, client.ObjectKeyFromObject(session), session)).To(Succeed())
	})
})
