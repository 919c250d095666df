package gateway_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// webhookDown has the API server ask a webhook about every pod of a namespace that
// nobody answers for.
func webhookDown(ctx context.Context, namespace string) {
	GinkgoHelper()
	hook := &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "down-" + namespace},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "down.example.com", FailurePolicy: new(admissionv1.Fail), SideEffects: new(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/")},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
	Expect(api.Create(ctx, hook)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, hook)).To(Succeed()) })
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	}
	Eventually(func() error { // as soon as the API server knows of it
		again := pod.DeepCopy()
		return api.Create(ctx, again)
	}).Should(MatchError(ContainSubstring("failed calling webhook")))
}

var _ = Describe("A session whose pod cannot be made", func() {
	It("answers its caller at the limit of its start, and says why", func(ctx context.Context) {
		d, namespace := openDoor(), newNamespace(ctx)
		agent := newRuntime(ctx, namespace, func(s *v1alpha1.AgentRuntimeSpec) { s.ProvisioningTimeoutSeconds = 120 }) // 6 s
		webhookDown(ctx, namespace)
		session := id()
		answered := make(chan answer, 1)
		go func() {
			defer GinkgoRecover()
			answered <- d.invoke(ctx, agent, session, ask{})
		}()
		var a answer
		Eventually(answered).Should(Receive(&a))
		Expect(a.code).To(Equal(http.StatusFailedDependency), "%s", a.body)
		Expect(a.failed.Message).To(ContainSubstring("An error occurred when starting the runtime."))
		Expect(sessionOf(ctx, agent, session).Status.LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopStartFailed), HaveField("Message", ContainSubstring(`failed calling webhook "down.example.com"`))))
	})
})
