package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	crevent "sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/prober"
)

// TestHeeded: what agents and gateways write of a session that lives is nothing to an
// operator that asks nobody.
func TestHeeded(t *testing.T) {
	now := metav1.NewTime(time.Unix(1795423194, 0))
	for name, row := range map[string]struct {
		change func(*v1alpha1.AgentSession)
		want   bool
	}{
		"a stamp that advances": {func(s *v1alpha1.AgentSession) {
			s.Status.IdleSince, s.Status.NextStop = &now, &v1alpha1.NextStop{At: now}
		}, false},
		"work": {func(s *v1alpha1.AgentSession) {
			s.Status.State, s.Status.PingStatus = v1alpha1.StateActive, "HealthyBusy"
		}, false},
		"a call":                {func(s *v1alpha1.AgentSession) { s.Status.Traffic = &v1alpha1.Traffic{} }, false},
		"a label":               {func(s *v1alpha1.AgentSession) { s.Labels = map[string]string{"a": "b"} }, false},
		"a stop":                {func(s *v1alpha1.AgentSession) { s.Status.State = v1alpha1.StateStopping }, true},
		"its first good answer": {func(s *v1alpha1.AgentSession) { s.Status.HealthyAt = &now }, true},
		"another spec":          {func(s *v1alpha1.AgentSession) { s.Generation++ }, true},
		"its deletion":          {func(s *v1alpha1.AgentSession) { s.DeletionTimestamp = &now }, true},
		"another pod":           {func(s *v1alpha1.AgentSession) { s.Status.Pod = &v1alpha1.PodStatus{UID: "other"} }, true},
		"another session":       {func(s *v1alpha1.AgentSession) { s.UID = "other" }, true},
		"a look now and then":   {func(s *v1alpha1.AgentSession) { s.ResourceVersion = "1" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			old := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}, Status: v1alpha1.AgentSessionStatus{State: v1alpha1.StateIdle}}
			next := old.DeepCopy()
			next.ResourceVersion = "2"
			row.change(next)
			e := crevent.UpdateEvent{ObjectOld: old, ObjectNew: next}
			g.Expect((&AgentSessionReconciler{}).relevantEvents().Update(e)).To(Equal(row.want))
			g.Expect((&AgentSessionReconciler{Prober: &prober.Prober{}}).relevantEvents().Update(e)).To(BeTrue(), "who asks agents")
		})
	}
}
