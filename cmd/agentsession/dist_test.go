package main

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// readAs are the objects of a kind in a file of dist.
func readAs[T any](t *testing.T, file, kind string) (all []*T) {
	t.Helper()
	for _, o := range manifests(t, file) {
		if o.GetKind() == kind {
			one := new(T)
			NewWithT(t).Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, one)).To(Succeed())
			all = append(all, one)
		}
	}
	return all
}

// TestNamesAreThoseOfDist: what check, report and invoke look for is what is installed.
func TestNamesAreThoseOfDist(t *testing.T) {
	platform, err := labels.Parse(platformSelector)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for file, row := range map[string]struct {
		name, component string
		labels          client.MatchingLabels
	}{operatorFile: {operatorName, "operator", operatorLabels}, gatewayFile: {gatewayName, "gateway", gatewayLabels}} {
		g := NewWithT(t)
		deployments := readAs[appsv1.Deployment](t, file, "Deployment")
		g.Expect(deployments).To(HaveLen(1), file)
		d := deployments[0]
		g.Expect([]string{d.Namespace, d.Name}).To(Equal([]string{platformNamespace, row.name}))
		for _, have := range []map[string]string{d.Labels, d.Spec.Template.Labels} {
			for name, value := range row.labels {
				g.Expect(have).To(HaveKeyWithValue(name, value))
			}
			g.Expect(have).To(HaveKeyWithValue("app.kubernetes.io/component", row.component), "by which check says to describe its pods")
			g.Expect(platform.Matches(labels.Set(have))).To(BeTrue())
		}
		if file == gatewayFile {
			g.Expect(d.Spec.Template.Spec.Containers[0].Ports).To(ContainElement(HaveField("Name", gatewayPort)))
		}
	}

	g := NewWithT(t)
	var leases []string
	for _, role := range readAs[rbacv1.Role](t, operatorFile, "Role") {
		for _, rule := range role.Rules {
			if rule.Resources[0] == "leases" {
				leases = append(leases, rule.ResourceNames...)
			}
		}
	}
	g.Expect(leases).To(Equal([]string{operatorName}))
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
		named := func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == policyName }
		g.Expect(manifests(t, operatorFile)).To(ContainElement(Satisfy(named)), kind)
	}
	g.Expect(readAs[corev1.Namespace](t, operatorFile, "Namespace")).To(ContainElement(HaveField("Name", platformNamespace)))
}
