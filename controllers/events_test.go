package controllers_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// eventsOf returns the session's events, waiting until one says Stopped.
func eventsOf(ctx context.Context, session *v1alpha1.AgentSession) []eventsv1.Event {
	GinkgoHelper()
	var mine []eventsv1.Event
	Eventually(func(g Gomega) {
		var list eventsv1.EventList
		g.Expect(api.List(ctx, &list, client.InNamespace(session.Namespace))).To(Succeed())
		mine = nil
		for _, e := range list.Items {
			if e.Regarding.UID == session.UID {
				mine = append(mine, e)
			}
		}
		g.Expect(mine).To(ContainElement(HaveField("Reason", "Stopped")))
	}).Should(Succeed())
	return mine
}

// stopEvents are the reasons of the stops that events tell.
func stopEvents(ctx context.Context, session *v1alpha1.AgentSession) []string {
	GinkgoHelper()
	var reasons []string
	for _, e := range eventsOf(ctx, session) {
		if e.Action == "Stop" {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}
