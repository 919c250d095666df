package apiserver

import (
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Kinds are the kinds that operator, gateway and tool read and write by client and cache. A
// manager that has to ask the API server for them (discovery) cannot be made while that
// is away: the process would end, and Kubernetes starts one that ends ever more slowly.
// It is for ctrl.Options.MapperProvider.
func Kinds(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion, corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, networkingv1.SchemeGroupVersion})
	for kind, scope := range map[schema.GroupVersionKind]meta.RESTScope{
		v1alpha1.GroupVersion.WithKind("AgentSession"):                         meta.RESTScopeNamespace,
		v1alpha1.GroupVersion.WithKind("AgentRuntime"):                         meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("Pod"):                              meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"):            meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("Event"):                            meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("Secret"):                           meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("Namespace"):                        meta.RESTScopeRoot,
		appsv1.SchemeGroupVersion.WithKind("ControllerRevision"):               meta.RESTScopeNamespace,
		networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"):              meta.RESTScopeNamespace,
		authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"): meta.RESTScopeRoot,
	} {
		plural, singular := meta.UnsafeGuessKindToResource(kind)
		mapper.AddSpecific(kind.GroupVersion().WithKind(kind.Kind+"List"), plural, singular, scope)
		mapper.AddSpecific(kind, plural, singular, scope)
	}
	return mapper, nil
}
