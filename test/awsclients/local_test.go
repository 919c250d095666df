package awsclients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local"
)

// laptop runs agentsession local with signed calls, until the test ends.
func laptop(t *testing.T) *place {
	t.Helper()
	g, dir := NewWithT(t), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/agentsession", "./test/echo/echo-agent")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)

	kubeconfig, echo := filepath.Join(dir, "kubeconfig"), []string{filepath.Join(dir, "echo-agent"), "--addr", "127.0.0.1:{port}"}
	tool := exec.CommandContext(t.Context(), filepath.Join(dir, "agentsession"), append([]string{"local", "--auth", "sigv4", "-o", "json", "--write-kubeconfig", kubeconfig, "--"}, echo...)...)
	tool.Cancel = func() error { return tool.Process.Signal(syscall.SIGTERM) }
	tool.WaitDelay = time.Minute
	tool.Stderr = os.Stderr
	says, err := tool.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(tool.Start()).To(Succeed())
	t.Cleanup(func() {
		_ = tool.Cancel() // it may have ended
		_ = tool.Wait()   // and says so above
	})
	lines := bufio.NewReader(says)
	first, err := lines.ReadBytes('\n')
	g.Expect(err).NotTo(HaveOccurred())
	go io.Copy(io.Discard, lines) //nolint:errcheck // to its end
	var ready local.Event
	g.Expect(json.Unmarshal(first, &ready)).To(Succeed())

	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	api, err := kube.New(config, kube.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	return &place{
		door: door{ready.Endpoint, ready.AccessKeyID, ready.SecretAccessKey}, api: api, port: local.PodPort, slow: true,
		agent: corev1.Container{Name: "agent", Image: "process", Command: echo, Ports: []corev1.ContainerPort{{ContainerPort: local.PodPort}}},
	}
}

// TestChecksOnLocal has AWS's clients see the same of agentsession local. Java's is left to
// TestChecks.
func TestChecksOnLocal(t *testing.T) {
	here := laptop(t)
	all, _ := clients(t, here, "Java")
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, check := range checks {
				t.Run(fmt.Sprintf("%d %s", check.number, check.what), func(t *testing.T) {
					check.see(&subject{NewWithT(t), t, here, c, name, ""})
				})
			}
		})
	}
}
