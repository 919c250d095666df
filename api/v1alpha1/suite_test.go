package v1alpha1_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var (
	api        client.Client
	kubeconfig string
)

// TestMain runs the tests against a real API server.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		environment := &envtest.Environment{UseExistingCluster: new(false), ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 2 * time.Minute}
		defer environment.Stop() // also of what a failed Start leaves
		config, err := environment.Start()
		if err != nil {
			fmt.Fprintln(os.Stderr, "start an API server (KUBEBUILDER_ASSETS must be set: run make test):", err)
			return 1
		}
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			panic(err)
		}
		if api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
			panic(err)
		}
		admin, err := environment.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
		if err != nil {
			panic(err)
		}
		raw, err := admin.KubeConfig()
		if err != nil {
			panic(err)
		}
		dir, err := os.MkdirTemp("", "agentsession-api-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		kubeconfig = filepath.Join(dir, "kubeconfig")
		if err := os.WriteFile(kubeconfig, raw, 0o600); err != nil {
			panic(err)
		}
		// As a user does it: a plain, client-side apply, which keeps the whole
		// CRD in an annotation. Twice: the second goes by that annotation.
		for range 2 {
			if out, err := kubectl("apply", "-f", "../../config/crd/bases"); err != nil {
				fmt.Fprintln(os.Stderr, "kubectl apply of the CRD:", err, out)
				return 1
			}
		}
		if out, err := kubectl("wait", "--for=condition=Established", "crd/agentsessions.runtime.agentsession.dev", "crd/agentruntimes.runtime.agentsession.dev"); err != nil {
			fmt.Fprintln(os.Stderr, out)
			return 1
		}
		return m.Run()
	}())
}

// kubectl runs the kubectl of KUBEBUILDER_ASSETS.
func kubectl(args ...string) (string, error) { return kubectlReading("", args...) }

// kubectlReading gives it a text to read.
func kubectlReading(text string, args ...string) (string, error) {
	command := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	command.Stdin = strings.NewReader(text)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+filepath.Dir(kubeconfig))
	out, err := command.CombinedOutput()
	return string(out), err
}

const minimal = `
apiVersion: runtime.agentsession.dev/v1alpha1
kind: AgentSession
metadata: {generateName: test-, namespace: default}
spec:
  template: {spec: {containers: [{name: agent, image: agent}]}}
`

// manifest is the smallest session with the given part of a spec merged into it.
func manifest(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	NewWithT(t).Expect(yaml.Unmarshal([]byte(minimal), &object.Object)).To(Succeed())
	change(t, object, spec)
	return object
}

func change(t *testing.T, object *unstructured.Unstructured, spec string) {
	t.Helper()
	var changes map[string]any
	NewWithT(t).Expect(yaml.Unmarshal([]byte(spec), &changes)).To(Succeed())
	for name, value := range changes {
		if value == "REMOVE" {
			delete(object.Object["spec"].(map[string]any), name)
			continue
		}
		object.Object["spec"].(map[string]any)[name] = value
	}
}
