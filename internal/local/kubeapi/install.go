package kubeapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	restful "github.com/emicklei/go-restful/v3"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
)

// installer makes what answers the requests.
type installer struct {
	memory     *memory
	scheme     *runtime.Scheme
	container  *restful.Container
	namespaces *genericregistry.Store
	groups     interface {
		http.Handler
		AddGroup(metav1.APIGroup)
	}
}

// newHandler returns the API without its door.
func newHandler(m *memory, scheme *runtime.Scheme, address string) (*http.ServeMux, *genericregistry.Store, error) {
	container := restful.NewContainer()
	container.ServeMux = http.NewServeMux()
	container.Router(restful.CurlyRouter{})
	addresses := discovery.DefaultAddresses{DefaultAddress: address}
	i := &installer{memory: m, scheme: scheme, container: container, groups: discovery.NewRootAPIsHandler(addresses, m.codecs)}
	admit, err := i.installBuiltIn()
	if err != nil {
		return nil, nil, err
	}
	container.Add(discovery.NewLegacyRootAPIHandler(addresses, m.codecs, "/api").WebService())
	all, err := definitions()
	if err != nil {
		return nil, nil, err
	}
	custom, err := customResources(all, m, admit, container)
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", container)
	mux.Handle("GET /apis", i.groups)
	mux.HandleFunc("GET /version", serveVersion)
	i.installCustom(mux, custom, all)
	return mux, i.namespaces, nil
}

// installBuiltIn serves the kinds that are built in, and returns what looks at all that
// is made.
func (i *installer) installBuiltIn() (admission.Interface, error) {
	storages := map[schema.GroupVersion]map[string]rest.Storage{}
	for _, k := range builtIn {
		s := i.strategy(k)
		store, err := k.store(i.memory, s)
		if err != nil {
			return nil, err
		}
		if storages[k.gv] == nil {
			storages[k.gv] = map[string]rest.Storage{}
		}
		storages[k.gv][k.resource] = served{store, k.short}
		i.memory.collector.served[k.gv.WithResource(k.resource).GroupResource()] = k.gv.WithResource(k.resource)
		switch k.resource {
		case namespaces.resource:
			i.namespaces = store
		case pods.resource:
			store.DeleteStrategy = podStrategy{s}
			status, change := *store, *s
			change.update, change.change = updatePodStatus, nil
			status.UpdateStrategy = &change
			storages[k.gv]["pods/status"] = statusStore{&status}
			storages[k.gv]["pods/binding"] = bindings{store}
		}
	}
	admit := inNamespace{i.namespaces}
	for _, gv := range slices.SortedFunc(maps.Keys(storages), func(a, b schema.GroupVersion) int { return len(a.Group) - len(b.Group) }) {
		if err := i.installGroup(gv, storages[gv], admit); err != nil {
			return nil, err
		}
	}
	return admit, nil
}

func (i *installer) strategy(k kind) *strategy {
	s := &strategy{ObjectTyper: i.scheme, NameGenerator: names.SimpleNameGenerator, cluster: k.cluster}
	switch k.resource {
	case pods.resource:
		s.create, s.validate, s.update, s.change = createPod, validatePod, updatePod, changePod
	case claims.resource:
		s.create = func(object runtime.Object) { // its folder is made for the pod that mounts it
			object.(*corev1.PersistentVolumeClaim).Status.Phase = corev1.ClaimBound //nolint:forcetypeassert // it is the strategy of claims
		}
	case namespaces.resource:
		s.create = func(object runtime.Object) {
			object.(*corev1.Namespace).Status.Phase = corev1.NamespaceActive //nolint:forcetypeassert // it is the strategy of namespaces
		}
	}
	return s
}

func (i *installer) installGroup(gv schema.GroupVersion, storages map[string]rest.Storage, admit admission.Interface) error {
	root := "/apis"
	if gv.Group == "" {
		root = "/api"
	}
	group := endpoints.APIGroupVersion{
		Storage: storages, Root: root, GroupVersion: gv, MetaGroupVersion: &metav1.SchemeGroupVersion,
		Serializer: i.memory.codecs, ParameterCodec: runtime.NewParameterCodec(i.scheme),
		Typer: i.scheme, Creater: i.scheme, Convertor: i.scheme, UnsafeConvertor: runtime.UnsafeObjectConvertor(i.scheme), Defaulter: i.scheme,
		ConvertabilityChecker: i.scheme, Namer: meta.NewAccessor(), TypeConverter: managedfields.NewDeducedTypeConverter(),
		EquivalentResourceRegistry: runtime.NewEquivalentResourceRegistry(),
		Authorizer:                 authorizerfactory.NewAlwaysAllowAuthorizer(), Admit: admit,
		MinRequestTimeout: minWatch, MaxRequestBodyBytes: maxBody,
	}
	if _, _, err := group.InstallREST(i.container); err != nil {
		return fmt.Errorf("serve %s: %w", gv, err)
	}
	if gv.Group != "" {
		i.groups.AddGroup(groupOf(gv))
		i.container.Add(discovery.NewAPIGroupHandler(i.memory.codecs, groupOf(gv)).WebService())
	}
	return nil
}

func groupOf(gv schema.GroupVersion) metav1.APIGroup {
	version := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
	return metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
}

// verbs are those of a custom resource.
var verbs = metav1.Verbs{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"}

// installCustom serves the custom resources, and tells of them in discovery.
func (i *installer) installCustom(mux *http.ServeMux, custom http.Handler, all []*apiextensionsv1.CustomResourceDefinition) {
	resources := map[schema.GroupVersion]resources{}
	for _, definition := range all {
		for _, version := range definition.Spec.Versions {
			gv, names := schema.GroupVersion{Group: definition.Spec.Group, Version: version.Name}, definition.Spec.Names
			i.memory.collector.served[gv.WithResource(names.Plural).GroupResource()] = gv.WithResource(names.Plural)
			resources[gv] = append(resources[gv], metav1.APIResource{
				Name: names.Plural, SingularName: names.Singular, Namespaced: definition.Spec.Scope == apiextensionsv1.NamespaceScoped,
				Kind: names.Kind, Verbs: verbs, ShortNames: names.ShortNames, Categories: names.Categories,
			}, metav1.APIResource{
				Name: names.Plural + "/status", Namespaced: definition.Spec.Scope == apiextensionsv1.NamespaceScoped,
				Kind: names.Kind, Verbs: metav1.Verbs{"get", "patch", "update"},
			})
		}
	}
	for gv, list := range resources {
		path := "/apis/" + gv.Group
		mux.Handle(path+"/", custom)
		mux.Handle("GET "+path+"/"+gv.Version, discovery.NewAPIVersionHandler(i.memory.codecs, gv, list))
		i.groups.AddGroup(groupOf(gv))
		mux.Handle("GET "+path, discovery.NewAPIGroupHandler(i.memory.codecs, groupOf(gv)))
	}
}

// resources implements discovery.APIResourceLister.
type resources []metav1.APIResource

// ListAPIResources implements discovery.APIResourceLister.
func (r resources) ListAPIResources() []metav1.APIResource { return r }
