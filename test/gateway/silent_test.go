package gateway_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var _ = Describe("An agent that answers no ping in a call", func() {
	It("is not stopped for it, and keeps its memory", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		first := d.invoke(ctx, agent, session, ask{})
		Expect(first.code).To(Equal(http.StatusOK), first.body)
		long := d.invoke(ctx, agent, session, ask{Blocks: true, Sleep: "20s"})
		Expect(long.code).To(Equal(http.StatusOK), long.body)
		Expect(long.told.Pod).To(Equal(first.told.Pod))
		Expect(long.told.Calls).To(BeEquivalentTo(2))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateIdle))
		status := sessionOf(ctx, agent, session).Status
		Expect(status.Activation).To(BeEquivalentTo(1))
		Expect(status.LastTermination).To(BeNil())

		By("and is stopped if it answers none after it")
		Expect(d.invoke(ctx, agent, session, ask{Hangs: true, Sleep: "5s"}).code).To(Equal(http.StatusOK))
		Eventually(stateOf(ctx, agent, session)).WithTimeout(2 * time.Minute).Should(Equal(v1alpha1.StateStopped))
		Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopUnhealthy))
	})

	It("is not stopped in many short calls, of which each leaves no time for a ping", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		Expect(d.invoke(ctx, agent, session, ask{Hangs: true}).code).To(Equal(http.StatusOK))
		for range 18 {
			a := d.invoke(ctx, agent, session, ask{Sleep: "1s"})
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		Expect(sessionOf(ctx, agent, session).Status.Activation).To(BeEquivalentTo(1))
	})
})
