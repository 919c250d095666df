package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/test/docs"
)

func commands(t *testing.T) []docs.Command {
	t.Helper()
	g := NewWithT(t)
	all, err := docs.Commands(t.Context(), pages(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(all)).To(BeNumerically(">", 100))
	return all
}

var target = regexp.MustCompile(`(?m)^([a-z0-9-]+):.* ## `)

// TestMake: the targets that the pages name are there.
func TestMake(t *testing.T) {
	g, seen := NewWithT(t), 0
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	g.Expect(err).NotTo(HaveOccurred())
	var targets []string
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	for _, c := range commands(t) {
		if c.Words[0] != "make" {
			continue
		}
		for _, word := range c.Words[1:] {
			if !strings.Contains(word, "=") {
				seen++
				g.Expect(targets).To(ContainElement(word), c.String())
			}
		}
	}
	g.Expect(seen).To(BeNumerically(">", 20))
}

// TestKubectl: kubectl knows the commands and their flags. With --help it takes them apart,
// and asks no cluster.
func TestKubectl(t *testing.T) {
	g, seen := NewWithT(t), map[string]bool{}
	kubectl := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	g.Expect(kubectl).To(BeARegularFile(), "make test sets KUBEBUILDER_ASSETS")
	for _, c := range commands(t) {
		if _, tool := c.Tool(); tool || c.Words[0] != "kubectl" || len(c.Words) == 1 {
			continue
		}
		args := c.Words[1:]
		if end := slices.Index(args, "--"); end >= 0 { // what follows is for the pod
			args = args[:end]
		}
		shape := shapeOf(args)
		if seen[shape] {
			continue
		}
		seen[shape] = true
		out, err := exec.CommandContext(t.Context(), kubectl, append(slices.Clone(args), "--help")...).CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), "%s\n%s", c, out)
	}
	g.Expect(len(seen)).To(BeNumerically(">", 20))
}

// shapeOf is what of a command line tells whether kubectl takes it: its first words, and the
// names of its flags.
func shapeOf(args []string) string {
	shape := strings.Join(args[:min(len(args), 2)], " ")
	for _, arg := range args {
		if name, _, _ := strings.Cut(arg, "="); strings.HasPrefix(name, "-") {
			shape += " " + name
		}
	}
	return shape
}

// inRepository begins what is a file of the repository, or a package of it.
var inRepository = regexp.MustCompile(`^(\./)?(dist|examples|config|cmd|hack|internal|test)/[a-z]`)

// TestFilesOfCommands: files and packages that the commands name are there.
func TestFilesOfCommands(t *testing.T) {
	g, seen := NewWithT(t), 0
	for _, c := range commands(t) {
		for _, word := range c.Words[1:] {
			if inRepository.MatchString(word) {
				seen++
				g.Expect(filepath.Join(top, strings.TrimSuffix(word, "/..."))).To(BeAnExistingFile(), c.String())
			}
		}
	}
	g.Expect(seen).To(BeNumerically(">", 15))
}

var newcomer = regexp.MustCompile("<!-- newcomer: (\\w+) -->\n(```sh\n)?")

// TestNewcomer: hack/newcomer finds the commands of each way, and .ci/run runs all ways.
func TestNewcomer(t *testing.T) {
	g, ways, all := NewWithT(t), map[string]bool{}, pages(t)
	for _, name := range []string{"README.md", "docs/install.md"} { // which it reads
		marked := newcomer.FindAllStringSubmatch(all[name], -1)
		g.Expect(marked).To(HaveLen(strings.Count(all[name], "newcomer:")), name)
		for _, m := range marked {
			g.Expect(m[2]).NotTo(BeEmpty(), "%s: no block follows %s", name, m[1])
			ways[m[1]] = true
		}
	}
	g.Expect(ways).To(HaveLen(3))
	run, err := os.ReadFile(filepath.Join(top, ".ci/run"))
	g.Expect(err).NotTo(HaveOccurred())
	for way := range ways {
		g.Expect(string(run)).To(ContainSubstring("hack/newcomer " + way + "\n"))
	}
}
