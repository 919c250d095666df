package apiserver_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
)

func TestSlim(t *testing.T) {
	template := func(bytes int) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Env: []corev1.EnvVar{{Name: "A", Value: strings.Repeat("a", bytes)}}}}}}
	}
	for name, row := range map[string]struct {
		bytes int
		lacks bool
	}{
		"a usual template stays":   {12_000, false},
		"a large one is left out":  {20_000, true},
		"so is one as may be sent": {1_200_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			object := metav1.ObjectMeta{
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
				Annotations: map[string]string{
					corev1.LastAppliedConfigAnnotation: strings.Repeat("a", row.bytes), "runtime.agentsession.dev/stop-client-token": "kept",
				},
			}
			kept := metav1.ObjectMeta{Annotations: map[string]string{"runtime.agentsession.dev/stop-client-token": "kept"}}

			session := &v1alpha1.AgentSession{ObjectMeta: *object.DeepCopy(), Spec: v1alpha1.AgentSessionSpec{Activation: 3, Template: template(row.bytes)}}
			g.Expect(apiserver.Slim(session)).To(BeIdenticalTo(session))
			g.Expect(apiserver.Lacks(&session.Spec.Template)).To(Equal(row.lacks))
			g.Expect(session.ObjectMeta).To(Equal(kept))
			g.Expect(session.Spec.Activation).To(BeEquivalentTo(3))

			agent := &v1alpha1.AgentRuntime{ObjectMeta: *object.DeepCopy(), Spec: v1alpha1.AgentRuntimeSpec{Template: template(row.bytes), SessionTTLSecondsAfterStopped: new(int32(7))}}
			g.Expect(apiserver.Slim(agent)).To(BeIdenticalTo(agent))
			g.Expect(apiserver.Lacks(&agent.Spec.Template)).To(Equal(row.lacks))
			g.Expect(agent.ObjectMeta).To(Equal(kept))
			g.Expect(agent.Spec.SessionTTLSecondsAfterStopped).To(HaveValue(BeEquivalentTo(7)))

			revision := &appsv1.ControllerRevision{Revision: 3, Data: runtime.RawExtension{Raw: []byte(strings.Repeat("a", row.bytes))}}
			g.Expect(apiserver.Slim(revision)).To(BeIdenticalTo(revision))
			g.Expect(revision.Data.Raw == nil).To(Equal(row.lacks))
			g.Expect(revision.Revision).To(BeEquivalentTo(3))
		})
	}
}

func TestSlimLeavesWhatItDoesNotKnow(t *testing.T) {
	g := NewWithT(t)
	gone := cache.DeletedFinalStateUnknown{Key: "team/session"}
	g.Expect(apiserver.Slim(gone)).To(Equal(gone))
}
