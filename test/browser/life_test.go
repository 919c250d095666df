package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/gomega"
)

// A session's id has 33 characters at least.
const session = "browser-0000000000000000000000000000"

// one is the only row of a page.
const one = `document.querySelector(".body .row[data-key]")`

// TestLife sees a session become busy, idle and stopped, without a reload.
func TestLife(t *testing.T) {
	l := newLaptop(t, []string{"--time-scale", "6", "--lifecycle", "idle=60"}, "agents", "dependency")
	b := open(t, l.page, light)
	b.sees(`document.querySelector(".nothing")?.innerText.includes("No sessions yet")`)
	b.is(`window.born = 1`, new(int)) // which a reload would forget

	l.call(session, `{"depth": 2000}`) // it is busy until it is told otherwise
	b.sees(one + `.dataset.state === "Active" && ` + one + `.innerText.includes("HealthyBusy")`)
	b.sees(one + `.innerText.includes("MaxLifetime")`)
	b.sees(one + `.querySelector("canvas").ariaLabel.includes("Active ")`) // it takes a second to be told of
	b.picture(light, "busy")

	l.call(session, `{"depth": 0}`)
	b.sees(one + `.dataset.state === "Idle" && ` + one + `.innerText.includes("IdleTimeout")`)
	b.picture(light, "idle")

	b.sees(one + `.dataset.state === "Stopped"`)
	var said string
	b.is(one+`.querySelector("canvas").ariaLabel`, &said)
	b.Expect(said).To(And(ContainSubstring("Active "), ContainSubstring("Idle "), ContainSubstring("In the last ")))
	b.is(`window.born`, new(int))
}

// TestKeyboard stops and wakes a session by the keyboard alone.
func TestKeyboard(t *testing.T) {
	l := newLaptop(t, nil, "agents", "echo")
	l.call(session, `{}`)
	b := open(t, l.page, light)
	b.sees(one + `.dataset.state === "Idle"`)

	b.press("/")
	b.sees(`document.activeElement.id === "search"`)
	b.press("x", "y", "z")
	b.sees(`document.querySelector("#search").value === "xyz" && document.querySelector(".nothing")?.innerText.includes("No session matches")`)
	b.press(kb.Escape)
	b.sees(one)
	b.press(kb.ArrowDown)
	b.sees(`document.activeElement.getAttribute("aria-activedescendant") === ` + one + `.id`)
	b.press(kb.Enter)
	b.sees(`document.activeElement === document.querySelector(".opened h2")`)

	b.tabTo("Stop")
	b.press(kb.Enter)
	b.sees(`document.activeElement.innerText === "Keep it" && document.querySelector("[role=alertdialog]").innerText.includes("memory is lost")`)
	b.accessible(light, "confirm")
	b.press(kb.Enter) // a second press, or one that lasts
	b.sees(`document.activeElement.id === "stop" && !document.querySelector("[role=alertdialog]")`)
	b.press(kb.Enter)
	b.sees(`document.activeElement.innerText === "Keep it"`)
	b.press(kb.Escape)
	b.sees(`document.activeElement.id === "stop" && document.querySelector(".opened")`)
	b.sees(one + `.dataset.state === "Idle" && !document.querySelector(".opened .said").innerText`)
	b.press(kb.Enter)
	b.sees(`document.activeElement.innerText === "Keep it"`)
	b.tabTo("Stop it")
	b.press(kb.Enter)
	b.sees(one + `.dataset.state === "Stopped"`)
	b.sees(`document.querySelector(".opened [aria-live]").innerText.includes("is Stopped")`)
	b.sees(`document.querySelector(".opened .said").innerText`)
	b.tabTo("Wake")
	b.press(kb.Enter)
	b.sees(one + `.dataset.state === "Idle" && document.querySelector(".opened .facts").innerText.includes("Activation\n2")`)

	b.press(kb.Escape)
	b.sees(`!document.querySelector(".opened") && document.activeElement.matches(".grid")`)
}

// tabTo presses Tab until a button has the focus.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	for range 20 {
		b.press(kb.Tab)
		var here string
		if b.is(`document.activeElement.innerText ?? ""`, &here); here == name {
			return
		}
	}
	b.t.Fatalf("Tab does not come to %s", name)
}

// TestInvoke calls an agent from the page. Its answer is seen while it still comes.
func TestInvoke(t *testing.T) {
	l := newLaptop(t, nil, "echo-agent")
	l.call(session, `{}`)
	b := open(t, l.page, light)
	b.click(".body .row")
	b.click("#tab-Invoke")
	const answer = `document.querySelector(".answer")`

	b.payload(`{"chunks": 2, "sleep": "1h"}`)
	b.press(kb.Tab, kb.Enter)
	b.sees(answer + `.getAttribute("aria-busy") === "true" && ` + answer + `.querySelector("pre").innerText === "data: 0\n\n"`)
	b.sees(one + `.dataset.state === "Active"`) // a call is in flight
	b.picture(light, "streaming")
	b.click(".invoke .actions button:nth-child(2)")
	b.sees(answer + `.innerText.includes("cancelled")`)
	b.sees(one + `.dataset.state === "Idle"`)

	b.payload(`{"chunks": 3}`)
	b.press(kb.Tab, kb.Enter)
	b.sees(answer + `.innerText.includes("Done")`)
	var text, facts string
	b.is(answer+`.querySelector("pre").textContent`, &text)
	b.is(answer+`.querySelector("p").innerText`, &facts)
	b.Expect(text).To(Equal("data: 0\n\ndata: 1\n\ndata: 2\n\n"))
	b.Expect(facts).To(And(ContainSubstring("200"), ContainSubstring("text/event-stream"), ContainSubstring("27 bytes")))

	b.payload(`{"code": 418}`)
	b.press(kb.Tab, kb.Enter)
	b.sees(answer + `.innerText.includes("418")`)
}

// payload types one over what is there.
func (b *tab) payload(text string) {
	b.t.Helper()
	b.click("#payload")
	b.is(`document.querySelector("#payload").select() ?? 1`, new(int))
	for _, key := range text {
		b.press(string(key))
	}
}
