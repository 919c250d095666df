// Package chart holds the Helm chart to what it promises: it installs what dist/ does,
// refuses values that are wrong, and is installed, upgraded and taken away by helm itself.
package chart

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	top       = "../.."
	dir       = top + "/charts/agentsession"
	namespace = "agentsession-system"
	release   = "agentsession"
)

// binary builds helm, at the version of hack/tools, and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	command := exec.Command("go", "tool", "-modfile="+top+"/hack/tools/helm/go.mod", "-n", "helm")
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath "+os.Getenv("GOFLAGS")) // as make test has compiled the packages that helm has too
	var stderr bytes.Buffer
	command.Stderr = &stderr
	path, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build helm: %w: %s", err, stderr.Bytes())
	}
	return strings.TrimSpace(string(path)), nil
})

// helm runs it with nothing of the user's, and returns what it says to both outputs.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := binary()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	home := t.TempDir()
	command := exec.CommandContext(t.Context(), path, args...)
	command.Env = append(os.Environ(), "KUBECONFIG=/dev/null", "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := command.CombinedOutput()
	return string(out), err
}

// template renders the chart.
func template(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t, append([]string{"template", release, dir, "--namespace", namespace}, args...)...)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	return out
}

// objects are those of a YAML text, by kind, namespace and name.
func objects(t *testing.T, text string) map[string]*unstructured.Unstructured {
	t.Helper()
	g, all := NewWithT(t), map[string]*unstructured.Unstructured{}
	for document := range strings.SplitSeq("\n"+text, "\n---\n") {
		object := &unstructured.Unstructured{}
		g.Expect(yaml.UnmarshalStrict([]byte(document), &object.Object)).To(Succeed(), document)
		if len(object.Object) == 0 {
			continue
		}
		g.Expect(all).NotTo(HaveKey(keyOf(object)))
		all[keyOf(object)] = object
	}
	return all
}

func keyOf(object *unstructured.Unstructured) string {
	return strings.Join([]string{object.GetKind(), object.GetNamespace(), object.GetName()}, " ")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, path))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return string(text)
}
