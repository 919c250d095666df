package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// TestWhoAsks: a process on a node yields to an operator that says that it asks, and to no
// other: one of an older version says nothing.
func TestWhoAsks(t *testing.T) {
	healthy := new(metav1.NewTime(time.Unix(1795423194, 0)))
	again := ctrl.Result{RequeueAfter: unwatchedPeriod}
	for name, row := range map[string]struct {
		askedBy v1alpha1.Asker
		node    string // in status
		ours    bool
		later   ctrl.Result // where it is not
	}{
		"the node":                    {v1alpha1.AskedByNode, "n", true, ctrl.Result{}},
		"the node, of a start":        {v1alpha1.AskedByNode, "", true, ctrl.Result{}},
		"the operator":                {v1alpha1.AskedByOperator, "n", false, ctrl.Result{}},
		"the operator, of a start":    {v1alpha1.AskedByOperator, "", false, again},
		"nobody says":                 {"", "n", true, ctrl.Result{}},
		"nobody says, and of a start": {"", "", true, ctrl.Result{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "agent"}}}}
			session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{
				State: v1alpha1.StateIdle, HealthyAt: healthy, AskedBy: row.askedBy, Pod: &v1alpha1.PodStatus{Node: row.node},
			}}
			r := &AgentSessionReconciler{Node: "n"}
			g.Expect(r.owns(session, pod)).To(Equal(row.ours))
			g.Expect(r.stopAsking(session, pod)).To(Equal(row.later))
			g.Expect((&AgentSessionReconciler{Node: "other"}).owns(session, pod)).To(BeFalse())
			g.Expect((&AgentSessionReconciler{}).owns(session, pod)).To(BeTrue(), "the operator")
		})
	}
}
