package apiserver

import (
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// small is up to how many bytes, as Protocol Buffers, a template stays in a cache, and
	// as JSON what a version records: enough for nearly all, at a price that a cache of
	// 10,000 can pay. It bounds the labels of an object too, and the annotations of a session.
	small = 16 << 10
	// noted bounds the annotations of a runtime: its tags alone may be 20 KB.
	noted = 64 << 10
)

// Slim is the transform of every cache (cache.Options.DefaultTransform). It leaves out
// who wrote which field, annotations that are not ours, finalizers, owners that are no controllers, and a
// template that is large: that is needed only when a pod is made or a version is recorded. Who needs it asks
// the API server. Labels are bounded: those that a selector names, which may be nil, and then ours are
// the last that are left out.
func Slim(selector labels.Selector) cache.TransformFunc {
	named := keysOf(selector)
	return func(object any) (any, error) {
		if o, ok := object.(metav1.Object); ok {
			o.SetManagedFields(nil)
		}
		switch o := object.(type) {
		case *v1alpha1.AgentSession:
			needed := named
			if o.Status.Operator != nil && sizeOf(o.Labels) > small {
				if of, err := labels.Parse(o.Status.Operator.Selector); err == nil {
					needed = append(slices.Clip(named), keysOf(of)...)
				}
			}
			slimMetadata(&o.ObjectMeta, small, needed)
			slim(&o.Spec.Template)
		case *v1alpha1.AgentRuntime:
			slimMetadata(&o.ObjectMeta, noted, named)
			slim(&o.Spec.Template)
		case *appsv1.ControllerRevision:
			slimMetadata(&o.ObjectMeta, small, named)
			if len(o.Data.Raw) > small {
				o.Data.Raw = nil
			}
		}
		return object, nil
	}
}

// keysOf are the labels that a selector names.
func keysOf(selector labels.Selector) (keys []string) {
	if selector == nil {
		return nil
	}
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		keys = append(keys, r.Key())
	}
	return keys
}

// slimMetadata bounds what tenants write into the metadata of an object, of annotations to most bytes.
func slimMetadata(o *metav1.ObjectMeta, most int, needed []string) {
	maps.DeleteFunc(o.Annotations, func(key, _ string) bool { return !isOwn(key) })
	o.Annotations = bounded(o.Annotations, most, nil)
	o.Labels = bounded(o.Labels, small, needed)
	o.Finalizers = nil
	o.OwnerReferences = slices.DeleteFunc(o.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Controller == nil || !*r.Controller })
}

func isOwn(key string) bool { return strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") }

func sizeOf(all map[string]string) (bytes int) {
	for key, value := range all {
		bytes += len(key) + len(value)
	}
	return bytes
}

// bounded is a map of which so much is left out that it has at most so many bytes. What is needed
// comes first, then what is ours, and else the order is that of the keys.
func bounded(all map[string]string, most int, needed []string) map[string]string {
	if sizeOf(all) <= most {
		return all
	}
	rank := func(key string) int {
		switch {
		case slices.Contains(needed, key):
			return 0
		case isOwn(key):
			return 1
		}
		return 2
	}
	keys := slices.Sorted(maps.Keys(all))
	slices.SortStableFunc(keys, func(a, b string) int { return rank(a) - rank(b) })
	kept := map[string]string{}
	for _, key := range keys {
		if most -= len(key) + len(all[key]); most < 0 {
			break
		}
		kept[key] = all[key]
	}
	return kept
}

func slim(template *corev1.PodTemplateSpec) {
	if template.Size() > small {
		*template = corev1.PodTemplateSpec{}
	}
}

// Lacks tells whether a template that must be there was left out: one has a container.
func Lacks(template *corev1.PodTemplateSpec) bool { return len(template.Spec.Containers) == 0 }
