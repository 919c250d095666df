package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// operatorLabels are those of the operator's Deployment (config/manager).
var operatorLabels = client.MatchingLabels{"app.kubernetes.io/name": "agentsession", "app.kubernetes.io/component": "operator"}

// before are the looks at a cluster before an install.
func (k *checker) before() []func(context.Context) {
	return []func(context.Context){k.policies, k.rights, k.kinds, k.otherOperators, k.home, k.nodes, k.storage, k.network}
}

// policies looks whether the API server has those that keep templates in bounds.
func (k *checker) policies(context.Context) {
	const what = "ValidatingAdmissionPolicy"
	list, err := k.discovery.ServerResourcesForGroupVersion(admissionv1.SchemeGroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		k.unseen(what, err)
		return
	}
	served := map[string]bool{}
	if list != nil {
		for i := range list.APIResources {
			served[list.APIResources[i].Kind] = true
		}
	}
	if !served[what] || !served[what+"Binding"] {
		k.add(missing, what, "the API server does not serve it in %s: without, a template could use any service account of its namespace. Turn that API on (--runtime-config)", admissionv1.SchemeGroupVersion)
		return
	}
	k.add(passed, what, "it is served")
}

// kinds looks at CustomResourceDefinitions of our group that are there already.
func (k *checker) kinds(ctx context.Context) {
	const what = "CustomResourceDefinitions"
	var list apiextensionsv1.CustomResourceDefinitionList
	if err := k.List(ctx, &list); err != nil {
		k.unseen(what, err)
		return
	}
	none := true
	for i := range list.Items {
		if there := &list.Items[i]; there.Spec.Group == v1alpha1.GroupVersion.Group {
			none = false
			k.kind(there)
		}
	}
	if none {
		k.add(passed, what, "there are none of %s: the install makes them", v1alpha1.GroupVersion.Group)
	}
}

func (k *checker) kind(there *apiextensionsv1.CustomResourceDefinition) {
	i := slices.IndexFunc(k.definitions, func(d *apiextensionsv1.CustomResourceDefinition) bool { return d.Name == there.Name })
	if i < 0 {
		k.add(warning, there.Name, "it is none of this version's: see what installed it")
		return
	}
	var versions []string
	for j := range k.definitions[i].Spec.Versions {
		versions = append(versions, k.definitions[i].Spec.Versions[j].Name)
	}
	foreign := slices.DeleteFunc(slices.Clone(there.Status.StoredVersions), func(v string) bool { return slices.Contains(versions, v) })
	switch owner := helmRelease(there); {
	case len(foreign) > 0:
		k.add(missing, there.Name, "objects are stored as %s, which this version does not have, so that the API server refuses the install: use the version that has it", strings.Join(foreign, ", "))
	case owner != "":
		k.add(warning, there.Name, "it is of %s, which may change it back: upgrade or uninstall that first", owner)
	case !same(there, k.definitions[i]):
		k.add(warning, there.Name, "it is another version's: the install changes it (docs/operating.md, \"Upgrade\")")
	default:
		k.add(passed, there.Name, "it is this version's already")
	}
}

// Helm says by these annotations which release an object is of.
const (
	helmName      = "meta.helm.sh/release-name"
	helmNamespace = "meta.helm.sh/release-namespace"
)

// helmRelease is the release of Helm that an object is of; empty if it is of none.
func helmRelease(o client.Object) string {
	switch name := o.GetAnnotations()[helmName]; {
	case name != "":
		return fmt.Sprintf("Helm's release %s in namespace %s", name, o.GetAnnotations()[helmNamespace])
	case o.GetLabels()["app.kubernetes.io/managed-by"] == "Helm":
		return "a release of Helm"
	}
	return ""
}

