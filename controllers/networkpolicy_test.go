package controllers_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
		Expect((&controllers.NetworkPolicyReconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("agentsession"), Namespace: metav1.NamespacePublic,
		}).SetupWithManager(mgr)).To(Succeed())
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

	It("is told of where it cannot be made, and made when it can", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		none := corev1.ResourceList{"count/networkpolicies.networking.k8s.io": resource.MustParse("0")}
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}
		Expect(api.Create(ctx, quota)).To(Succeed())
		quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
		Expect(api.Status().Update(ctx, quota)).To(Succeed())
		session := newSession(namespace, "open")
		Expect(api.Create(ctx, session)).To(Succeed())
		var told eventsv1.EventList
		Eventually(func() ([]eventsv1.Event, error) {
			err := api.List(ctx, &told, client.InNamespace(namespace))
			return told.Items, err
		}).Should(ConsistOf(And(
			HaveField("Type", corev1.EventTypeWarning), HaveField("Reason", "NotIsolated"),
			HaveField("Regarding", And(HaveField("Kind", "NetworkPolicy"), HaveField("Name", controllers.NetworkPolicyName))),
			HaveField("Note", And(HavePrefix("Whoever reaches a pod of this namespace's sessions may call its agent, "), ContainSubstring("exceeded quota"))))))
		Expect(api.Delete(ctx, quota)).To(Succeed())
		Eventually(func() error {
			return api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: controllers.NetworkPolicyName}, &networkingv1.NetworkPolicy{})
		}).Should(Succeed())
	})
})
