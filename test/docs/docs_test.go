package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/test/docs"
)

const top = "../.."

// pages returns all of them, by their path from the top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all, err := docs.Pages(top)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(all).To(HaveKey("README.md"))
	return all
}

var (
	code    = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those of a page's headings, as GitHub makes them.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(code.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "```") {
			return ""
		}
		return s
	}), -1) {
		all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// TestLinks: links between pages and to files of the repository lead somewhere.
func TestLinks(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			t.Run(name+" "+m[1], func(t *testing.T) {
				g := NewWithT(t)
				file, anchor, _ := strings.Cut(m[1], "#")
				to := name
				if file != "" {
					to = filepath.Join(filepath.Dir(name), file)
				}
				_, err := os.Stat(filepath.Join(top, to))
				g.Expect(err).NotTo(HaveOccurred())
				if anchor != "" {
					g.Expect(anchors(all[to])).To(ContainElement(anchor))
				}
			})
		}
	}
}

// TestReadme: it is read to its end, and leads to every page.
func TestReadme(t *testing.T) {
	g, all := NewWithT(t), pages(t)
	readme := all["README.md"]
	g.Expect(strings.Count(readme, "\n")).To(BeNumerically("<=", 150))
	for name := range all {
		if strings.HasPrefix(name, "docs/") {
			g.Expect(readme).To(ContainSubstring("(" + name + ")"))
		}
	}
}

var (
	metric = regexp.MustCompile(`"(agentsession_[a-z_]+)"`)
	series = regexp.MustCompile("(?m)^\\| `agentsession_.*$")
)

// TestMetrics: each metric that the sources name stands in the table.
func TestMetrics(t *testing.T) {
	g, table, seen := NewWithT(t), strings.Join(series.FindAllString(pages(t)["docs/operating.md"], -1), "\n"), 0
	for _, room := range []string{"controllers", "internal", "cmd"} {
		g.Expect(filepath.WalkDir(filepath.Join(top, room), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range metric.FindAllStringSubmatch(string(text), -1) {
				seen++
				g.Expect(table).To(MatchRegexp("`"+m[1]+"[`{]"), path)
			}
			return err
		})).To(Succeed())
	}
	g.Expect(seen).To(BeNumerically(">", 20))
}

var (
	measured = regexp.MustCompile(`(?ms)^\| measured \| \| by \|\n\|---\|---\|---\|\n(.*?)\n\n`)
	figure   = regexp.MustCompile(`\d[\d.,]*\d|\d`)
)

// TestSizing: what docs/sizing.md says was measured stands in the benchmarks, with its command.
func TestSizing(t *testing.T) {
	g, all := NewWithT(t), pages(t)
	rows := measured.FindStringSubmatch(all["docs/sizing.md"])
	g.Expect(rows).NotTo(BeNil())
	figures := map[string]bool{}
	for _, f := range figure.FindAllString(all["docs/benchmarks.md"], -1) {
		figures[f] = true
	}
	lines := strings.Split(rows[1], "\n")
	g.Expect(len(lines)).To(BeNumerically(">", 10))
	for _, line := range lines {
		cells := strings.Split(line, "|")
		g.Expect(cells).To(HaveLen(5), line)
		for _, f := range figure.FindAllString(cells[2], -1) {
			g.Expect(figures).To(HaveKey(f), line)
		}
		if by := strings.TrimSpace(cells[3]); by != "the same" {
			g.Expect(all["docs/benchmarks.md"]).To(ContainSubstring(by), line)
		}
	}
}
