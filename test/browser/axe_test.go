package browser

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/gomega"
)

// axe is the program of axe-core, which npm puts beside the other caches, once, as
// package-lock.json pins it.
func axe(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the caches: %w", err)
	}
	parent := filepath.Join(cache, "agentsession", "browser")
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, "making-") // it gets its name when all is there
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a cache
	pinned := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		raw, err := os.ReadFile(filepath.Join("axe", name))
		if err != nil {
			return "", err
		}
		pinned.Write(raw)
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			return "", err
		}
	}
	made := filepath.Join(parent, fmt.Sprintf("%x", pinned.Sum(nil))[:16])
	if _, err := os.Stat(made); errors.Is(err, fs.ErrNotExist) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		npm.Dir = dir
		if out, err := npm.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm ci (Node 20 or later and npm are needed): %w: %s", err, out)
		}
		if err := os.Rename(dir, made); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(made, "node_modules", "axe-core", "axe.min.js"))
	return string(text), err
}

// violation is a rule of axe's that a page breaks.
type violation struct {
	ID, Impact, Help string
	Where            []string
}

// accessible holds what is shown now to axe's rules, and to the width of the window.
func (b *tab) accessible(as look, name string) {
	b.t.Helper()
	program, err := axe(b.t.Context())
	b.Expect(err).NotTo(HaveOccurred())
	b.do(chromedp.Evaluate[chromedp.Void](program))
	var found []violation
	b.is(`axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) => ({ID: v.id, Impact: v.impact, Help: v.help, Where: v.nodes.map((n) => n.html + " " + n.failureSummary)})))`, &found)
	var rules int
	b.is(`axe.getRules().length`, &rules)
	b.Expect(rules).To(BeNumerically(">", 80))
	b.picture(as, name)
	var width int64
	b.is(`innerWidth`, &width)
	b.Expect(width).To(Equal(as.width), "%s, %s: a phone shows all of a page that is wider, smaller", as.name, name)
	for _, v := range found {
		b.t.Logf("%s, %s: %s: %s (%s)\n%s", as.name, name, v.Impact, v.Help, v.ID, strings.Join(v.Where, "\n"))
		if v.Impact == "serious" || v.Impact == "critical" {
			b.t.Errorf("%s, %s: axe finds %s", as.name, name, v.ID)
		}
	}
}

// TestAccessible holds each view of the page to axe's rules, in light, in dark, and on a phone.
func TestAccessible(t *testing.T) {
	for _, as := range []look{light, dark, phone} {
		t.Run(as.name, func(t *testing.T) {
			c := newCluster(t)
			page := c.dashboard("-A", "--write")
			b := open(t, page, as)
			b.sees(`document.querySelector(".nothing")`)
			b.accessible(as, "empty")
			c.scene(b)
			b.accessible(as, "list")

			b.click(`.row[data-key$="research-late"]`)
			for _, name := range []string{"Story", "Invoke", "Tasks", "History", "Events"} {
				b.click("#tab-" + name)
				b.sees(`document.querySelector("#panel").innerText.trim() && !document.querySelector("#panel").innerText.startsWith("Loading")`)
				if name == "Events" {
					b.sees(`document.querySelectorAll("#panel .entries li").length === 2 && document.querySelectorAll("#panel .entries li.warning").length === 1`)
				}
				b.accessible(as, "opened-"+strings.ToLower(name))
			}
			b.press(kb.Escape)
			b.sees(`!document.querySelector(".opened")`)
			b.click(".check input")
			b.sees(`document.querySelector("[role=treegrid]")`)
			b.accessible(as, "grouped")
			b.click(`.row.group`)
			b.sees(`document.querySelector(".opened .chapter")`)
			b.accessible(as, "runtime")
		})
	}
}

// TestTasks holds the tasks of an agent, one that runs and one that has ended by the journal, to the same rules.
func TestTasks(t *testing.T) {
	l := newLaptop(t, nil, "agents", "journal")
	l.call(session, `{"seconds": 3600}`)
	l.call(session, `{"seconds": 0.01, "forget": true}`)
	for _, as := range []look{light, dark, phone} {
		t.Run(as.name, func(t *testing.T) {
			b := open(t, l.page, as)
			b.click(".body .row")
			b.click("#tab-Tasks")
			b.sees(`document.querySelectorAll("#panel .entries li").length === 2 && document.querySelector("#tab-Tasks .badge").innerText === "2"`)
			b.sees(`document.querySelectorAll("#panel .entries li.warning").length === 1 && document.querySelector("#panel .warning").innerText.includes("chore")`)
			b.accessible(as, "tasks")
		})
	}
}

// TestReadOnly has a page without --write offer nothing that it would refuse.
func TestReadOnly(t *testing.T) {
	c := newCluster(t)
	b := open(t, c.dashboard("-A"), light)
	c.scene(b)
	b.sees(`document.querySelector(".bar").innerText.includes("Read-only")`)
	b.click(`.row[data-key$="research-late"]`)
	b.sees(`document.querySelectorAll(".opened .action[aria-disabled=true]").length === 2`)
	b.sees(`document.querySelector(".opened .said").innerText.includes("--write")`)
	var refused string
	b.is(`fetch("./api/sessions/default/research-late/stop", {method: "POST", headers: {"X-AgentSession": "1", Authorization: "Bearer " + localStorage.getItem("agentsession-token")}}).then((r) => r.text())`, &refused)
	b.Expect(refused).To(ContainSubstring("this page is read-only: start the dashboard with --write"))
	b.accessible(light, "read-only")
}
