package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// tools puts stand-ins for programs on an otherwise empty PATH. Each writes what
// it was called with, and then does what its line of shell says.
func tools(t *testing.T, does map[string]string) (calls func() []string) {
	t.Helper()
	g := NewWithT(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for name, line := range does {
		script := "#!/bin/sh\necho " + name + " \"$@\" >>" + log + "\n" + line + "\n"
		g.Expect(os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700)).To(Succeed())
	}
	t.Setenv("PATH", dir)
	t.Setenv("USE_CLUSTER", "")
	t.Setenv("AGENTSESSION_CLUSTER_DIR", filepath.Join(dir, "cluster"))
	return func() []string {
		raw, err := os.ReadFile(log)
		g.Expect(err).NotTo(HaveOccurred())
		return strings.Split(strings.TrimSpace(string(raw)), "\n")
	}
}

const engineStopped = `exit 1`

func makeFile(t *testing.T, path string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(os.MkdirAll(filepath.Dir(path), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(path, nil, 0o600)).To(Succeed())
}

func TestTheClusterDecidesWhoBuildsImages(t *testing.T) {
	for name, row := range map[string]struct {
		does    map[string]string
		there   string // what was made before
		cluster any
		builder builder
	}{
		"Docker and kind":                     {map[string]string{"docker": "", "kind": ""}, "", kind{}, docker},
		"Docker alone":                        {map[string]string{"docker": ""}, "", node{}, docker},
		"Docker, and a node on this machine":  {map[string]string{"docker": "", "kind": ""}, "pids/etcd", node{}, buildah},
		"neither":                             {nil, "", node{}, buildah},
		"Docker's engine is stopped":          {map[string]string{"docker": engineStopped, "kind": ""}, "", node{}, buildah},
		"it is stopped, and kind has made it": {map[string]string{"docker": engineStopped, "kind": ""}, "kind-kubeconfig", kind{}, docker},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			tools(t, row.does)
			if row.there != "" {
				makeFile(t, filepath.Join(os.Getenv("AGENTSESSION_CLUSTER_DIR"), row.there))
			}
			c, err := chosen(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(c).To(BeAssignableToTypeOf(row.cluster))
			g.Expect(c.builder(t.Context())).To(Equal(row.builder))
		})
	}
}

func TestAKindClusterOutlivesItsEngine(t *testing.T) {
	g := NewWithT(t)
	calls := tools(t, map[string]string{"docker": engineStopped, "kind": ""})
	file := filepath.Join(os.Getenv("AGENTSESSION_CLUSTER_DIR"), "kind-kubeconfig")
	makeFile(t, file)
	for _, command := range []string{"up", "down"} {
		g.Expect(run(t.Context(), []string{command})).To(MatchError(And(ContainSubstring("Docker's engine does not answer"), ContainSubstring(file))))
	}
	g.Expect(file).To(BeAnExistingFile())
	g.Expect(calls()).NotTo(ContainElement(HavePrefix("kind")))
}

func TestAKindClusterIsUpWhenItsNodesAreReady(t *testing.T) {
	g := NewWithT(t)
	calls := tools(t, map[string]string{"docker": "", "kind": "", "kubectl": `case "$*" in *wait*) echo timed out >&2; exit 1;; *) echo worker2 NotReady;; esac`})
	file := filepath.Join(os.Getenv("AGENTSESSION_CLUSTER_DIR"), "kind-kubeconfig")
	g.Expect(run(t.Context(), []string{"up"})).To(MatchError(And(ContainSubstring("is not Ready"), ContainSubstring("worker2 NotReady"))))
	g.Expect(calls()).To(ContainElements(
		"kind create cluster --name agentsession --kubeconfig "+file+" --config -",
		"kubectl --kubeconfig "+file+" wait --for=condition=Ready node --all --timeout=3m"))

	calls = tools(t, map[string]string{"docker": "", "kind": `[ "$1 $2" != "get clusters" ] || echo agentsession`, "kubectl": ""})
	file = filepath.Join(os.Getenv("AGENTSESSION_CLUSTER_DIR"), "kind-kubeconfig")
	g.Expect(run(t.Context(), []string{"up"})).To(Succeed())
	g.Expect(calls()).To(ContainElement("kind export kubeconfig --name agentsession --kubeconfig " + file))
	g.Expect(run(t.Context(), []string{"down"})).To(Succeed())
	g.Expect(calls()).To(ContainElement("kind delete cluster --name agentsession --kubeconfig "+file), "and not in the user's own kubeconfig")
}

