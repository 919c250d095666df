package kubeapi

import (
	"context"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
)

// kind is one that is built in.
type kind struct {
	gv                 schema.GroupVersion
	resource, singular string
	short              []string
	object, list       func() runtime.Object
	cluster            bool
	// fields of an object that can be selected by, besides its name and namespace.
	fields func(runtime.Object) fields.Set
}

var (
	namespaces = kind{
		gv: corev1.SchemeGroupVersion, resource: "namespaces", singular: "namespace", short: []string{"ns"}, cluster: true,
		object: func() runtime.Object { return &corev1.Namespace{} }, list: func() runtime.Object { return &corev1.NamespaceList{} },
	}
	pods = kind{
		gv: corev1.SchemeGroupVersion, resource: "pods", singular: "pod", short: []string{"po"},
		object: func() runtime.Object { return &corev1.Pod{} }, list: func() runtime.Object { return &corev1.PodList{} },
		fields: podFields,
	}
	claims = kind{
		gv: corev1.SchemeGroupVersion, resource: "persistentvolumeclaims", singular: "persistentvolumeclaim", short: []string{"pvc"},
		object: func() runtime.Object { return &corev1.PersistentVolumeClaim{} }, list: func() runtime.Object { return &corev1.PersistentVolumeClaimList{} },
	}
	coreEvents = kind{
		gv: corev1.SchemeGroupVersion, resource: "events", singular: "event", short: []string{"ev"},
		object: func() runtime.Object { return &corev1.Event{} }, list: func() runtime.Object { return &corev1.EventList{} },
		fields: eventFields,
	}
	events = kind{
		gv: eventsv1.SchemeGroupVersion, resource: "events", singular: "event", short: []string{"ev"},
		object: func() runtime.Object { return &eventsv1.Event{} }, list: func() runtime.Object { return &eventsv1.EventList{} },
	}
	revisionsKind = kind{
		gv: appsv1.SchemeGroupVersion, resource: "controllerrevisions", singular: "controllerrevision",
		object: func() runtime.Object { return &appsv1.ControllerRevision{} }, list: func() runtime.Object { return &appsv1.ControllerRevisionList{} },
	}
	leases = kind{
		gv: coordinationv1.SchemeGroupVersion, resource: "leases", singular: "lease",
		object: func() runtime.Object { return &coordinationv1.Lease{} }, list: func() runtime.Object { return &coordinationv1.LeaseList{} },
	}
	builtIn = []kind{namespaces, pods, claims, coreEvents, events, revisionsKind, leases}
)

func podFields(object runtime.Object) fields.Set {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		pod = &corev1.Pod{}
	}
	return fields.Set{"spec.nodeName": pod.Spec.NodeName, "status.phase": string(pod.Status.Phase)}
}

func eventFields(object runtime.Object) fields.Set {
	event, ok := object.(*corev1.Event)
	if !ok {
		event = &corev1.Event{}
	}
	of := event.InvolvedObject
	return fields.Set{
		"involvedObject.kind": of.Kind, "involvedObject.namespace": of.Namespace, "involvedObject.name": of.Name,
		"involvedObject.uid": string(of.UID), "involvedObject.apiVersion": of.APIVersion, "reason": event.Reason, "type": event.Type,
	}
}

// selectable are the labels and fields that an object is selected by.
func (k *kind) selectable(object runtime.Object) (labels.Set, fields.Set, error) {
	o, err := meta.Accessor(object)
	if err != nil {
		return nil, nil, fmt.Errorf("select a %s: %w", k.singular, err)
	}
	set := fields.Set{"metadata.name": o.GetName()}
	if !k.cluster {
		set["metadata.namespace"] = o.GetNamespace()
	}
	if k.fields != nil {
		maps.Copy(set, k.fields(object))
	}
	return o.GetLabels(), set, nil
}

// newScheme has each kind that is built in, and as its own internal version: there is
// one version, so nothing is converted.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	scheme.AddUnversionedTypes(schema.GroupVersion{Version: "v1"}, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	done := map[schema.GroupVersion]bool{{Version: "v1"}: true}
	for _, k := range builtIn {
		scheme.AddKnownTypes(k.gv, k.object(), k.list())
		scheme.AddKnownTypes(schema.GroupVersion{Group: k.gv.Group, Version: runtime.APIVersionInternal}, k.object(), k.list())
		if k.gv == corev1.SchemeGroupVersion {
			scheme.AddKnownTypes(k.gv, &corev1.Binding{})
			scheme.AddKnownTypes(schema.GroupVersion{Version: runtime.APIVersionInternal}, &corev1.Binding{})
		}
		if !done[k.gv] {
			metav1.AddToGroupVersion(scheme, k.gv)
			done[k.gv] = true
		}
		if err := k.addFieldLabels(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

func (k *kind) addFieldLabels(scheme *runtime.Scheme) error {
	of, _, err := scheme.ObjectKinds(k.object())
	if err != nil {
		return fmt.Errorf("find the kind of %s: %w", k.resource, err)
	}
	_, known, err := k.selectable(k.object())
	if err != nil {
		return err
	}
	known["metadata.namespace"] = ""
	return scheme.AddFieldLabelConversionFunc(k.gv.WithKind(of[0].Kind), func(label, value string) (string, string, error) {
		if !known.Has(label) {
			return "", "", fmt.Errorf("field label not supported: %s", label)
		}
		return label, value, nil
	})
}

// store is the registry of a kind.
func (k *kind) store(options generic.RESTOptionsGetter, s *strategy) (*genericregistry.Store, error) {
	resource := k.gv.WithResource(k.resource).GroupResource()
	store := &genericregistry.Store{
		NewFunc: k.object, NewListFunc: k.list,
		PredicateFunc: func(label labels.Selector, field fields.Selector) storage.SelectionPredicate {
			return storage.SelectionPredicate{Label: label, Field: field, GetAttrs: k.selectable}
		},
		DefaultQualifiedResource: resource, SingularQualifiedResource: k.gv.WithResource(k.singular).GroupResource(),
		CreateStrategy: s, UpdateStrategy: s, DeleteStrategy: s,
		TableConvertor: rest.NewDefaultTableConvertor(resource),
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: options, AttrFunc: k.selectable}); err != nil {
		return nil, fmt.Errorf("make the store of %s: %w", k.resource, err)
	}
	return store, nil
}

// served is a store under the short names of its kind.
type served struct {
	*genericregistry.Store
	short []string
}

// ShortNames implements rest.ShortNamesProvider.
func (s served) ShortNames() []string { return s.short }

// statusStore is the subresource status of a store.
type statusStore struct {
	store *genericregistry.Store
}

// New implements rest.Storage, as Destroy does.
func (s statusStore) New() runtime.Object { return s.store.New() }

// Destroy implements rest.Storage: the store itself is destroyed.
func (s statusStore) Destroy() {}

// Get implements rest.Getter.
func (s statusStore) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return s.store.Get(ctx, name, options)
}

// Update implements rest.Updater.
func (s statusStore) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.store.Update(ctx, name, info, create, update, false, options)
}
