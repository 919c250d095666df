package apiserver_test

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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
			g.Expect(apiserver.Slim(nil)(session)).To(BeIdenticalTo(session))
			g.Expect(apiserver.Lacks(&session.Spec.Template)).To(Equal(row.lacks))
			g.Expect(session.ObjectMeta).To(Equal(kept))
			g.Expect(session.Spec.Activation).To(BeEquivalentTo(3))

			agent := &v1alpha1.AgentRuntime{ObjectMeta: *object.DeepCopy(), Spec: v1alpha1.AgentRuntimeSpec{Template: template(row.bytes), SessionTTLSecondsAfterStopped: new(int32(7))}}
			g.Expect(apiserver.Slim(nil)(agent)).To(BeIdenticalTo(agent))
			g.Expect(apiserver.Lacks(&agent.Spec.Template)).To(Equal(row.lacks))
			g.Expect(agent.ObjectMeta).To(Equal(kept))
			g.Expect(agent.Spec.SessionTTLSecondsAfterStopped).To(HaveValue(BeEquivalentTo(7)))

			revision := &appsv1.ControllerRevision{Revision: 3, Data: runtime.RawExtension{Raw: []byte(strings.Repeat("a", row.bytes))}}
			g.Expect(apiserver.Slim(nil)(revision)).To(BeIdenticalTo(revision))
			g.Expect(revision.Data.Raw == nil).To(Equal(row.lacks))
			g.Expect(revision.Revision).To(BeEquivalentTo(3))
		})
	}
}

func TestSlimLeavesWhatItDoesNotKnow(t *testing.T) {
	g := NewWithT(t)
	gone := cache.DeletedFinalStateUnknown{Key: "team/session"}
	g.Expect(apiserver.Slim(nil)(gone)).To(Equal(gone))
}

// TestSlimBoundsLabels: 400 sessions of 1.2 MB of labels would fill the operator's memory.
func TestSlimBoundsLabels(t *testing.T) {
	g := NewWithT(t)
	many := func() map[string]string {
		all := map[string]string{"zone": "kept", "zz-operator": "kept", v1alpha1.LabelRuntime: "kept"}
		for i := range 4000 {
			all[fmt.Sprintf("a.example/%04d", i)] = strings.Repeat("a", 63)
		}
		return all
	}
	metadata := func() metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Labels: many(), Finalizers: []string{"a.example/" + strings.Repeat("a", 60)},
			OwnerReferences: []metav1.OwnerReference{{Name: "another"}, {Name: "runtime", Controller: new(true)}, {Name: "no-controller", Controller: new(false)}},
		}
	}
	size := func(all map[string]string) (bytes int) {
		for key, value := range all {
			bytes += len(key) + len(value)
		}
		return bytes
	}
	selector, err := labels.Parse("zone!=b")
	g.Expect(err).NotTo(HaveOccurred())
	session := &v1alpha1.AgentSession{ObjectMeta: metadata(), Status: v1alpha1.AgentSessionStatus{Operator: &v1alpha1.Operator{Selector: "zz-operator=kept"}}}
	agent, revision := &v1alpha1.AgentRuntime{ObjectMeta: metadata()}, &appsv1.ControllerRevision{ObjectMeta: metadata()}
	for _, o := range []metav1.Object{session, agent, revision} {
		_, err := apiserver.Slim(selector)(o)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(size(o.GetLabels())).To(And(BeNumerically("<=", 16<<10), BeNumerically(">", 15<<10)))
		g.Expect(o.GetLabels()).To(And(HaveKeyWithValue("zone", "kept"), HaveKeyWithValue(v1alpha1.LabelRuntime, "kept"), HaveKey("a.example/0000"), Not(HaveKey("a.example/3999"))))
		g.Expect(o.GetFinalizers()).To(BeEmpty())
		g.Expect(o.GetOwnerReferences()).To(ConsistOf(HaveField("Name", "runtime")))
	}
	g.Expect(session.Labels).To(HaveKey("zz-operator"), "by it the operator's selector is held against it")
	g.Expect(agent.Labels).NotTo(HaveKey("zz-operator"))

	few := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a.example/team": "kept"}}}
	_, err = apiserver.Slim(nil)(few)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(few.Labels).To(Equal(map[string]string{"a.example/team": "kept"}), "callers select by any")
}

func TestSlimBoundsOurAnnotations(t *testing.T) {
	g := NewWithT(t)
	notes := func(bytes int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Annotations: map[string]string{"runtime.agentsession.dev/a": "kept", "runtime.agentsession.dev/tags": strings.Repeat("a", bytes)}}
	}
	large, tagged, stuffed := &v1alpha1.AgentSession{ObjectMeta: notes(17 << 10)}, &v1alpha1.AgentRuntime{ObjectMeta: notes(60 << 10)}, &v1alpha1.AgentRuntime{ObjectMeta: notes(65 << 10)}
	for _, o := range []any{large, tagged, stuffed} {
		_, err := apiserver.Slim(nil)(o)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(large.Annotations).To(Equal(map[string]string{"runtime.agentsession.dev/a": "kept"}))
	g.Expect(tagged.Annotations).To(HaveLen(2))
	g.Expect(stuffed.Annotations).To(HaveLen(1))
}
