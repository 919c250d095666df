package chart

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/agentsession/agentsession/internal/apiserver"
)

var update = flag.Bool("update", false, "write the golden files")

// valuesFiles are those of charts/agentsession/ci, by their names.
func valuesFiles(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(dir + "/ci/*-values.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(files).To(HaveLen(6))
	all := map[string]string{}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), "-values.yaml")] = file
	}
	return all
}

func TestLint(t *testing.T) {
	for name, file := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			out, err := helm(t, "lint", "--strict", dir, "--namespace", namespace, "--values", file)
			NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
		})
	}
}

// TestGolden: what is rendered, but for the CustomResourceDefinitions.
func TestGolden(t *testing.T) {
	for name, file := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			g, golden := NewWithT(t), "testdata/"+name+".yaml"
			got := template(t, "--values", file, "--set", "crds.enabled=false")
			if *update {
				g.Expect(os.WriteFile(golden, []byte(got), 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(string(want)), "go test ./test/chart -update writes it anew")
		})
	}
}

// TestSameAsDist: the chart installs what kustomize does, object by object. The namespace
// is for helm's --create-namespace.
func TestSameAsDist(t *testing.T) {
	for name, row := range map[string]struct {
		set  []string
		dist []string
	}{
		"as it is":         {nil, []string{"install"}},
		"with the gateway": {[]string{"--set", "gateway.enabled=true"}, []string{"install", "install-gateway"}},
		"with monitoring":  {[]string{"--set", "monitoring.enabled=true"}, []string{"install", "install-monitoring"}},
		"in node mode":     {[]string{"--set", "nodeProber.enabled=true,gateway.enabled=true"}, []string{"install-node", "install-gateway"}},
	} {
		t.Run(name, func(t *testing.T) {
			g, want := NewWithT(t), map[string]*unstructured.Unstructured{}
			for _, file := range row.dist {
				maps.Copy(want, objects(t, read(t, "dist/"+file+".yaml")))
			}
			delete(want, "Namespace  "+namespace)
			got := objects(t, template(t, row.set...))
			g.Expect(slices.Sorted(maps.Keys(got))).To(Equal(slices.Sorted(maps.Keys(want))))
			for key, object := range got {
				g.Expect(withoutHelms(object).Object).To(BeComparableTo(want[key].Object), key)
			}
		})
	}
}

// withoutHelms takes away what only Helm's objects have, and expects that it is there.
func withoutHelms(object *unstructured.Unstructured) *unstructured.Unstructured {
	labels, annotations := object.GetLabels(), object.GetAnnotations()
	if object.GetKind() == "CustomResourceDefinition" {
		delete(annotations, "helm.sh/resource-policy")
	} else if labels["helm.sh/chart"] == "agentsession-0.0.0-dev" {
		delete(labels, "helm.sh/chart")
	}
	if len(labels) == 0 {
		labels = nil
	}
	object.SetLabels(labels)
	object.SetAnnotations(annotations)
	return object
}

func TestCustomResourceDefinitions(t *testing.T) {
	for set, row := range map[string]struct {
		there  bool
		policy string
	}{
		"crds.enabled=true":  {true, "keep"},
		"crds.keep=false":    {true, ""},
		"crds.enabled=false": {false, ""},
	} {
		t.Run(set, func(t *testing.T) {
			g, all := NewWithT(t), objects(t, template(t, "--set", set))
			for _, kind := range []string{"agentsessions", "agentruntimes"} {
				crd, there := all["CustomResourceDefinition  "+kind+".runtime.agentsession.dev"]
				g.Expect(there).To(Equal(row.there))
				if there {
					g.Expect(crd.GetAnnotations()["helm.sh/resource-policy"]).To(Equal(row.policy))
				}
			}
		})
	}
}