func TestLoading(t *testing.T) {
	for name, row := range map[string]struct {
		profiles []string
		want     string
		known    bool
	}{
		"kind-mine":       {nil, "kind load docker-image --name mine a:b", true},
		"k3d-dev":         {nil, "k3d image import --cluster dev a:b", true},
		"minikube":        {nil, "minikube --profile minikube image load a:b", true},
		"work":            {[]string{"minikube", "work"}, "minikube --profile work image load a:b", true},
		"kind-of-work":    {[]string{"kind-of-work"}, "minikube --profile kind-of-work image load a:b", true},
		"docker-desktop":  {nil, "", true},
		"orbstack":        {nil, "", true},
		"rancher-desktop": {nil, "", true},
		"colima":          {nil, "", true},
		"colima-big":      {nil, "", true},
		"production":      {[]string{"minikube"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			command, known := loading(name, row.profiles, "a:b")
			g.Expect(strings.Join(command, " ")).To(Equal(row.want))
			g.Expect(known).To(Equal(row.known))
		})
	}
}

// desktop has a cluster of that context and with nodes of these runtimes.
func desktop(context, runtimes string) map[string]string {
	return map[string]string{"docker": "", "kubectl": `case "$1 $2" in "config current-context") echo ` + context + `;; "get nodes") echo "` + runtimes + `";; esac`}
}

func TestLoadingIntoTheCurrentCluster(t *testing.T) {
	for name, row := range map[string]struct {
		does map[string]string
		want any // of the error
		call string
	}{
		"kind": {map[string]string{"docker": "", "kubectl": "echo kind-mine", "kind": ""}, Succeed(), "kind load docker-image --name mine a:b"},
		"minikube's other profile": {map[string]string{
			"docker": "", "kubectl": "echo work", "minikube": `[ "$1" != profile ] || echo '{"invalid":[],"valid":[{"Name":"work"}]}'`,
		}, Succeed(), "minikube --profile work image load a:b"},
		"without kind":    {map[string]string{"docker": "", "kubectl": "echo kind-mine"}, MatchError(ContainSubstring("by kind, and that is not on the PATH")), ""},
		"without Docker":  {map[string]string{"kubectl": "echo docker-desktop"}, MatchError(ContainSubstring("no Docker engine")), ""},
		"Rancher Desktop": {desktop("rancher-desktop", "docker://27.5.1"), Succeed(), ""},
		"Rancher Desktop with containerd": {desktop("rancher-desktop", "docker://27.5.1 containerd://2.0.3"), MatchError(And(
			ContainSubstring("rancher-desktop has nodes that do not use Docker's images (containerd://2.0.3)"),
			ContainSubstring("choose Docker's engine"), ContainSubstring("push a:b to a registry"))), ""},
		"Docker Desktop's kind":   {desktop("docker-desktop", "containerd://2.1.1"), Succeed(), ""},
		"a cluster without nodes": {desktop("orbstack", ""), MatchError(ContainSubstring("orbstack has no nodes")), ""},
		"a cluster that does not answer": {map[string]string{"docker": "", "kubectl": `[ "$1" = config ] || exit 1; echo colima`}, MatchError(
			ContainSubstring("ask the nodes of the cluster colima for their container runtime")), ""},
		"elsewhere": {map[string]string{"docker": "", "kubectl": "echo production"}, MatchError(ContainSubstring("push them to a registry")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			calls := tools(t, row.does)
			g.Expect(current{}.load(t.Context(), []string{"a:b"})).To(row.want.(OmegaMatcher))
			if row.call != "" {
				g.Expect(calls()).To(ContainElement(row.call))
			}
		})
	}
}

func TestDockerDesktopSharesItsImagesInTwoWays(t *testing.T) {
	g := NewWithT(t)
	g.Expect(shared("docker-desktop", []string{"docker://28.3.2"}, "a:b")).To(Equal("The cluster docker-desktop uses Docker's own images: a:b is there"))
	g.Expect(shared("docker-desktop", []string{"containerd://2.1.1"}, "a:b")).To(And(HavePrefix("Nothing is loaded"), ContainSubstring("pull a:b from Docker Desktop, if it keeps images in containerd")))
}

func TestProfilesOfAnotherMinikube(t *testing.T) {
	g := NewWithT(t)
	g.Expect(profilesOf("no profiles")).To(BeEmpty())
	g.Expect(profilesOf(`{"valid":[{"Name":"a"}],"invalid":[{"Name":"b"}]}`)).To(Equal([]string{"a", "b"}))
}
