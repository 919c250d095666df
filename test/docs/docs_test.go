package docs_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
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
	series = regexp.MustCompile("(?m)^\\| `(agentsession_[a-z_]+)(?:\\{([a-z_,]+)\\})?` \\|(.*)\\|$")
)

// metricRow is a row of the table of metrics.
type metricRow struct {
	labels []string
	// of is who has it, kind its type and unit, values those of its labels.
	of, kind, values string
}

func metricRows(t *testing.T) map[string]metricRow {
	t.Helper()
	g, all := NewWithT(t), map[string]metricRow{}
	for _, m := range series.FindAllStringSubmatch(pages(t)["docs/operating.md"], -1) {
		cells := strings.Split(m[3], " | ")
		g.Expect(cells).To(HaveLen(4), m[1])
		g.Expect(all).NotTo(HaveKey(m[1]), "it has two rows")
		all[m[1]] = metricRow{strings.Split(m[2], ","), strings.TrimSpace(cells[0]), cells[1], cells[2]}
	}
	return all
}

// TestMetrics: the table has a row for each metric that is registered, with its labels, and none
// for any other; each that the sources name is registered.
func TestMetrics(t *testing.T) {
	g, rows := NewWithT(t), metricRows(t)
	_, access := apiserver.Namespaces{}.Follow(&rest.Config{}, logr.Discard())
	known := registered(g, access.Series()...)
	maps.DeleteFunc(known, func(name string, _ []string) bool { return !strings.HasPrefix(name, "agentsession_") })
	labels := map[string][]string{}
	for name, row := range rows {
		labels[name] = row.labels
	}
	g.Expect(labels).To(Equal(known))
	for _, room := range []string{"controllers", "internal", "cmd"} {
		g.Expect(filepath.WalkDir(filepath.Join(top, room), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range metric.FindAllStringSubmatch(string(text), -1) {
				g.Expect(known).To(HaveKey(m[1]), path)
			}
			return err
		})).To(Succeed())
	}
}

// noSessions is a cache without any.
type noSessions struct{ client.Reader }

func (noSessions) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// TestMetricsHaveUnitsAndValues: a row says of which type and unit a metric is, and names the
// values of its labels that the process begins with.
func TestMetricsHaveUnitsAndValues(t *testing.T) {
	g, rows := NewWithT(t), metricRows(t)
	kinds := map[string]string{"_total": "counter, ", "_seconds": "(histogram|gauge), seconds$", "": "gauge, "}
	for name, row := range rows {
		suffix := ""
		for s := range kinds {
			if strings.HasSuffix(name, s) && len(s) > len(suffix) {
				suffix = s
			}
		}
		g.Expect(row.of).NotTo(BeEmpty(), name)
		g.Expect(row.kind).To(MatchRegexp("^"+kinds[suffix]), name)
		for _, label := range row.labels {
			says := ContainSubstring("`" + label + "`")
			if label == "" {
				says = Equal("none")
			}
			g.Expect(row.values).To(says, name)
		}
	}
	sessions := prometheus.NewRegistry()
	g.Expect(sessions.Register(controllers.SessionCollector{Reader: noSessions{}, Now: time.Now})).To(Succeed())
	families, err := prometheus.Gatherers{metrics.Registry, sessions}.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	seen := 0
	for _, family := range families {
		for _, one := range family.GetMetric() {
			for _, label := range one.GetLabel() {
				if row, ours := rows[family.GetName()]; ours {
					seen++
					g.Expect(row.values).To(ContainSubstring("`"+label.GetValue()+"`"), family.GetName())
				}
			}
		}
	}
	g.Expect(seen).To(BeNumerically(">", 30))
	for name, c := range constantsOf(sources(t, "internal/gateway")) {
		if c.kind == "operation" {
			g.Expect(pages(t)["docs/operating.md"]).To(ContainSubstring("`"+c.text+"`"), name)
		}
	}
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
