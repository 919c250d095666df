package controllers_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/controllers"
)

var _ = Describe("The network policy of agents", func() {
	const wanted = `
podSelector:
  matchExpressions: [{key: runtime.agentsession.dev/session, operator: Exists}]
policyTypes: [Ingress]
ingress:
- from:
  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-public}}
    podSelector: {matchLabels: {app.kubernetes.io/name: agentsession}}
`
	var spec networkingv1.NetworkPolicySpec

	BeforeEach(func() {
		Expect(yaml.UnmarshalStrict([]byte(wanted), &spec)).To(Succeed())
		opts := controllers.ManagerOptions()
		opts.Metrics = metricsserver.Options{BindAddress: "0"}
		opts.Controller.SkipNameValidation = new(true)
		mgr, err := ctrl.NewManager(config, opts)
		Expect(err).NotTo(HaveOccurred())
		// The operator's namespace: one that is there.
		Expect((&controllers.NetworkPolicyReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespace: metav1.NamespacePublic}).SetupWithManager(mgr)).To(Succeed())
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- mgr.Start(ctx) }()
		DeferCleanup(func() {
			stop()
			Eventually(ended).Should(Receive(Succeed()))
		})
	})

	It("stands where sessions are, and comes back as it was", func(ctx context.Context) {
		namespace, empty := newNamespace(ctx), newNamespace(ctx)
		other := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "of-somebody"}, Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		}}
		Expect(api.Create(ctx, other)).To(Succeed())
		Expect(api.Create(ctx, newSession(namespace, "one"))).To(Succeed())
		policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controllers.NetworkPolicyName}}
		seen := func() (networkingv1.NetworkPolicySpec, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(policy), policy)
			return policy.Spec, err
		}
		Eventually(seen).Should(Equal(spec))
		Expect(policy.OwnerReferences).To(HaveExactElements(And(HaveField("Kind", "Namespace"), HaveField("Name", metav1.NamespacePublic))),
			"it goes with the operator's namespace")

		By("opening it")
		first := policy.UID
		policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		Expect(api.Update(ctx, policy)).To(Succeed())
		Eventually(seen).Should(Equal(spec))
		Expect(policy.UID).To(Equal(first))

		By("deleting it")
		Expect(api.Delete(ctx, policy)).To(Succeed())
		Eventually(seen).Should(Equal(spec))

		Expect(api.Get(ctx, client.ObjectKeyFromObject(other), other)).To(Succeed())
		Expect(other.Generation).To(BeEquivalentTo(1), "policies of others are their own")
		var list networkingv1.NetworkPolicyList
		Expect(api.List(ctx, &list, client.InNamespace(empty))).To(Succeed())
		Expect(list.Items).To(BeEmpty(), "no sessions, no policy")
	})
})
