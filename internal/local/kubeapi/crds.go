package kubeapi

import (
	"fmt"
	"net/http"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	listers "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/client-go/tools/cache"

	"github.com/agentsession/agentsession/config/crd"
)

// definitions reads the CustomResourceDefinitions that the program carries, as they are
// once an API server has established them.
func definitions() (all []*apiextensionsv1.CustomResourceDefinition, err error) {
	if all, err = crd.Definitions(); err != nil {
		return nil, err
	}
	for _, definition := range all {
		apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&definition.Spec)
		definition.UID = types.UID(definition.Name)
		definition.Status.AcceptedNames = definition.Spec.Names
		for _, condition := range []apiextensionsv1.CustomResourceDefinitionConditionType{apiextensionsv1.NamesAccepted, apiextensionsv1.Established} {
			definition.Status.Conditions = append(definition.Status.Conditions, apiextensionsv1.CustomResourceDefinitionCondition{
				Type: condition, Status: apiextensionsv1.ConditionTrue,
				LastTransitionTime: metav1.Unix(0, 0), // or the first objects would wait for others to hear of it
			})
		}
	}
	return all, nil
}

// established is the informer of definitions that never change.
type established struct{ cache.SharedIndexInformer }

func (e established) Informer() cache.SharedIndexInformer { return e.SharedIndexInformer }

func (e established) Lister() listers.CustomResourceDefinitionLister {
	return listers.NewCustomResourceDefinitionLister(e.GetIndexer())
}

// customResources serves the objects of definitions as the API server of every cluster
// does, and leaves all other requests to next.
func customResources(all []*apiextensionsv1.CustomResourceDefinition, options generic.RESTOptionsGetter, admit admission.Interface, next http.Handler) (http.Handler, error) {
	informer := established{cache.NewSharedIndexInformer(nil, &apiextensionsv1.CustomResourceDefinition{}, 0, cache.Indexers{})}
	for _, definition := range all {
		if err := informer.GetIndexer().Add(definition); err != nil {
			return nil, fmt.Errorf("add %s: %w", definition.Name, err)
		}
	}
	handler, err := apiextensions.NewCustomResourceDefinitionHandler(nil, nil, informer, next, options, admit, nil, nil, nil, 1,
		authorizerfactory.NewAlwaysAllowAuthorizer(), time.Minute, minWatch, nil, maxBody)
	if err != nil {
		return nil, fmt.Errorf("serve the custom resources: %w", err)
	}
	return handler, nil
}
