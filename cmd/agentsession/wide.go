package main

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// wide is a client of the kinds of what is installed, which most verbs do not look at.
func (c *cluster) wide() (client.WithWatch, discovery.DiscoveryInterface, error) {
	scheme, mapper := runtime.NewScheme(), meta.NewDefaultRESTMapper(nil)
	err := errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme),
		admissionv1.AddToScheme(scheme), storagev1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme))
	if err != nil {
		return nil, nil, fmt.Errorf("name the kinds: %w", err)
	}
	for scope, kinds := range map[meta.RESTScope][]schema.GroupVersionKind{
		meta.RESTScopeNamespace: {appsv1.SchemeGroupVersion.WithKind("Deployment"), coordinationv1.SchemeGroupVersion.WithKind("Lease")},
		meta.RESTScopeRoot: {
			corev1.SchemeGroupVersion.WithKind("Namespace"), corev1.SchemeGroupVersion.WithKind("Node"),
			apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"), authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), storagev1.SchemeGroupVersion.WithKind("StorageClass"),
			admissionv1.SchemeGroupVersion.WithKind("ValidatingAdmissionPolicy"), admissionv1.SchemeGroupVersion.WithKind("ValidatingAdmissionPolicyBinding"),
		},
	} {
		for _, kind := range kinds {
			mapper.Add(kind, scope)
		}
	}
	wide, err := client.NewWithWatch(c.config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, nil, fmt.Errorf("make a client: %w", err)
	}
	known, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client: %w", err)
	}
	return wide, known, nil
}
