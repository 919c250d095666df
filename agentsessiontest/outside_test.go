package agentsessiontest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestSuitesOfOthers: the tests beside this one compile in another module too, with nothing
// of this repository but what everybody may import.
func TestSuitesOfOthers(t *testing.T) {
	g := NewWithT(t)
	top, err := filepath.Abs("..")
	g.Expect(err).NotTo(HaveOccurred())
	dir := t.TempDir()
	for _, name := range []string{"suite_test.go", "agent_test.go", "controller_test.go", "platform_test.go"} {
		text, err := os.ReadFile(name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.WriteFile(filepath.Join(dir, name), text, 0o600)).To(Succeed())
	}
	needs, err := os.ReadFile(filepath.Join(top, "go.mod"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(strings.NewReplacer(
		"module github.com/agentsession/agentsession\n", "module example.com/suite\n\nrequire github.com/agentsession/agentsession v0.0.0\n\nreplace github.com/agentsession/agentsession => "+top+"\n",
		"=> ./agent-runtime", "=> "+filepath.Join(top, "agent-runtime"),
	).Replace(string(needs))), 0o600)).To(Succeed())
	sums, err := os.ReadFile(filepath.Join(top, "go.sum"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600)).To(Succeed())
	vet := exec.CommandContext(t.Context(), "go", "vet", "-trimpath", "-mod=mod", "./...")
	vet.Dir, vet.Env = dir, append(os.Environ(), "CGO_ENABLED=0") // as make test has compiled what it imports
	out, err := vet.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)
}
