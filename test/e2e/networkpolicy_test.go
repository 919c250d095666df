package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// bystander makes a pod of the echo agent that is no session's.
func bystander(ctx context.Context, namespace, name string) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"bystander": name}},
		Spec:       *example(namespace, "echo").Spec.Template.Spec.DeepCopy(),
	}
	pod.Spec.TerminationGracePeriodSeconds = new(int64)
	Expect(api.Create(ctx, pod)).To(Succeed())
	Eventually(func() (string, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return pod.Status.PodIP, err
	}).ShouldNot(BeEmpty())
	return pod
}

// pings asks an address from a pod as the operator does.
func pings(ctx context.Context, from *corev1.Pod, address string) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		var out bytes.Buffer
		err := execute(ctx, from, []string{"/agents", "ping", fmt.Sprintf("http://%s:8080", address)},
			remotecommand.StreamOptions{Stdout: &out, Stderr: &out})
		if err != nil {
			return fmt.Errorf("%w: %s", err, out.String())
		}
		return nil
	}
}

// fails tells whether something fails three times in a row before its time is over.
func fails(within time.Duration, try func() error) bool {
	failed := 0
	for end := time.Now().Add(within); time.Now().Before(end) && failed < 3; time.Sleep(time.Second) {
		if failed++; try() == nil {
			failed = 0
		}
	}
	return failed == 3
}

var _ = Describe("Agents' network", func() {
	It("lets the operator in, and no other pod, until a policy of somebody's does", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		stranger, shut := bystander(ctx, namespace, "stranger"), bystander(ctx, namespace, "shut")
		Eventually(pings(ctx, stranger, shut.Status.PodIP)).Should(Succeed())
		Expect(api.Create(ctx, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shut"},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"bystander": "shut"}},
				PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			},
		})).To(Succeed())
		if !fails(30*time.Second, pings(ctx, stranger, shut.Status.PodIP)) {
			lacks("the network of this cluster enforces no policies")
		}

		session := example(namespace, "echo")
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle) // the operator was let in
		pod := podsOf(ctx, session)[0]
		Expect(fails(time.Minute, pings(ctx, stranger, pod.Status.PodIP))).To(BeTrue())
		Consistently(reading(ctx, session)).WithTimeout(5 * time.Second).Should(HaveField("State", v1alpha1.StateIdle))

		Expect(api.Create(ctx, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "let-the-stranger-in"},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelSession: session.Name}},
				Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{
					PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"bystander": "stranger"}},
				}}}},
			},
		})).To(Succeed())
		Eventually(pings(ctx, stranger, pod.Status.PodIP)).Should(Succeed())
	})
})
