package controllers_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// eventsOf are the session's events so far. Each is sent for itself: one that was made
// sooner may come later.
func eventsOf(ctx context.Context, session *v1alpha1.AgentSession) func() ([]eventsv1.Event, error) {
	return func() (mine []eventsv1.Event, err error) {
		var list eventsv1.EventList
		err = api.List(ctx, &list, client.InNamespace(session.Namespace))
		for _, e := range list.Items {
			if e.Regarding.UID == session.UID {
				mine = append(mine, e)
			}
		}
		return mine, err
	}
}

// eventuallyTold waits until events tell of as many stops as status does, and that the
// session has stopped, and returns the reasons of those stops.
func eventuallyTold(ctx context.Context, session *v1alpha1.AgentSession) []string {
	GinkgoHelper()
	var reasons []string
	Eventually(func(g Gomega) {
		mine, err := eventsOf(ctx, session)()
		g.Expect(err).NotTo(HaveOccurred())
		reasons = nil
		for _, e := range mine {
			if e.Action == "Stop" {
				reasons = append(reasons, e.Reason)
			}
		}
		g.Expect(mine).To(ContainElement(HaveField("Reason", "Stopped")))
		g.Expect(len(reasons)).To(BeNumerically(">=", len(session.Status.History)))
	}).Should(Succeed())
	return reasons
}
