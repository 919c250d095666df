package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// lists waits until the list is of these sessions, in this order.
func (b *tab) lists(names ...string) {
	b.t.Helper()
	b.sees(fmt.Sprintf(`[...document.querySelectorAll(".body .row[data-key]")].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((row) => row.dataset.key.split("/")[1]).join(" ") === %q`, strings.Join(names, " ")))
}

// choose takes an option of a list of choices.
func (b *tab) choose(selector, value string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => { const s = document.querySelector(%q); s.value = %q; s.dispatchEvent(new Event("change", {bubbles: true})) })()`, selector, value)))
}

// TestFilters shows the sessions of one state, and those that need a look, and keeps the filter in the address.
func TestFilters(t *testing.T) {
	c := newCluster(t)
	page := c.dashboard("-A")
	b := open(t, page, light)
	c.scene(b)
	counts := func(words ...string) {
		t.Helper()
		for _, of := range words {
			b.sees(fmt.Sprintf(`[...document.querySelectorAll(".states label")].some((label) => label.innerText.replace(/\s+/g, " ").trim() === %q)`, of))
		}
	}
	counts("All 13", "Starting 2", "Active 3", "Idle 4", "Stopping 1", "Stopped 3", "Needs a look 3")
	b.click(".states label:nth-of-type(4)")
	b.lists("research-early", "support-1043", "support-1044", "support-1045")
	b.sees(`location.hash === "#state=Idle" && document.querySelector(".states .on").innerText.startsWith("Idle")`)

	// One that leaves the state leaves the list.
	s := &v1alpha1.AgentSession{}
	c.Expect(c.api.Get(t.Context(), c.key("support-1044"), s)).To(Succeed())
	c.Expect(c.become(t.Context(), s, active, time.Now())).To(Succeed())
	b.lists("research-early", "support-1043", "support-1045")
	counts("Active 4", "Idle 3")

	b.do(chromedp.Reload())
	b.lists("research-early", "support-1043", "support-1045")

	b.click(".states label:last-of-type")
	b.lists("planner-eu", "planner-us", "research-stuck")
	b.sees(`location.hash === "#state=needs"`)
	b.click("#search")
	b.press("p", "l", "a", "n")
	b.lists("planner-eu", "planner-us")
	counts("All 3", "Needs a look 2")
}

// TestSorts has the list in each of its orders.
func TestSorts(t *testing.T) {
	c := newCluster(t)
	b := open(t, c.dashboard("-A"), light)
	c.scene(b)
	const order = ".sort select"
	b.choose(order, "changed")
	b.lists("planner-us", "support-1047", "support-1046", "support-1045", "research-early", "research-wide", "support-1043", "planner-eu", "support-1044", "research-late", "support-1042", "planner-sa", "research-stuck")
	b.sees(`location.hash === "#sort=changed"`)
	b.choose(order, "state")
	b.lists("planner-us", "support-1046", "research-late", "research-stuck", "research-wide", "research-early", "support-1043", "support-1044", "support-1045", "support-1047", "planner-eu", "planner-sa", "support-1042")
	b.choose(order, "next")
	b.lists("support-1044", "support-1043", "support-1046", "research-early", "support-1045", "research-stuck", "research-wide", "research-late", "planner-eu", "planner-sa", "planner-us", "support-1042", "support-1047")
	b.choose(order, "name")
	b.sees(`location.hash === ""`)
	b.lists("planner-eu", "planner-sa", "planner-us", "research-early", "research-late", "research-stuck", "research-wide", "support-1042", "support-1043", "support-1044", "support-1045", "support-1046", "support-1047")
}

// TestCountdown has the time until a stop become less, without anything that changes.
func TestCountdown(t *testing.T) {
	c := newCluster(t)
	b := open(t, c.dashboard("-A"), light)
	s, err := c.session(t.Context(), "counted", "research")
	c.Expect(err).NotTo(HaveOccurred())
	for _, state := range []v1alpha1.SessionState{starting, active, idle} {
		c.Expect(c.become(t.Context(), s, state, time.Now())).To(Succeed())
	}
	b.sees(one + `?.querySelector(".c-next").innerText.replace(/\s+/g, " ").match(/^in 14m \d+s IdleTimeout$/)`)
	left := func() (d time.Duration) {
		var text string
		b.is(one+`.querySelector(".c-next b").innerText`, &text)
		d, err := time.ParseDuration(strings.ReplaceAll(strings.TrimPrefix(text, "in "), " ", ""))
		c.Expect(err).NotTo(HaveOccurred())
		return d
	}
	first := left()
	b.Eventually(left).WithTimeout(patience).WithPolling(100 * time.Millisecond).Should(BeNumerically("<=", first-2*time.Second))
	b.sees(one + `.querySelector(".c-next b:not(.soon)")`)

	s.Status.NextStop.At = metav1.NewTime(time.Now().Add(3 * time.Second))
	c.Expect(c.api.Status().Update(t.Context(), s)).To(Succeed())
	b.sees(one + `.querySelector(".c-next b.soon")?.innerText === "due"`)
}

// TestRuntime opens a runtime: what its versions are, who uses them, and what ended its sessions.
func TestRuntime(t *testing.T) {
	c := newCluster(t)
	b := open(t, c.dashboard("-A"), light)
	c.scene(b)
	b.click(".check input")
	says := func(heading string, lines ...string) {
		t.Helper()
		b.sees(fmt.Sprintf(`[...document.querySelectorAll(".opened .chapter")].some((one) => one.querySelector("h3").innerText === %q &&
			[...one.querySelectorAll("li")].map((line) => line.innerText.replace(/\s+/g, " ").trim()).join("\n") === %q)`, heading, strings.Join(lines, "\n")))
	}
	b.click(`.row.group[data-key$="/planner"]`)
	says("What ended its sessions", "AgentExited 3", "IdleTimeout 1")
	says("Versions", "Version 3 3 sessions · DEFAULT", "Version 2 0 sessions · prod")
	b.click(".opened .close")
	b.sees(`!document.querySelector(".opened")`)
	b.click(`.row.group[data-key$="/support"]`)
	says("What ended its sessions", "IdleTimeout 1")
	says("Versions", "Version 3 5 sessions · DEFAULT", "Version 2 1 session · prod")
	b.click(".opened .action") // which shows its sessions
	b.sees(`location.hash.includes("q=support&group=runtime")`)
	b.sees(`[...document.querySelectorAll(".body .row:not(.group)")].length === 6`)
}
