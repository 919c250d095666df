package chart

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestExamplesOfTLS: an API server with the Gateway API, Envoy Gateway and cert-manager takes them, and the
// Service that they name is the chart's.
func TestExamplesOfTLS(t *testing.T) {
	g, p := NewWithT(t), startPlane(t)
	_, err := envtest.InstallCRDs(p.config, envtest.CRDInstallOptions{ErrorIfPathMissing: true, MaxTime: patience, Paths: []string{
		filepath.Join(moduleDir(t, "sigs.k8s.io/gateway-api"), "config/crd/standard"),
		filepath.Join(moduleDir(t, "github.com/cert-manager/cert-manager"), "deploy/crds"),
		filepath.Join(moduleDir(t, "github.com/envoyproxy/gateway"), "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_clienttrafficpolicies.yaml"),
	}})
	g.Expect(err).NotTo(HaveOccurred())
	p.createNamespace(t, namespace)
	out := p.kubectl(t, "apply", "--dry-run=server", "--validate=strict", "-f", top+"/examples/front")
	g.Expect(strings.Split(strings.TrimSpace(out), "\n")).To(ConsistOf(
		"gateway.gateway.networking.k8s.io/agents created (server dry run)", "httproute.gateway.networking.k8s.io/agents created (server dry run)", "clienttrafficpolicy.gateway.envoyproxy.io/agents created (server dry run)",
		"ingress.networking.k8s.io/agents created (server dry run)", "clusterissuer.cert-manager.io/letsencrypt created (server dry run)"))
	service := objects(t, template(t, "--set", "gateway.enabled=true"))["Service "+namespace+" agentsession-gateway"]
	g.Expect(service.Object).To(HaveKeyWithValue("spec", HaveKeyWithValue("ports", ConsistOf(
		And(HaveKeyWithValue("name", "http"), HaveKeyWithValue("port", BeEquivalentTo(80)))))))
}

// moduleDir is where a module of hack/tools/crds is.
func moduleDir(t *testing.T, path string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", path)
	command.Dir = top + "/hack/tools/crds"
	out, err := command.Output()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	var module struct{ Dir string }
	NewWithT(t).Expect(json.Unmarshal(out, &module)).To(Succeed())
	return module.Dir
}
