package explain_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

var update = flag.Bool("update", false, "write the golden texts anew; read each of them aloud")

func golden(name string) string { return filepath.Join("testdata", name+".golden") }

// TestGolden: each explanation is the text that was read and kept.
func TestGolden(t *testing.T) {
	all := texts()
	for name, text := range all {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			if *update {
				g.Expect(os.WriteFile(golden(name), []byte(text), 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden(name))
			g.Expect(err).NotTo(HaveOccurred(), "with -update it is written")
			g.Expect(text).To(Equal(string(want)))
		})
	}
	files, err := filepath.Glob(golden("*"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, file := range files {
		NewWithT(t).Expect(all).To(HaveKey(strings.TrimSuffix(filepath.Base(file), ".golden")), "a golden text of nothing")
	}
}

// constants are those of the API of a type, or whose names begin with it, by value.
func constants(t *testing.T, kind string) (values []string) {
	t.Helper()
	g := NewWithT(t)
	files, err := filepath.Glob("../../api/v1alpha1/*.go")
	g.Expect(err).NotTo(HaveOccurred())
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		g.Expect(err).NotTo(HaveOccurred())
		ast.Inspect(tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			literal, ok := spec.Values[0].(*ast.BasicLit)
			of, typed := spec.Type.(*ast.Ident)
			if ok && (typed && of.Name == kind || spec.Type == nil && strings.HasPrefix(spec.Names[0].Name, kind)) {
				value, err := strconv.Unquote(literal.Value)
				g.Expect(err).NotTo(HaveOccurred())
				values = append(values, value)
			}
			return true
		})
	}
	g.Expect(values).NotTo(BeEmpty())
	return values
}

// TestAllIsExplained: each reason of a stop, each state, and each reason of a condition
// has a golden text; and each that troubles somebody says what would change it.
func TestAllIsExplained(t *testing.T) {
	g := NewWithT(t)
	for _, reason := range constants(t, "StopReason") {
		g.Expect(golden("stop-" + reason)).To(BeARegularFile())
		g.Expect(stops).To(HaveKey(v1alpha1.StopReason(reason)))
		text := texts()["stop-"+reason]
		g.Expect(text).To(And(ContainSubstring("It is Stopped since 02:50:00 (10 min ago): "+reason+". "), ContainSubstring("The rule: ")))
	}
	for _, state := range constants(t, "SessionState") {
		g.Expect(golden("state-" + state)).To(BeARegularFile())
		g.Expect(texts()["state-"+state]).To(ContainSubstring("It is " + state + " since "))
	}
	shown := map[string]bool{}
	note := func(conditions []metav1.Condition) {
		for _, c := range conditions {
			shown[c.Reason] = true
		}
	}
	for _, k := range sessions() {
		note(k.Session.Status.Conditions)
	}
	for _, a := range runtimes() {
		note(a.Runtime.Status.Conditions)
	}
	for _, reason := range constants(t, "Reason") {
		g.Expect(shown).To(HaveKey(reason), "a reason of a condition without a golden text")
	}
	for reason := range troubles {
		text := texts()["ready-"+reason]
		_, changes, _ := strings.Cut(text, "What would change that\n  - ")
		g.Expect(text).To(ContainSubstring(reason))
		g.Expect(changes).NotTo(HavePrefix("spec.desiredState"), "it says what would change it: "+reason)
	}
}

// TestTextsArePrintable: whatever agents and tenants wrote.
func TestTextsArePrintable(t *testing.T) {
	g := NewWithT(t)
	for name, text := range texts() {
		g.Expect(text).NotTo(MatchRegexp(`[^ -~…\n]`), name)
		g.Expect(len(text)).To(BeNumerically("<", 12_000), name)
	}
	k := hostile()
	row := explain.RowOf(now, k.Session)
	for _, text := range []string{explain.Sentence(k.Session, time.UTC), row.Ping, row.Why, explain.Gone(now, k.Session.Status.PingStatus, k.Session.Status.PingStatus, k.Events, tools).Title} {
		g.Expect(text).NotTo(MatchRegexp(`[^ -~…]`))
		g.Expect(len(text)).To(BeNumerically("<", 1100))
	}
}

