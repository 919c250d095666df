package gateway_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the API server has against a session is told in words, and by a status that
// clients know what to do with.
var _ = Describe("A session that the API server refuses", func() {
	It("for a quota of its namespace is one too many, or one that is not counted yet", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		most := corev1.ResourceList{"count/agentsessions.runtime.agentsession.dev": resource.MustParse("1")}
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: "sessions"},
			Spec:       corev1.ResourceQuotaSpec{Hard: most},
		}
		Expect(api.Create(ctx, quota)).To(Succeed())
		quota.Status.Hard = most // and nothing of what is used
		Expect(api.Status().Update(ctx, quota)).To(Succeed())
		var a answer
		Eventually(func() int { // as soon as the API server knows of it
			a = d.invoke(ctx, agent, id(), ask{})
			return a.code
		}).Should(Equal(http.StatusTooManyRequests))
		Expect(a.failed.Message).To(ContainSubstring("ResourceQuota of the runtime's namespace is being counted"))
		Expect(a.header.Get("Retry-After")).To(Equal("1"))

		quota.Status.Used = most
		Expect(api.Status().Update(ctx, quota)).To(Succeed())
		Eventually(func() int {
			a = d.invoke(ctx, agent, id(), ask{})
			return a.code
		}).Should(Equal(http.StatusPaymentRequired), "%s", a.body)
		Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("ServiceQuotaExceededException"))
		Expect(a.failed.Message).To(ContainSubstring("a ResourceQuota is used up"))
		Expect(a.header).NotTo(HaveKey("Retry-After"))
	})

	It("for the end of its namespace is one of a runtime that is not there any more", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		Expect(api.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: agent.Namespace}})).To(Succeed())
		var a answer
		Eventually(func() int { // as soon as the API server knows of it
			a = d.invoke(ctx, agent, id(), ask{})
			return a.code
		}).Should(Equal(http.StatusNotFound))
		Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("ResourceNotFoundException"))
		Expect(a.failed.Message).To(ContainSubstring("namespace of the runtime is being deleted"))
	})
})
