package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local"
)

// onALaptop has a session's agent be a process of a program.
func onALaptop(program string) func(*unstructured.Unstructured) error {
	return func(object *unstructured.Unstructured) error {
		object.SetNamespace(namespace)
		at := []string{"spec", "template", "spec", "containers"}
		containers, _, err := unstructured.NestedSlice(object.Object, at...)
		if err != nil {
			return err
		}
		agent := containers[0].(map[string]any)
		agent["command"] = []any{program}
		agent["args"] = append(agent["args"].([]any), "--addr=127.0.0.1:{port}")
		agent["ports"] = []any{map[string]any{"containerPort": int64(local.PodPort)}}
		if err := unstructured.SetNestedField(object.Object, int64(local.PodPort), "spec", "ping", "port"); err != nil {
			return err
		}
		return unstructured.SetNestedSlice(object.Object, containers, at...)
	}
}

// TestTheStoriesOnALaptop: the demo's sessions live and end on agentsession local as make
// demo, and the end-to-end suite, have them do on a node.
func TestTheStoriesOnALaptop(t *testing.T) {
	const scale = 12
	g, dir := NewWithT(t), t.TempDir()
	ctrl.SetLogger(logr.Discard())
	top, err := filepath.Abs("../..")
	g.Expect(err).NotTo(HaveOccurred())
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", dir, "./examples/agents")
	build.Dir, build.Env = top, append(os.Environ(), "CGO_ENABLED=0") // as make test has compiled it
	out, err := build.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)

	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	kubeconfig, ready := filepath.Join(dir, "kubeconfig"), make(chan struct{})
	go func() {
		defer close(ended)
		ended <- local.Run(running, local.Options{
			Runtimes:  []local.Runtime{local.RuntimeOf(corev1.Container{Name: "agent", Command: []string{"true"}}, nil, v1alpha1.ProtocolHTTP, nil)},
			TimeScale: scale, Kubeconfig: kubeconfig, Headless: true, Out: &first{ready: ready}, Err: io.Discard, Log: logr.Discard(),
		})
	}()
	defer func() {
		stop()
		g.Eventually(ended).WithTimeout(patient).Should(Receive(BeNil()))
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the platform ended: %v", err)
	case <-time.After(patient):
		t.Fatal("the platform does not say that it is ready")
	}

	c := &cluster{top: top, kubeconfig: kubeconfig}
	c.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	scheme := clientgoscheme.Scheme
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	c.api, err = client.New(c.config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())

	ctx, cancel := context.WithTimeoutCause(t.Context(), patience+longestLife/scale, errLate)
	defer cancel()
	said, err := os.Create(filepath.Join(dir, "said"))
	g.Expect(err).NotTo(HaveOccurred())
	defer said.Close()
	_, err = play(ctx, newScreen(ctx, said), c, scale, onALaptop(filepath.Join(dir, "agents")))
	text, _ := os.ReadFile(said.Name())
	g.Expect(err).NotTo(HaveOccurred(), "%s", text)
}

// first tells of the first thing that is written.
type first struct{ ready chan struct{} }

func (f *first) Write(p []byte) (int, error) {
	if f.ready != nil {
		close(f.ready)
		f.ready = nil
	}
	return len(p), nil
}
