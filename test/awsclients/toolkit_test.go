package awsclients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
)

// TestToolkit has the client of AWS's starter toolkit make, call, change and delete a runtime.
func TestToolkit(t *testing.T) {
	t.Parallel()
	g, here := NewWithT(t), newMaker(t, allowedImage)
	made, err := install(t.Context(), "toolkit", []string{"requirements.txt"}, python(t), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
		"--target", "packages", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", "requirements.txt")
	g.Expect(err).NotTo(HaveOccurred())
	tool := exec.CommandContext(t.Context(), python(t), "toolkit.py", strconv.Itoa(int(here.port)), allowedImage)
	tool.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(made, "packages"), "BEDROCK_AGENTCORE_CP_ENDPOINT="+here.url, "BEDROCK_AGENTCORE_DP_ENDPOINT="+here.url,
		"AWS_ACCESS_KEY_ID="+here.accessKey, "AWS_SECRET_ACCESS_KEY="+here.secretKey)
	out, err := tool.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)
	g.Expect(here.recorder.judged(t)).To(And(HaveKey("CreateAgentRuntime"), HaveKey("UpdateAgentRuntime"), HaveKey("DeleteAgentRuntime")))
}
