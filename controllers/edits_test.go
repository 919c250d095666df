package controllers

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// TestEditsAreForgotten: up to a version, and where none was ever seen. A session may name a
// runtime that is not there before any is.
func TestEditsAreForgotten(t *testing.T) {
	g := NewWithT(t)
	var e edits
	e.forget(types.NamespacedName{Namespace: "default", Name: "nobody"}, 1)
	edit := func(version int64) *v1alpha1.AgentRuntime {
		return &v1alpha1.AgentRuntime{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "agent", UID: "1", Generation: version},
			Spec:       v1alpha1.AgentRuntimeSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent"}}}}},
		}
	}
	for version := range int64(4) {
		e.note(edit(version + 1))
	}
	e.forget(client.ObjectKeyFromObject(edit(1)), 2)
	g.Expect(e.between(0, edit(4))).To(ConsistOf(HaveField("Generation", BeEquivalentTo(3))))
	e.forget(client.ObjectKeyFromObject(edit(1)), 4)
	g.Expect(e.seen).To(BeEmpty())
}
