package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var updateGolden = flag.Bool("update", false, "write the golden files")

// golden compares with a file: go test ./hack/demo -update writes it.
func golden(g Gomega, name, got string) {
	file := "testdata/" + name
	if *updateGolden {
		g.Expect(os.WriteFile(file, []byte(got), 0o600)).To(Succeed())
	}
	want, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(string(want)))
}

func rendered(lines []line, colour bool) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.render(colour) + "\n")
	}
	return b.String()
}

// viewAt is the view after some of the lives' scenes.
func viewAt(scenes, second int) view {
	s, ticks, _ := told(lives[:scenes])
	v := view{story: s, began: noon, now: at(second)}
	for _, t := range ticks {
		v.news = append(v.news, news{at: at(second), session: t.session, kind: newsTick, text: t.says})
	}
	v.news = append(v.news,
		news{at(3), "research", newsEvent, "Active: The session has work: the agent answers HealthyBusy"},
		news{at(4), "echo", newsEvent, "Idle: The session has no work: the agent answers Healthy"},
		news{at(7), "echo", newsCommand, kubectlPatch("echo", `{"spec":{"desiredState":"Running","activation":2}}`)},
		news{at(18), "forgetful", newsWarning, "BusyTooLong: HealthyBusy without a break for more than 180 s (spec.stuckDetection.afterSeconds). Probably a task was never completed."},
		news{at(19), "", newsTrouble, "the watch broke off, and is tried again: connection refused"})
	return v
}

func TestView(t *testing.T) {
	for name, row := range map[string]struct {
		scenes, second, width, height int
		colour                        bool
	}{
		"begin-80x24":   {0, 0, 80, 24, false},
		"middle-80x24":  {15, 19, 80, 24, false},
		"middle-100x30": {15, 19, 100, 30, false},
		"middle-colour": {15, 19, 80, 24, true},
		"end-80x24":     {len(lives), 46, 80, 24, false},
		"tiny-40x10":    {15, 19, 40, 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			lines := viewAt(row.scenes, row.second).lines(row.width, row.height)
			g.Expect(len(lines)).To(BeNumerically("<", row.height), "the cursor needs a line too")
			for _, l := range lines {
				g.Expect(len([]rune(l.render(false)))).To(BeNumerically("<=", row.width))
			}
			golden(g, "view-"+name+".txt", rendered(lines, row.colour))
		})
	}
}

func TestSummary(t *testing.T) {
	g := NewWithT(t)
	v := viewAt(len(lives), 46)
	golden(g, "summary.txt", rendered(append(append(v.summary(), nil), v.goOn([]string{"export KUBECONFIG=..."}, false)...), false))
}

func TestABorrowedClusterIsNotTakenAway(t *testing.T) {
	g := NewWithT(t)
	g.Expect(rendered(viewAt(len(lives), 46).goOn(nil, true), false)).To(And(ContainSubstring("The sessions stay"), Not(ContainSubstring(demoDown))))
}

func TestFailure(t *testing.T) {
	g := NewWithT(t)
	violated := viewAt(6, 30)
	violated.story, _, _ = told([]scene{
		{1, "forgetful", status(active, "HealthyBusy", 1)},
		{12, "echo", status(stopping, "", 1, ended(v1alpha1.StopStartTimeout, 11, 0))},
	})
	golden(g, "failure-violated.txt", rendered(violated.failure(), false))
	late := viewAt(6, 300)
	late.news = nil
	golden(g, "failure-late.txt", rendered(late.failure(), false))
}

func TestPlainLines(t *testing.T) {
	g := NewWithT(t)
	v := viewAt(15, 19)
	v.news = append(v.news, news{at(20), "echo", newsChange, change(&v.story.plot("echo").seen.Status)})
	var b strings.Builder
	for _, n := range v.news {
		b.WriteString(n.plainLine() + "\n")
	}
	golden(g, "plain.txt", b.String())
}

func TestCut(t *testing.T) {
	l := line{{bold, "abc"}, {plain, "def  "}, {dim, " "}}
	for width, want := range map[int]string{0: "", 1: "…", 3: "ab…", 4: "abc…", 5: "abcd…", 6: "abcdef", 7: "abcdef"} {
		g := NewWithT(t)
		g.Expect(l.cut(width).render(false)).To(Equal(want), "%d", width)
	}
}

func TestCountdown(t *testing.T) {
	g := NewWithT(t)
	for d, want := range map[time.Duration]string{
		-time.Second: "0:00", 0: "0:00", time.Millisecond: "0:01", time.Second: "0:01", 59001 * time.Millisecond: "1:00", 8 * time.Hour: "480:00",
	} {
		g.Expect(clockOf(d)).To(Equal(want), "%s", d)
	}
}

func TestScreenDrawsInPlace(t *testing.T) {
	g := NewWithT(t)
	var b bytes.Buffer
	s := &screen{out: &b}
	s.draw([]line{text("one"), text("two")})
	g.Expect(b.String()).To(Equal("\r\x1b[Kone\n\x1b[Ktwo\n\x1b[J"))
	b.Reset()
	s.draw([]line{text("three")})
	g.Expect(b.String()).To(Equal("\x1b[2A\r\x1b[Kthree\n\x1b[J"), "up by what was drawn, and nothing of it stays")
}