// TestOneNamespaceOrMore: with watchNamespaces the rights are those of the ClusterRoles, in
// each of the namespaces; without clusterResources nothing is outside of namespaces.
func TestOneNamespaceOrMore(t *testing.T) {
	g := NewWithT(t)
	cluster := objects(t, template(t, "--set", "gateway.enabled=true,nodeProber.enabled=true"))
	all := objects(t, template(t, "--set", "gateway.enabled=true,nodeProber.enabled=true,watchNamespaces={team-a,team-b}"))
	for _, account := range []string{"agentsession-operator", "agentsession-gateway", "agentsession-node-prober"} {
		g.Expect(all).NotTo(Or(HaveKey("ClusterRole  "+account), HaveKey("ClusterRoleBinding  "+account)))
		for _, team := range []string{"team-a", "team-b"} {
			g.Expect(all).To(And(HaveKey("Role "+team+" "+account), HaveKey("RoleBinding "+team+" "+account)))
			g.Expect(all["Role "+team+" "+account].Object["rules"]).To(Equal(cluster["ClusterRole  "+account].Object["rules"]))
			g.Expect(all["RoleBinding "+team+" "+account].Object).To(And(
				HaveKeyWithValue("roleRef", map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}),
				HaveKeyWithValue("subjects", []any{map[string]any{"kind": "ServiceAccount", "name": account, "namespace": namespace}})))
		}
	}
	bound := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(key string) bool { return !strings.HasPrefix(key, "ClusterRoleBinding ") })
	g.Expect(bound).To(HaveEach(HaveSuffix("-metrics-auth")), "who a caller is can be asked cluster-wide only")
	for key, object := range objects(t, template(t, "--values", dir+"/ci/namespaces-values.yaml")) {
		g.Expect(object.GetNamespace()).To(BeElementOf("team-a", "team-b", namespace), key)
	}
}

// TestShards: each has a Deployment whose pods no other selects, and all of them the rights to
// leases of whatever name.
func TestShards(t *testing.T) {
	g, all := NewWithT(t), objects(t, template(t, "--values", dir+"/ci/shards-values.yaml"))
	g.Expect(all).NotTo(HaveKey("Deployment " + namespace + " agentsession-operator"))
	for name, selector := range map[string]string{"a": "shard in (a,b)", "rest": "shard notin (a,b)"} {
		var d appsv1.Deployment
		g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(all["Deployment "+namespace+" agentsession-operator-"+name].Object, &d)).To(Succeed())
		g.Expect(d.Spec.Selector.MatchLabels).To(HaveKeyWithValue("runtime.agentsession.dev/shard", name))
		g.Expect(d.Spec.Template.Labels).To(Equal(d.Spec.Selector.MatchLabels))
		args := d.Spec.Template.Spec.Containers[0].Args
		g.Expect(args).To(ContainElements("--leader-elect", "--watch-label-selector="+selector))
		var read apiserver.Selector
		g.Expect(read.Set(selector)).To(Succeed())
	}
	leases := func(all map[string]*unstructured.Unstructured) (named []any) {
		rules, _, err := unstructured.NestedSlice(all["Role "+namespace+" agentsession-leader-election"].Object, "rules")
		g.Expect(err).NotTo(HaveOccurred())
		for _, rule := range rules {
			if r := rule.(map[string]any); slices.Contains(r["verbs"].([]any), any("update")) {
				g.Expect(r["resources"]).To(ConsistOf("leases"))
				named = append(named, r["resourceNames"])
			}
		}
		return named
	}
	g.Expect(leases(all)).To(ConsistOf(BeNil()))
	g.Expect(leases(objects(t, template(t)))).To(ConsistOf(ConsistOf("agentsession-operator")))
}

// TestMonitoring: what is not asked for is not rendered, labels reach what a Prometheus selects
// by them, and without rights in the cluster the binding is somebody else's.
func TestMonitoring(t *testing.T) {
	g := NewWithT(t)
	kinds := func(all map[string]*unstructured.Unstructured) (found []string) {
		for key, object := range all {
			if strings.HasPrefix(object.GetAPIVersion(), "monitoring.coreos.com/") || strings.Contains(key, "metrics-reader") || object.GetKind() == "ConfigMap" {
				found = append(found, key)
			}
		}
		return found
	}
	g.Expect(kinds(objects(t, template(t)))).To(ConsistOf("ClusterRole  agentsession-metrics-reader"))
	all := objects(t, template(t, "--values", dir+"/ci/monitoring-values.yaml"))
	for _, key := range []string{"PodMonitor " + namespace + " agentsession-pods", "PrometheusRule " + namespace + " agentsession-alerts"} {
		g.Expect(all).To(HaveKey(key))
		g.Expect(all[key].GetLabels()).To(HaveKeyWithValue("release", "kube-prometheus-stack"))
	}
	board, _, err := unstructured.NestedString(all["ConfigMap "+namespace+" agentsession-dashboard"].Object, "data", "agentsession.json")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(board).To(Equal(read(t, "config/monitoring/dashboard.json")))
	g.Expect(kinds(objects(t, template(t, "--values", dir+"/ci/namespaces-values.yaml", "--set", "metrics.enabled=true,monitoring.enabled=true")))).To(ConsistOf(
		"ServiceAccount "+namespace+" agentsession-metrics-reader", "Secret "+namespace+" agentsession-metrics-reader", "ConfigMap "+namespace+" agentsession-dashboard",
		"PodMonitor "+namespace+" agentsession-pods", "PrometheusRule "+namespace+" agentsession-alerts"))
}
