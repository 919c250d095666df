package apiserver

import (
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// small is up to how many bytes, as Protocol Buffers, a template stays in a cache, and
// as JSON what a version records: enough for nearly all, at a price that a cache of
// 10,000 can pay.
const small = 16 << 10

// Slim is the transform of every cache (cache.Options.DefaultTransform). It leaves out
// who wrote which field, annotations that are not ours, and a template that is large:
// that is needed only when a pod is made or a version is recorded. Who needs it asks
// the API server.
func Slim(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		o.SetManagedFields(nil)
	}
	switch o := object.(type) {
	case *v1alpha1.AgentSession:
		o.Annotations = ownMetadata(o.Annotations)
		slim(&o.Spec.Template)
	case *v1alpha1.AgentRuntime:
		o.Annotations = ownMetadata(o.Annotations)
		slim(&o.Spec.Template)
	case *appsv1.ControllerRevision:
		if len(o.Data.Raw) > small {
			o.Data.Raw = nil
		}
	}
	return object, nil
}

func ownMetadata(annotations map[string]string) map[string]string {
	maps.DeleteFunc(annotations, func(key, _ string) bool { return !strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") })
	return annotations
}

func slim(template *corev1.PodTemplateSpec) {
	if template.Size() > small {
		*template = corev1.PodTemplateSpec{}
	}
}

// Lacks tells whether a template that must be there was left out: one has a container.
func Lacks(template *corev1.PodTemplateSpec) bool { return len(template.Spec.Containers) == 0 }