// otherOperators looks for operators outside of the platform's namespace: two of them would not
// know of each other.
func (k *checker) otherOperators(ctx context.Context) {
	const what = "no other operator"
	var list appsv1.DeploymentList
	if err := k.List(ctx, &list, operatorLabels); err != nil {
		k.unseen(what, err)
		return
	}
	var others []string
	for i := range list.Items {
		if at := list.Items[i].Namespace; at != platformNamespace {
			others = append(others, at+"/"+list.Items[i].Name)
		}
	}
	switch {
	case len(others) > 0:
		k.add(missing, what, "Deployment %s works on all sessions of the cluster, and so would the new one: delete it first", strings.Join(others, ", "))
	case len(list.Items) > 0:
		k.add(passed, what, "there is none; that of namespace %s is replaced", platformNamespace)
	default:
		k.add(passed, what, "there is none")
	}
}

// home looks at the namespace that the install goes to.
func (k *checker) home(ctx context.Context) {
	const what = "namespace " + platformNamespace
	var namespace corev1.Namespace
	err := k.Get(ctx, client.ObjectKey{Name: platformNamespace}, &namespace)
	const label = "pod-security.kubernetes.io/enforce"
	switch enforced := namespace.Labels[label]; {
	case apierrors.IsNotFound(err):
		k.add(passed, what, "it is not there: the install makes it")
	case err != nil:
		k.unseen(what, err)
	case namespace.DeletionTimestamp != nil:
		k.add(missing, what, "it is being deleted: wait until it is gone")
	case enforced != "restricted":
		k.add(warning, what, "the install sets its label %s, now %q, to restricted: pods of others there that need more do not start again", label, enforced)
	default:
		k.add(passed, what, "it is there, and its Pod Security is restricted, which the platform's pods keep")
	}
}

// defaultClass is on the StorageClass of claims that name none.
const defaultClass = "storageclass.kubernetes.io/is-default-class"

// architectures are those that the images are built for.
var architectures = []string{"amd64", "arm64"}

// nodes looks for some that can run the images.
func (k *checker) nodes(ctx context.Context) {
	const what = "nodes"
	var list corev1.NodeList
	if err := k.List(ctx, &list); err != nil {
		k.unseen(what, err)
		return
	}
	able, others := map[string]int{}, map[string]int{}
	for i := range list.Items {
		node := &list.Items[i]
		info := node.Status.NodeInfo
		switch {
		case !ready(node):
			others["not Ready"]++
		case info.OperatingSystem != "linux" || !slices.Contains(architectures, info.Architecture):
			others[info.OperatingSystem+"/"+info.Architecture]++
		default:
			able[info.Architecture]++
		}
	}
	switch counts := strings.Join(append(counted(able), counted(others)...), ", "); {
	case len(able) == 0:
		k.add(missing, what, "none is Ready, open to pods and linux of %s%s: add one", strings.Join(architectures, " or "), inBrackets(counts))
	case len(able) > 1:
		k.add(warning, what, "there are %s: build the images for each of these architectures, or pods start on some only", counts)
	default:
		k.add(passed, what, "there are %s", counts)
	}
}

func ready(node *corev1.Node) bool {
	return !node.Spec.Unschedulable && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func counted(all map[string]int) (texts []string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		texts = append(texts, fmt.Sprintf("%d %s", all[name], name))
	}
	return texts
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// storage looks for the StorageClass of claims that name none, as those of session storage are
// unless a runtime says another.
func (k *checker) storage(ctx context.Context) {
	const what = "session storage"
	var list storagev1.StorageClassList
	if err := k.List(ctx, &list); err != nil {
		k.unseen(what, err)
		return
	}
	var defaults, names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
		if list.Items[i].Annotations[defaultClass] == "true" {
			defaults = append(defaults, list.Items[i].Name)
		}
	}
	slices.Sort(names)
	slices.Sort(defaults)
	switch {
	case len(list.Items) == 0:
		k.add(passed, what, "there is no StorageClass: sessions of runtimes that have sessionStorage do not start. Others need none")
	case len(defaults) == 0:
		k.add(passed, what, "no StorageClass is the default: a runtime that has sessionStorage must name one (%s)", strings.Join(names[:min(len(names), maxNamed)], ", "))
	default:
		k.add(passed, what, "a claim that names no StorageClass gets %s", defaults[0])
	}
}

// network says what no API tells.
func (k *checker) network(context.Context) {
	k.add(warning, "NetworkPolicy", "whether the cluster's network enforces it cannot be known from here: ask who runs it. Without, every pod reaches the agents' ports")
}
