package chart

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const sessionsCRD = "agentsessions.runtime.agentsession.dev"

// TestInstallUpgradeUninstall: helm makes all objects, upgrades the CustomResourceDefinitions
// too, and takes all away but those and what is of their kinds, unless it is told to.
func TestInstallUpgradeUninstall(t *testing.T) {
	t.Parallel()
	g, p := NewWithT(t), startPlane(t)
	categories := func() []string {
		var crd apiextensionsv1.CustomResourceDefinition
		g.Expect(p.api.Get(t.Context(), client.ObjectKey{Name: sessionsCRD}, &crd)).To(Succeed())
		return crd.Spec.Names.Categories
	}
	older := copyOf(t, func(path string, text []byte) []byte {
		if !strings.HasSuffix(path, "_agentsessions.yaml") {
			return text
		}
		g.Expect(text).To(ContainSubstring("    categories:\n    - agents\n"))
		return bytes.Replace(text, []byte("    categories:\n    - agents\n"), nil, 1)
	})
	notes := p.helm(t, "install", release, older, "--create-namespace")
	g.Expect(notes).To(And(ContainSubstring("kubectl rollout status -n agentsession-system deployment/agentsession-operator"),
		ContainSubstring("kubectl apply -n default -f examples/echo.yaml"), Not(ContainSubstring("gateway"))))
	_, missing := p.uids(t, objects(t, template(t)))
	g.Expect(missing).To(BeEmpty())
	g.Expect(categories()).To(BeEmpty())
	session, err := p.session(t.Context(), "default", "echo", 8080)
	g.Expect(err).NotTo(HaveOccurred())

	notes = p.helm(t, "upgrade", release, dir, "--set", "gateway.enabled=true")
	g.Expect(notes).To(ContainSubstring("deployment/agentsession-gateway"))
	all := objects(t, template(t, "--set", "gateway.enabled=true"))
	_, missing = p.uids(t, all)
	g.Expect(missing).To(BeEmpty())
	g.Expect(categories()).To(ConsistOf("agents"))

	uid := session.UID
	p.helm(t, "uninstall", release)
	there, _ := p.uids(t, all)
	g.Expect(slices.Sorted(maps.Keys(there))).To(Equal([]string{
		"CustomResourceDefinition  agentruntimes.runtime.agentsession.dev", "CustomResourceDefinition  " + sessionsCRD,
	}))
	g.Expect(p.api.Get(t.Context(), client.ObjectKeyFromObject(session), session)).To(Succeed())
	g.Expect(session.UID).To(Equal(uid))
	g.Expect(session.DeletionTimestamp).To(BeNil())

	p.helm(t, "install", release, dir) // what was kept is taken up again
	p.helm(t, "upgrade", release, dir, "--set", "crds.keep=false")
	p.helm(t, "uninstall", release)
	g.Eventually(func() error { return p.api.Get(t.Context(), client.ObjectKeyFromObject(session), session) }, patience).Should(Not(Succeed()))
	g.Eventually(func() error {
		return p.api.Get(t.Context(), client.ObjectKey{Name: sessionsCRD}, &apiextensionsv1.CustomResourceDefinition{})
	}, patience).Should(Satisfy(apierrors.IsNotFound))
}

// TestFromInstallFilesToTheChartAndBack: nothing is made anew on the way, and either has
// its way with the fields.
func TestFromInstallFilesToTheChartAndBack(t *testing.T) {
	t.Parallel()
	for name, apply := range map[string][]string{
		"applied by the API server": {"apply", "--server-side", "-f", top + "/dist/install.yaml", "-f", top + "/dist/install-gateway.yaml"},
		"applied by kubectl":        {"apply", "-f", top + "/dist/install.yaml", "-f", top + "/dist/install-gateway.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			g, p := NewWithT(t), startPlane(t)
			replicas := func() int32 {
				var operator appsv1.Deployment
				g.Expect(p.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "agentsession-operator"}, &operator)).To(Succeed())
				return *operator.Spec.Replicas
			}
			p.kubectl(t, apply...)
			all := objects(t, template(t, "--set", "gateway.enabled=true"))
			begun, missing := p.uids(t, all)
			g.Expect(missing).To(BeEmpty())
			g.Expect(replicas()).To(BeEquivalentTo(2))

			out, err := helm(t, "upgrade", "--install", release, dir, "--kubeconfig", p.kubeconfig, "--namespace", namespace, "--set", "gateway.enabled=true,operator.replicas=3")
			g.Expect(err).To(HaveOccurred(), out)
			g.Expect(out).To(ContainSubstring("invalid ownership metadata"), "nothing is taken that is not asked for")

			p.helm(t, "upgrade", "--install", release, dir, "--take-ownership", "--force-conflicts", "--set", "gateway.enabled=true,operator.replicas=3")
			g.Expect(replicas()).To(BeEquivalentTo(3))
			now, _ := p.uids(t, all)
			g.Expect(now).To(Equal(begun))
			expectHelms(t, p, all)
			p.helm(t, "upgrade", release, dir, "--reuse-values", "--set", "operator.replicas=4")
			g.Expect(replicas()).To(BeEquivalentTo(4))
			out, err = helm(t, "upgrade", release, dir, "--kubeconfig", p.kubeconfig, "--namespace", namespace, "--reuse-values", "--set", "operator.extraArgs={--time-scale=12}")
			g.Expect(err).To(HaveOccurred(), "what the first upgrade left as it was is kubectl's too")
			g.Expect(out).To(ContainSubstring("conflict"))
			p.helm(t, "upgrade", release, dir, "--force-conflicts", "--reuse-values", "--set", "operator.extraArgs={--time-scale=12}")

			p.kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", top+"/dist/install.yaml", "-f", top+"/dist/install-gateway.yaml")
			p.kubectl(t, "delete", "secret", "-n", namespace, "-l", "owner=helm,name="+release)
			g.Expect(strings.TrimSpace(p.helm(t, "list", "-q"))).To(BeEmpty())
			g.Expect(replicas()).To(BeEquivalentTo(2))
			now, _ = p.uids(t, all)
			g.Expect(now).To(Equal(begun))
		})
	}
}

func expectHelms(t *testing.T, p *plane, all map[string]*unstructured.Unstructured) {
	t.Helper()
	g := NewWithT(t)
	for key, object := range all {
		now := object.DeepCopy()
		g.Expect(p.api.Get(t.Context(), client.ObjectKeyFromObject(object), now)).To(Succeed())
		g.Expect(now.GetLabels()).To(HaveKeyWithValue("app.kubernetes.io/managed-by", "Helm"), key)
		g.Expect(now.GetAnnotations()).To(HaveKeyWithValue("meta.helm.sh/release-name", release), key)
	}
}
