package apiserver_test

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
)

func TestKinds(t *testing.T) {
	g := NewWithT(t)
	mapper, err := apiserver.Kinds(nil, nil)
	g.Expect(err).NotTo(HaveOccurred())
	for resource, kind := range map[string]schema.GroupVersionKind{
		"agentsessions":          v1alpha1.GroupVersion.WithKind("AgentSession"),
		"agentruntimes":          v1alpha1.GroupVersion.WithKind("AgentRuntime"),
		"pods":                   corev1.SchemeGroupVersion.WithKind("Pod"),
		"persistentvolumeclaims": corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"),
		"events":                 corev1.SchemeGroupVersion.WithKind("Event"),
		"secrets":                corev1.SchemeGroupVersion.WithKind("Secret"),
		"namespaces":             corev1.SchemeGroupVersion.WithKind("Namespace"),
		"controllerrevisions":    appsv1.SchemeGroupVersion.WithKind("ControllerRevision"),
		"networkpolicies":        networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"),

		"selfsubjectaccessreviews": authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"),
	} {
		scope := meta.RESTScopeNamespace
		if kind.Kind == "Namespace" || kind.Kind == "SelfSubjectAccessReview" {
			scope = meta.RESTScopeRoot
		}
		for _, name := range []string{kind.Kind, kind.Kind + "List"} {
			g.Expect(mapper.RESTMapping(schema.GroupKind{Group: kind.Group, Kind: name}, kind.Version)).To(And(
				HaveField("Resource", kind.GroupVersion().WithResource(resource)), HaveField("Scope", scope)))
		}
		g.Expect(mapper.KindFor(kind.GroupVersion().WithResource(resource))).To(Equal(kind))
	}
}
