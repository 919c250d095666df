package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/config/crd"
	"github.com/agentsession/agentsession/internal/apiserver"
)

// manifests are the objects of a file of dist.
func manifests(t *testing.T, file string) (all []*unstructured.Unstructured) {
	t.Helper()
	g := NewWithT(t)
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	g.Expect(err).NotTo(HaveOccurred())
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		o := &unstructured.Unstructured{}
		g.Expect(yaml.Unmarshal(document, &o.Object)).To(Succeed())
		all = append(all, o)
	}
	return all
}

// TestRightsAreOfAllThatIsInstalled: no more kinds, and no fewer.
func TestRightsAreOfAllThatIsInstalled(t *testing.T) {
	g := NewWithT(t)
	of := map[string]bool{}
	for _, file := range []string{operatorFile, gatewayFile} {
		for _, o := range manifests(t, file) {
			of[o.GetAPIVersion()+" "+o.GetKind()] = o.GetNamespace() != ""
		}
	}
	have := map[string]bool{}
	for _, i := range installed {
		have[i.apiVersion+" "+i.kind] = i.namespaced
		g.Expect(strings.ToLower(i.kind)[:4]).To(Equal(i.resource[:4]))
	}
	g.Expect(have).To(Equal(of))
}

// checked is a run of check.
func (d *realDesk) checked(args ...string) (text string, err error) {
	d.t.Helper()
	text, said, err := d.run(append([]string{"check"}, args...)...)
	d.Expect(said).To(BeEmpty())
	if err != nil {
		d.Expect(statusOf(err)).To(Equal(1))
	}
	return text, err
}

// golden compares what was said, whatever API server it was.
func (d *realDesk) golden(name, text string) {
	d.t.Helper()
	info, err := newCheckerOf(d).discovery.ServerVersion()
	d.Expect(err).NotTo(HaveOccurred())
	text = strings.NewReplacer(info.GitVersion, "VERSION", d.kubeconfig, "FILE").Replace(text)
	expectGolden(d.t, name, regexp.MustCompile(`https://[\d.:]+\d`).ReplaceAllString(text, "HOST"))
}

func newCheckerOf(d *realDesk) *checker {
	k, err := newChecker(&cluster{config: d.config})
	d.Expect(err).NotTo(HaveOccurred())
	return k
}

func (d *realDesk) admin() client.Client {
	s := runtime.NewScheme()
	d.Expect(scheme.AddToScheme(s)).To(Succeed())
	d.Expect(apiextensionsv1.AddToScheme(s)).To(Succeed())
	c, err := client.New(d.config, client.Options{Scheme: s})
	d.Expect(err).NotTo(HaveOccurred())
	return c
}

func machine(name, architecture string, ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		NodeInfo:   corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: architecture},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
	}}
}

