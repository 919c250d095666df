package main

import (
	"context"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// installed are the resources that are made from dist/install.yaml and
// dist/install-gateway.yaml, by apiVersion and kind.
var installed = []struct {
	apiVersion, kind, resource string
	namespaced                 bool
}{
	{"v1", "Namespace", "namespaces", false},
	{"v1", "Service", "services", true},
	{"v1", "ServiceAccount", "serviceaccounts", true},
	{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false},
	{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false},
	{"apps/v1", "Deployment", "deployments", true},
	{"networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", true},
	{"policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true},
	{"rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false},
	{"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", false},
	{"rbac.authorization.k8s.io/v1", "Role", "roles", true},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", true},
	{"scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false},
}

// rights looks whether the user may make what an install has.
func (k *checker) rights(ctx context.Context) {
	const what = "your rights"
	var denied []string
	for _, i := range installed {
		group := schema.FromAPIVersionAndKind(i.apiVersion, i.kind).Group
		asked := authorizationv1.ResourceAttributes{Verb: "create", Group: group, Resource: i.resource}
		if i.namespaced {
			asked.Namespace = platformNamespace
		}
		may, err := k.may(ctx, asked)
		if err != nil {
			k.unseen(what, err)
			return
		}
		if !may {
			denied = append(denied, schema.GroupResource{Group: group, Resource: i.resource}.String())
		}
	}
	if len(denied) > 0 {
		k.add(missing, what, "you may not create %s: have who may do that install it, or ask for the rights (%s and %s)", strings.Join(denied, ", "), operatorFile, gatewayFile)
		return
	}
	k.add(passed, what, "you may create all that %s and %s have", operatorFile, gatewayFile)
	for _, verb := range []string{"escalate", "bind"} {
		may, err := k.may(ctx, authorizationv1.ResourceAttributes{Verb: verb, Group: rbacv1.GroupName, Resource: "clusterroles"})
		if err == nil && !may {
			k.add(warning, what, "a role can have no rights that you do not have, unless you may %s roles, so the API server may refuse those of the install: `%s auth can-i --list` shows yours", verb, k.tools.Kubectl)
			return
		}
	}
}

// may tells whether the user may do something.
func (k *checker) may(ctx context.Context, asked authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &asked}}
	if err := k.Create(ctx, review); err != nil {
		return false, err //nolint:wrapcheck // the caller's words
	}
	return review.Status.Allowed, nil
}
