package kubeapi

import (
	"context"
	"path"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// memory is all that is stored.
type memory struct {
	codecs    serializer.CodecFactory
	revisions revisions
	tables    map[schema.GroupResource]*table
	collector *collector
}

// GetRESTOptions implements generic.RESTOptionsGetter: a registry's storage is a view of
// the table of its resource.
func (m *memory) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	var codec runtime.Codec
	shared := resource
	switch resource.Group {
	case eventsv1.GroupName:
		shared = coreEvents.gv.WithResource(coreEvents.resource).GroupResource()
		codec = eventCodec{m.codecs.LegacyCodec(coreEvents.gv)}
	default:
		codec = unstructured.UnstructuredJSONScheme
		for _, k := range builtIn {
			if k.gv.Group == resource.Group {
				codec = m.codecs.LegacyCodec(k.gv)
			}
		}
	}
	config := storagebackend.Config{Codec: codec}
	return generic.RESTOptions{
		StorageConfig: config.ForResource(resource), ResourcePrefix: path.Join("/registry", shared.Group, shared.Resource), DeleteCollectionWorkers: 1,
		Decorator: func(config *storagebackend.ConfigForResource, _ string, _ func(runtime.Object) (string, error), object, _ func() runtime.Object,
			_ storage.AttrFunc, _ storage.IndexerFuncs, _ *cache.Indexers,
		) (storage.Interface, factory.DestroyFunc, error) {
			return &view{table: m.table(shared), codec: config.Codec, newFunc: object}, func() {}, nil
		},
	}, nil
}

// table returns that of a resource. It is called while stores are made, by one goroutine.
func (m *memory) table(resource schema.GroupResource) *table {
	if known := m.tables[resource]; known != nil {
		return known
	}
	made := newTable(resource, &m.revisions, m.collector)
	made.rolling = resource == coreEvents.gv.WithResource(coreEvents.resource).GroupResource()
	m.tables[resource] = made
	return made
}

// inNamespace refuses to make what is in a namespace that is not there.
type inNamespace struct{ namespaces rest.Getter }

// Handles implements admission.Interface.
func (inNamespace) Handles(operation admission.Operation) bool { return operation == admission.Create }

// Validate implements admission.ValidationInterface.
func (n inNamespace) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetNamespace() == "" || a.GetKind().GroupKind() == namespaces.gv.WithKind("Namespace").GroupKind() {
		return nil
	}
	if _, err := n.namespaces.Get(ctx, a.GetNamespace(), &metav1.GetOptions{}); err != nil {
		return apierrors.NewNotFound(namespaces.gv.WithResource(namespaces.resource).GroupResource(), a.GetNamespace())
	}
	return nil
}