// TestLinesAreNarrow: but for commands, which are to be copied, and words without a space.
func TestLinesAreNarrow(t *testing.T) {
	g := NewWithT(t)
	command, word := regexp.MustCompile(`^    kubectl `), regexp.MustCompile(`^ *\S+$`)
	for name, text := range texts() {
		for line := range strings.SplitSeq(text, "\n") {
			if !command.MatchString(line) && !word.MatchString(line) {
				g.Expect(len([]rune(line))).To(BeNumerically("<=", 96), name+": "+line)
			}
		}
	}
}

// TestZones: moments are told in the zone of now, with their day where it is another.
func TestZones(t *testing.T) {
	g := NewWithT(t)
	k := sessions()["state-Stopped"]
	east := explain.Session(now.In(time.FixedZone("EAST", 9*3600)), k).String()
	g.Expect(east).To(And(ContainSubstring("at 2026-11-29 12:00:00 EAST"), ContainSubstring("since 11:50:00 (10 min ago)")))
	west := explain.Session(now.In(time.FixedZone("WEST", -150*60)), k).String()
	g.Expect(west).To(And(ContainSubstring("at 2026-11-29 00:30:00 WEST"), ContainSubstring("2026-11-28 23:20:00  The AgentSession was made.")))
}

// TestSentencesAndRows: what a line and a table say of each session that has a golden text.
func TestSentencesAndRows(t *testing.T) {
	g := NewWithT(t)
	all, lines := sessions(), []string{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		row := explain.RowOf(now, all[name].Session)
		lines = append(lines, fmt.Sprintf("%s\n  %s\n  %s | %s | since %s | %s | %s | alarming: %t",
			name, explain.Sentence(all[name].Session, time.UTC), row.State, row.Ping, row.Since, row.Next, row.Why, row.Alarming))
	}
	text := strings.Join(lines, "\n") + "\n"
	const file = "testdata/lines.txt"
	if *update {
		g.Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	}
	want, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred(), "with -update it is written")
	g.Expect(text).To(Equal(string(want)))
}

// TestAStartThatGoesWell sounds like none that fails, nor does it blame anybody who has had no
// time yet.
func TestAStartThatGoesWell(t *testing.T) {
	g := NewWithT(t)
	for name, by := range map[string]string{"starting-its-agent-runs": "03:01:57", "starting-a-moment-ago": "03:11:56"} {
		text, row := texts()[name], explain.RowOf(now, sessions()[name].Session)
		g.Expect(strings.Join(strings.Fields(text), " ")).To(And(ContainSubstring("It has been starting for 4 s, and must be ready by "+by+": "), Not(ContainSubstring("scheduler")), Not(ContainSubstring("Failed"))))
		g.Expect(row).To(And(HaveField("Next", "must be ready in 11m"), HaveField("Why", "-"), HaveField("Alarming", false)))
	}
	g.Expect(texts()["starting-without-a-scheduler"]).To(ContainSubstring("No scheduler has looked at its pod."))
}

// TestOnALaptop: nothing is suggested that is not there.
func TestOnALaptop(t *testing.T) {
	g := NewWithT(t)
	for name, text := range texts() {
		if strings.HasPrefix(name, "laptop-") {
			g.Expect(text).To(And(ContainSubstring("    kubectl agentsession "), Not(MatchRegexp(`(?m)^    kubectl (logs|events|get) `))), name)
		}
	}
	g.Expect(texts()["laptop-busy"]).To(ContainSubstring("What its agent writes is in the output of `agentsession local`"))
	old := sessions()["starting-without-a-scheduler"]
	old.Tools.Laptop = true
	g.Expect(explain.Session(now, old).String()).NotTo(ContainSubstring("scheduler"))
}

// TestACrashIsToldOnce: what its last words were.
func TestACrashIsToldOnce(t *testing.T) {
	g := NewWithT(t)
	all := texts()
	for _, name := range []string{"stop-AgentExited", "gone-after-a-crash", "runtime-AgentExited"} {
		text := strings.Join(strings.Fields(all[name]), " ")
		g.Expect(strings.Count(text, "KeyError: 'MODEL'")).To(Equal(1), all[name])
	}
}

// TestBusyFor: of those that work by their agent's word only.
func TestBusyFor(t *testing.T) {
	g := NewWithT(t)
	all := sessions()
	g.Expect(explain.BusyFor(now, all["state-Active"].Session)).To(Equal(40 * time.Minute))
	for _, name := range []string{"active-called", "state-Idle", "state-Stopped", "new"} {
		g.Expect(explain.BusyFor(now, all[name].Session)).To(BeZero(), name)
	}
}
