package awsclients

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/test/docs"
)

// TestPytest runs the files that docs/testing.md shows, with AWS's SDK for Python and boto3.
func TestPytest(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	python := os.Getenv("AGENTSESSION_PYTHON")
	g.Expect(python).NotTo(BeEmpty(), "make conformance sets it")
	dir := t.TempDir()
	page, err := os.ReadFile("../../docs/testing.md")
	g.Expect(err).NotTo(HaveOccurred())
	files := regexp.MustCompile("(?s)```python\n# (\\S+\\.py)\n(.*?)```").FindAllSubmatch(page, -1)
	g.Expect(files).To(HaveLen(3))
	for _, file := range files {
		g.Expect(os.WriteFile(filepath.Join(dir, string(file[1])), file[2], 0o600)).To(Succeed())
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin", "agentsession"), "./cmd/agentsession")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)

	suite := exec.CommandContext(t.Context(), python, "-m", "pytest", "-v", "-p", "no:cacheprovider")
	suite.Dir = dir
	suite.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	suite.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	suite.Cancel = func() error { return syscall.Kill(-suite.Process.Pid, syscall.SIGTERM) } // the platform too
	suite.WaitDelay = time.Minute
	out, err = suite.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)
	g.Expect(string(out)).To(ContainSubstring("2 passed"))
}

// TestPython: what the pages show as Python is.
func TestPython(t *testing.T) {
	g := NewWithT(t)
	pages, err := docs.Pages("../..")
	g.Expect(err).NotTo(HaveOccurred())
	for page, text := range pages {
		for _, block := range docs.Blocks(page, text) {
			if block.Language != "python" {
				continue
			}
			parse := exec.CommandContext(t.Context(), os.Getenv("AGENTSESSION_PYTHON"), "-c", "import ast, sys; ast.parse(sys.stdin.read())")
			parse.Stdin = strings.NewReader(block.Text)
			out, err := parse.CombinedOutput()
			g.Expect(err).NotTo(HaveOccurred(), "%s\n%s%s", page, block.Text, out)
		}
	}
}
