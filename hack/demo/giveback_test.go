package main

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// deploymentWith is a deployment as an API server has it.
func deploymentWith(name, args string, annotations map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": name, "resourceVersion": args, "annotations": annotations},
		"spec":     map[string]any{"args": args},
	}}
}

func TestADeploymentIsGivenBack(t *testing.T) {
	g := NewWithT(t)
	now := deploymentWith("o", "scaled", map[string]any{corev1.LastAppliedConfigAnnotation: "the demo's", "deployment.kubernetes.io/revision": "7"})
	back := asFound(now, deploymentWith("o", "theirs", map[string]any{corev1.LastAppliedConfigAnnotation: "theirs", "deployment.kubernetes.io/revision": "6"}))
	g.Expect(back.Object["spec"]).To(Equal(map[string]any{"args": "theirs"}))
	g.Expect(back.GetAnnotations()).To(Equal(map[string]string{corev1.LastAppliedConfigAnnotation: "theirs", "deployment.kubernetes.io/revision": "7"}))
	g.Expect(back.GetResourceVersion()).To(Equal("scaled"), "what changes meanwhile is not overwritten")

	back = asFound(now, deploymentWith("o", "helm's", nil))
	g.Expect(back.GetAnnotations()).To(Equal(map[string]string{"deployment.kubernetes.io/revision": "7"}), "kubectl has applied nothing")
	g.Expect(now.Object["spec"]).To(Equal(map[string]any{"args": "scaled"}))
}

func TestLeft(t *testing.T) {
	operator, gateway := deploymentWith("operator", "", nil), deploymentWith("gateway", "", nil)
	for name, row := range map[string]struct {
		all       []changed
		want, not string
	}{
		"nothing was there":       {[]changed{{plain: operator}, {plain: gateway}}, "make undeploy", "as it was found"},
		"the operator was there":  {[]changed{{found: operator, plain: operator}, {plain: gateway}}, "kubectl delete -f dist/install-gateway.yaml", "make undeploy"},
		"both were there":         {[]changed{{found: operator, plain: operator}, {found: gateway, plain: gateway}}, "gateway is as it was found", "take away what is new"},
		"it ended half way there": {[]changed{{found: operator, plain: operator}}, "operator is as it was found", "take away what is new"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(rendered(left(row.all), false)).To(And(ContainSubstring(row.want), Not(ContainSubstring(row.not)),
				ContainSubstring("kubectl delete namespace "+namespace)))
		})
	}
}

func TestPoliciesThatAreNewAreTold(t *testing.T) {
	g := NewWithT(t)
	g.Expect(leftBehind([]string{"a"}, []string{"a", namespace})).To(BeEmpty())
	g.Expect(rendered(leftBehind([]string{"a"}, []string{"a", "b", namespace}), false)).To(ContainSubstring("kubectl delete networkpolicy -n b agentsession-agents"))
}

func TestOthersSessionsAreSpared(t *testing.T) {
	g := NewWithT(t)
	session := func(namespace string, state v1alpha1.SessionState) (s v1alpha1.AgentSession) {
		s.Namespace, s.Status.State = namespace, state
		return s
	}
	g.Expect(othersAlive([]v1alpha1.AgentSession{session(namespace, v1alpha1.StateActive), session("theirs", v1alpha1.StateStopped)})).To(BeNil())
	g.Expect(othersAlive([]v1alpha1.AgentSession{session("theirs", v1alpha1.StateIdle)})).To(HaveField("Namespace", "theirs"))
	g.Expect(othersAlive([]v1alpha1.AgentSession{session("theirs", "")})).NotTo(BeNil(), "it is about to start")
}

func TestKubectlFindsWhatWasApplied(t *testing.T) {
	g := NewWithT(t)
	object := deploymentWith("o", "a", map[string]any{"ours": "x", corev1.LastAppliedConfigAnnotation: "older"})
	g.Expect(rememberAsKubectl(object)).To(Succeed())
	var last unstructured.Unstructured
	g.Expect(json.Unmarshal([]byte(object.GetAnnotations()[corev1.LastAppliedConfigAnnotation]), &last.Object)).To(Succeed())
	g.Expect(last.Object["spec"]).To(Equal(map[string]any{"args": "a"}))
	g.Expect(last.GetAnnotations()).To(Equal(map[string]string{"ours": "x"}), "without its own self")

	bare := deploymentWith("o", "a", nil)
	bare.SetAnnotations(nil)
	g.Expect(rememberAsKubectl(bare)).To(Succeed())
	g.Expect(bare.GetAnnotations()).To(HaveKey(corev1.LastAppliedConfigAnnotation))
}