// TestCheckBefore an install: on an API server that has nothing, for who may do nothing, and
// where something is in the way.
func TestCheckBefore(t *testing.T) {
	t.Parallel()
	d := newRealDesk(t)
	d.become(admin)
	c := d.admin()
	make := func(o client.Object) {
		t.Helper()
		d.Expect(c.Create(t.Context(), o)).To(Succeed())
	}
	makeNode := func(n *corev1.Node) {
		status := n.Status
		make(n)
		n.Status, n.Spec.Taints = status, nil
		d.Expect(c.Status().Update(t.Context(), n)).To(Succeed())
	}
	text, err := d.checked("--pre")
	d.Expect(err).To(MatchError("1 of 9 are missing"))
	d.golden("check-pre", text)

	d.become(envtest.User{Name: "somebody"})
	d.Eventually(func() string { text, err = d.checked("--pre"); return text }, patience).Should(ContainSubstring("you may not create"))
	d.Expect(err).To(MatchError("1 of 9 are missing"))
	d.golden("check-pre-somebody", text)

	d.installer(c)

	d.become(admin)
	makeNode(machine("asleep", "amd64", corev1.ConditionFalse))
	makeNode(machine("board", "riscv64", corev1.ConditionTrue))
	closed := machine("closed", "arm64", corev1.ConditionTrue)
	closed.Spec.Unschedulable = true
	makeNode(closed)
	text, err = d.checked("--pre")
	d.Expect(err).To(HaveOccurred())
	d.Expect(text).To(MatchRegexp(`missing +nodes +none is Ready, open to pods and linux of amd64 or arm64 \(1 linux/riscv64, 2 not Ready\): add one`))
	makeNode(machine("a", "amd64", corev1.ConditionTrue))
	text, err = d.checked("--pre")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(text).To(MatchRegexp(`ok +nodes +there are 1 amd64, 1 linux/riscv64, 2 not Ready\n`))
	makeNode(machine("b", "arm64", corev1.ConditionTrue))

	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "slow"}, Provisioner: "example.com/disk"}
	make(class)
	text, _ = d.checked("--pre")
	d.Expect(text).To(MatchRegexp(`ok +session storage +no StorageClass is the default: a runtime that has sessionStorage must name one \(slow\)\n`))
	class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	d.Expect(c.Update(t.Context(), class)).To(Succeed())

	d.inTheWay(make)
	text, err = d.checked("--pre")
	d.Expect(err).To(MatchError("2 of 11 are missing"))
	d.golden("check-pre-in-the-way", text)

	for version, says := range map[string]string{
		"v1.30.9":          `missing +API server +it is v1\.30\.9, and must be Kubernetes 1\.31 at least: upgrade the cluster`,
		"v1.31.0-eks-1234": `ok +API server +it is v1\.31\.0-eks-1234`,
		"v1.31.0-rc.1":     `ok +API server +it is v1\.31\.0-rc\.1`,
		"latest":           `warning +API server +it says that it is "latest", which is no version`,
	} {
		at := d.before("version", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"gitVersion":"` + version + `"}`))
		})
		text, _ = d.checked("--pre", "--server", at)
		d.Expect(text).To(MatchRegexp(says), version)
	}
	at := d.before("v1", func(w http.ResponseWriter, r *http.Request) { // of a group
		if strings.Contains(r.URL.Path, "admissionregistration") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`{"kind":"APIResourceList","apiVersion":"v1"}`))
	})
	text, _ = d.checked("--pre", "--server", at)
	d.Expect(text).To(MatchRegexp(`missing +ValidatingAdmissionPolicy +the API server does not serve it`))
	_, err = d.checked("--server", "http://127.0.0.1:1")
	d.Expect(err).To(MatchError(ContainSubstring("cannot be reached")))
	_, _, err = d.run("check", "research")
	d.Expect(err).To(HaveOccurred(), "it is of no session")
}

// installer may make all, and then all roles too.
func (d *realDesk) installer(c client.Client) {
	d.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "installer"}}
	for _, i := range installed {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: []string{"create"}, APIGroups: []string{schema.FromAPIVersionAndKind(i.apiVersion, i.kind).Group}, Resources: []string{i.resource}})
	}
	d.Expect(c.Create(d.t.Context(), role)).To(Succeed())
	d.Expect(c.Create(d.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "installer"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "installer"}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "installer"},
	})).To(Succeed())
	d.become(envtest.User{Name: "installer"})
	look := func() string { text, _ := d.checked("--pre"); return text }
	const refused = "a role can have no rights that you do not have"
	d.Eventually(look, patience).Should(And(ContainSubstring("you may create all that dist/install.yaml"), ContainSubstring(refused)))
	role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: []string{"escalate", "bind"}, APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}})
	d.Expect(c.Update(d.t.Context(), role)).To(Succeed())
	d.Eventually(look, patience).Should(And(ContainSubstring("you may create all that dist/install.yaml"), Not(ContainSubstring(refused))))
}

// inTheWay makes what an install would stumble over.
func (d *realDesk) inTheWay(make func(client.Object)) {
	for _, name := range []string{"other", platformNamespace} {
		make(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}}})
	}
	pod := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: operatorLabels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "o", Image: "o"}}}}
	make(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "operator", Labels: operatorLabels},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: operatorLabels}, Template: pod},
	})
	all, err := crd.Definitions()
	d.Expect(err).NotTo(HaveOccurred())
	runtimes, sessions, third := all[0], all[1], all[0].DeepCopy()
	runtimes.Annotations = map[string]string{"meta.helm.sh/release-name": "agents", "meta.helm.sh/release-namespace": "other"}
	old := sessions.Spec.Versions[0].DeepCopy()
	old.Name, old.Storage, sessions.Spec.Versions[0].Storage = "v1alpha0", true, false
	sessions.Spec.Versions = append(sessions.Spec.Versions, *old)
	third.Name, third.Spec.Names = "tools."+third.Spec.Group, apiextensionsv1.CustomResourceDefinitionNames{Plural: "tools", Singular: "tool", Kind: "Tool", ListKind: "ToolList"}
	for _, o := range []*apiextensionsv1.CustomResourceDefinition{runtimes, sessions, third} {
		make(o)
		d.Eventually(func(g Gomega) {
			g.Expect(d.admin().Get(d.t.Context(), client.ObjectKeyFromObject(o), o)).To(Succeed())
			g.Expect(established(o)).To(BeTrue())
		}, patience).Should(Succeed())
	}
}

// TestCheckOfNoCluster: where nothing is installed, nothing is missing.
func TestCheckOfNoCluster(t *testing.T) {
	d := newDesk(t)
	for _, args := range [][]string{{"check"}, {"check", "--pre"}} {
		out, _, err := d.run(args...)
		d.Expect(err).To(MatchError(ContainSubstring("it is no cluster's, as that of `agentsession local`")))
		d.Expect(out).To(BeEmpty())
	}
}

// TestCheckAfter an install: what dist installs, as its parts come up and go away.
func TestCheckAfter(t *testing.T) {
	t.Parallel()
	d := newRealDesk(t)
	d.become(admin)
	c := d.admin()
	text, err := d.checked()
	d.Expect(err).To(MatchError("5 of 8 are missing"))
	d.golden("check-nothing", text)

	for _, o := range slices.Concat(manifests(t, operatorFile), manifests(t, gatewayFile)) {
		d.Expect(c.Create(t.Context(), o)).To(Succeed())
	}
	all, err := crd.Definitions()
	d.Expect(err).NotTo(HaveOccurred())
	for _, o := range all {
		d.Eventually(func(g Gomega) {
			g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(o), o)).To(Succeed())
			g.Expect(established(o)).To(BeTrue())
		}, patience).Should(Succeed())
	}
	text, err = d.checked()
	d.Expect(err).To(MatchError("3 of 8 are missing"))
	d.golden("check-installed", text)
	text, _ = d.checked("--pre")
	d.golden("check-pre-installed", text)

	for _, name := range []string{operatorName, gatewayName} {
		deployment := &appsv1.Deployment{}
		d.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: platformNamespace, Name: name}, deployment)).To(Succeed())
		deployment.Status = appsv1.DeploymentStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}}
		d.Expect(c.Status().Update(t.Context(), deployment)).To(Succeed())
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: platformNamespace, Name: operatorName}}
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: new("pod_1"), LeaseDurationSeconds: new(int32(15)), RenewTime: new(metav1.NewMicroTime(night.Add(-15 * time.Second)))}
	d.Expect(c.Create(t.Context(), lease)).To(Succeed())
	text, err = d.checked()
	d.Expect(err).NotTo(HaveOccurred())
	d.golden("check-well", text)

	d.Eventually(func() error { _, _, err := d.run("list"); return err }, patience).Should(Succeed())
	d.fill()
	d.wear(c, lease)
	text, err = d.checked()
	d.Expect(err).To(MatchError("3 of 8 are missing"))
	d.golden("check-worn", text)
	lease.Spec.HolderIdentity = new("")
	d.Expect(c.Update(t.Context(), lease)).To(Succeed())
	text, _ = d.checked()
	d.Expect(text).To(MatchRegexp(`missing +leader +no operator holds the lease`))

	d.shared(c)

	d.become(envtest.User{Name: "somebody"})
	text, err = d.checked()
	d.Expect(err).NotTo(HaveOccurred(), "what cannot be seen is not missing")
	d.golden("check-somebody", text)
}

// shared has two operators share the cluster, of a release of Helm, which says what to do of
// what is missing.
func (d *realDesk) shared(c client.Client) {
	ctx := d.t.Context()
	whole := &appsv1.Deployment{}
	d.Expect(c.Get(ctx, client.ObjectKey{Namespace: platformNamespace, Name: operatorName}, whole)).To(Succeed())
	d.Expect(c.Delete(ctx, whole, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
	for name, selector := range map[string]string{"a": "shard in (a)", "b": "shard"} {
		part := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
			Namespace: platformNamespace, Name: operatorName + "-" + name, Labels: whole.Labels,
			Annotations: map[string]string{helmName: "agents", helmNamespace: platformNamespace},
		}, Spec: *whole.Spec.DeepCopy()}
		container := &part.Spec.Template.Spec.Containers[0]
		container.Args = append(container.Args, "--watch-label-selector="+selector)
		d.Expect(c.Create(ctx, part)).To(Succeed())
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: platformNamespace, Name: apiserver.LeaseName("shard=a")}}
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: new("pod_a"), LeaseDurationSeconds: new(int32(15)), RenewTime: new(metav1.NewMicroTime(night))}
	d.Expect(c.Create(ctx, lease)).To(Succeed())
	var sessions v1alpha1.AgentSessionList
	d.Expect(d.client.List(ctx, &sessions)).To(Succeed())
	for i := range sessions.Items {
		s := &sessions.Items[i]
		base := s.DeepCopy()
		s.Labels = map[string]string{"shard": []string{"a", "b"}[min(i, 1)]}
		if i == len(sessions.Items)-1 {
			s.Labels = nil
		}
		d.Expect(d.client.Patch(ctx, s, client.MergeFrom(base))).To(Succeed())
	}
	text, _ := d.checked()
	d.golden("check-shared", text)
}

// wear breaks a bit of everything that is installed.
func (d *realDesk) wear(c client.Client, lease *coordinationv1.Lease) {
	ctx := d.t.Context()
	lease.Spec.RenewTime = new(metav1.NewMicroTime(night.Add(-16 * time.Second)))
	d.Expect(c.Update(ctx, lease)).To(Succeed())
	patch := func(o client.Object, namespace, name, patch string) {
		d.t.Helper()
		o.SetNamespace(namespace)
		o.SetName(name)
		d.Expect(c.Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
	}
	binding := &unstructured.Unstructured{}
	binding.SetAPIVersion("admissionregistration.k8s.io/v1")
	binding.SetKind("ValidatingAdmissionPolicyBinding")
	patch(binding, "", policyName, `{"spec":{"validationActions":["Warn"]}}`)
	patch(&appsv1.Deployment{}, platformNamespace, operatorName, `{"spec":{"replicas":0}}`)
	patch(&appsv1.Deployment{}, platformNamespace, gatewayName, `{"spec":{"replicas":3}}`)
	sessions := &apiextensionsv1.CustomResourceDefinition{}
	d.Expect(c.Get(ctx, client.ObjectKey{Name: "agentsessions.runtime.agentsession.dev"}, sessions)).To(Succeed())
	spec := sessions.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	spec.Properties["later"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	d.Expect(c.Update(ctx, sessions)).To(Succeed())
}
