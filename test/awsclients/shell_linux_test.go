package awsclients

import (
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/front"
)

// TestShells has AWS's SDK for Python open WebSockets by presigned URLs, and shells: on a
// node in its pods, else on this machine.
func TestShells(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	python := os.Getenv("AGENTSESSION_PYTHON")
	g.Expect(python).NotTo(BeEmpty(), "make conformance sets it")
	pods := front.NewPods(t.TempDir())
	t.Cleanup(pods.Close)
	here := newPlace(t, pods.Run)
	s := &subject{g, t, here, nil, "Python", ""}
	agent := s.runtime(func(spec *v1alpha1.AgentRuntimeSpec) {
		if here.node { // where the agent that echoes has no shell
			spec.Template.Spec.Containers[0].Image = shellImage
		}
	})
	here.allowCommands(t, agent.Namespace)
	at, err := url.Parse(here.url)
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() (string, error) {
		script := exec.CommandContext(t.Context(), python, "shell.py", at.Hostname(), at.Port(), here.accessKey, here.secretKey,
			agent.Status.AgentRuntimeArn, newID(), strconv.FormatBool(!here.node))
		out, err := script.CombinedOutput()
		return string(out), err
	}).WithTimeout(patience).Should(HaveSuffix("all\n")) // a role takes its time to be known
}
