package apiserver

import (
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Kinds are the kinds that operator and gateway read and write by client and cache, all
// of them namespaced. A manager that has to ask the API server for them (discovery)
// cannot be made while that is away: the process would end, and Kubernetes starts one
// that ends ever more slowly. It is for ctrl.Options.MapperProvider.
func Kinds(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion, corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion})
	for _, kind := range []schema.GroupVersionKind{
		v1alpha1.GroupVersion.WithKind("AgentSession"),
		v1alpha1.GroupVersion.WithKind("AgentRuntime"),
		corev1.SchemeGroupVersion.WithKind("Pod"),
		corev1.SchemeGroupVersion.WithKind("Secret"),
		appsv1.SchemeGroupVersion.WithKind("ControllerRevision"),
	} {
		plural, singular := meta.UnsafeGuessKindToResource(kind)
		mapper.AddSpecific(kind.GroupVersion().WithKind(kind.Kind+"List"), plural, singular, meta.RESTScopeNamespace)
		mapper.AddSpecific(kind, plural, singular, meta.RESTScopeNamespace)
	}
	return mapper, nil
}
