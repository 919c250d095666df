package awsclients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
func laptop(t *testing.T, dir string) *place {
	t.Helper()
	g := NewWithT(t)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/agentsession", "./test/echo/echo-agent")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)

	kubeconfig, echo := filepath.Join(dir, "kubeconfig"), []string{filepath.Join(dir, "echo-agent"), "--addr", "127.0.0.1:{port}"}
	tool := exec.CommandContext(t.Context(), filepath.Join(dir, "agentsession"), append([]string{"local", "--auth", "sigv4", "-o", "json", "--write-kubeconfig", kubeconfig, "--"}, echo...)...)
	tool.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
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
	t.Parallel()
	here := laptop(t, t.TempDir())
	all, _ := clients(t, here, withoutJava...)
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

// engine stands in for Docker, of which test/containers has the real one: it knows one image, whose
// containers are processes of the agent that echoes, at the port that is published.
const engine = `#!/bin/sh
dir=$(dirname "$0")
case $1 in
image) [ "$6" = '%s' ] || { echo "Error: No such image: $6" >&2; exit 1; } ;;
run)
	while [ "$1" != --publish ]; do shift; done
	exec "$dir/echo-agent" --addr "${2%%:*}" ;;
esac
`

// TestExampleOnLocal runs the files that docs/local.md shows: what AWS's guide has one deploy and
// call with boto3, with nothing changed but the endpoint.
func TestExampleOnLocal(t *testing.T) {
	t.Parallel()
	g, dir := NewWithT(t), t.TempDir()
	page, err := os.ReadFile("../../docs/local.md")
	g.Expect(err).NotTo(HaveOccurred())
	files := regexp.MustCompile("(?s)```python\n# (\\S+\\.py)\n(.*?)```").FindAllSubmatch(page, -1)
	g.Expect(files).To(HaveLen(2))
	for _, file := range files {
		g.Expect(os.WriteFile(filepath.Join(dir, string(file[1])), file[2], 0o600)).To(Succeed())
	}
	image := regexp.MustCompile(`"containerUri": "(.*)"`).FindSubmatch(page)
	g.Expect(image).NotTo(BeEmpty())
	g.Expect(os.WriteFile(filepath.Join(dir, "docker"), fmt.Appendf(nil, engine, image[1]), 0o700)).To(Succeed())
	here := laptop(t, dir)
	run := func(words ...string) (string, error) {
		command := exec.CommandContext(t.Context(), python(t), words...)
		command.Dir = dir
		command.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+here.url, "AWS_ACCESS_KEY_ID="+here.accessKey, "AWS_SECRET_ACCESS_KEY="+here.secretKey)
		out, err := command.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	arn, err := run("deploy_agent.py")
	g.Expect(err).NotTo(HaveOccurred(), arn)
	for calls := range 2 {
		told, err := run("invoke_agent.py", arn)
		g.Expect(err).NotTo(HaveOccurred(), told)
		g.Expect(told).To(ContainSubstring("'calls': %d,", calls+1), "the agent, with its memory")
	}

	s := &teller{&subject{g, t, here, goClient{here.door}, "Go", ""}, "default"}
	id := members{"agentRuntimeId": arn[strings.LastIndex(arn, "/")+1:], "roleArn": "arn:aws:iam::123456789012:role/x"}
	other := with(id, members{"agentRuntimeArtifact": members{"containerConfiguration": members{"containerUri": "elsewhere:1"}}})
	s.failing(invocation{Op: "control", Operation: "UpdateAgentRuntime", Members: other}, "ValidationException", `the image "elsewhere:1" cannot be run here`, "No such image")

	// Another version listens elsewhere. The session that is there goes on, and an endpoint has the old one.
	moved := with(id, members{
		"agentRuntimeArtifact":  members{"containerConfiguration": members{"containerUri": string(image[1])}},
		"protocolConfiguration": members{"serverProtocol": "HTTP", "port": 9123},
	})
	s.asks("UpdateAgentRuntime", moved)
	s.ready("GetAgentRuntime", members{"agentRuntimeId": id["agentRuntimeId"]})
	told, err := run("invoke_agent.py", arn)
	g.Expect(err).NotTo(HaveOccurred(), told)
	g.Expect(told).To(ContainSubstring("'calls': 3,"))
	g.Expect(s.calls(invocation{Runtime: arn, Session: newID()}).Host).To(Equal("localhost:9123"))
	s.asks("CreateAgentRuntimeEndpoint", members{"agentRuntimeId": id["agentRuntimeId"], "name": "old", "agentRuntimeVersion": "1"})
	s.ready("GetAgentRuntimeEndpoint", members{"agentRuntimeId": id["agentRuntimeId"], "endpointName": "old"})
	g.Expect(s.calls(invocation{Runtime: arn, Session: newID(), Qualifier: "old"}).Host).To(Equal("localhost:8080"))
}
