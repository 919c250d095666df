package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	. "github.com/onsi/gomega"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 5 * time.Minute

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
	scale         float64
	dark, phone   bool
}

var (
	light = look{name: "light", width: 1440, height: 900, scale: 1}
	dark  = look{name: "dark", width: 1440, height: 900, scale: 1, dark: true}
	phone = look{name: "phone", width: 390, height: 844, scale: 2, phone: true}
)

// tab is a page in a browser of its own.
type tab struct {
	*WithT
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	asked  []string // URLs of all requests
	faults []string // exceptions, and what the page's policy refused
}

// newBrowser starts a browser without a page.
func newBrowser(t *testing.T, as look) *tab {
	t.Helper()
	program := os.Getenv("CHROMIUM")
	if program == "" {
		program = "chromium"
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(patience), chromedp.WindowSize(int(as.width), int(as.height)), chromedp.Flag("hide-scrollbars", true))
	if os.Getuid() == 0 { // its sandbox refuses root
		options = append(options, chromedp.NoSandbox)
	}
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...) // the browser outlives the test's context, which ends before cleanups
	ctx, cancel := chromedp.NewContext(allocated)
	b := &tab{WithT: NewWithT(t), t: t, ctx: ctx}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // it is thrown away
		cancel()
		stop()
	})
	b.Expect(chromedp.Listen(ctx, b.hear)).To(Succeed())
	viewport := []chromedp.EmulateViewportOption{chromedp.EmulateScale(as.scale)}
	if as.phone {
		viewport = append(viewport, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.do(chromedp.EmulateViewport(as.width, as.height, viewport...))
	b.colours(as.dark)
	return b
}

// open opens a page, and holds it to its promises at the end of the test: no error in its
// scripts, nothing that its policy had to refuse, no request to another host.
func open(t *testing.T, page string, as look) *tab {
	t.Helper()
	at, err := url.Parse(page)
	b := newBrowser(t, as)
	b.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		b.picture(as, "end")
		b.mu.Lock()
		defer b.mu.Unlock()
		b.Expect(b.faults).To(BeEmpty())
		b.Expect(b.asked).NotTo(BeEmpty())
		for _, asked := range b.asked {
			u, err := url.Parse(asked)
			b.Expect(err).NotTo(HaveOccurred())
			b.Expect(u.Scheme == "data" || u.Host == at.Host).To(BeTrue(), "the page asked for %s", asked)
		}
	})
	b.do(chromedp.Navigate(page))
	b.sees(`document.querySelector(".link.up")`)
	return b
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, fmt.Sprintf("%s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *cdplog.EventEntryAdded:
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			b.faults = append(b.faults, e.Entry.Text)
		}
	}
}

func (b *tab) colours(dark bool) {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.Expect(chromedp.Do(b.ctx, steps...)).To(Succeed())
}

// eval is what an expression of JavaScript is, in JSON.
func (b *tab) eval(expression string) (string, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[json.RawMessage]("(async () => JSON.stringify((await ("+expression+")) ?? null))()", chromedp.EvalAwaitPromise))
	if err != nil {
		return "", fmt.Errorf("%s: %w", expression, err)
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", fmt.Errorf("%s: %w", expression, err)
	}
	return text, nil
}

// is decodes what an expression is.
func (b *tab) is(expression string, into any) {
	b.t.Helper()
	text, err := b.eval(expression)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(json.Unmarshal([]byte(text), into)).To(Succeed(), "%s is %s", expression, text)
}

// sees waits until an expression is true.
func (b *tab) sees(expression string) {
	b.t.Helper()
	b.Eventually(func() (string, error) { return b.eval("!!(" + expression + ")") }).
		WithTimeout(patience).WithPolling(50*time.Millisecond).Should(Equal("true"), func() string {
		b.picture(look{name: "failure"}, "missing")
		text, _ := b.eval("document.body.innerText + '\\nThe search is for ' + document.querySelector('#search')?.value")
		return "not seen: " + expression + "\nthe page says: " + text
	})
}

// press presses keys, one after another.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		if len(key) == 1 && key[0] > ' ' && key[0] <= '~' {
			b.do(character(key))
		} else {
			b.do(chromedp.KeyEvent(key))
		}
	}
}

// character presses a key of one in one event, as a keyboard does: chromedp.KeyEvent makes two,
// of which the page cannot prevent the second.
func character(key string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: key})
		return err
	})
}

// click clicks where an element is.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.sees(fmt.Sprintf("document.querySelector(%q)", selector))
	var at struct{ X, Y float64 }
	b.is(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.scrollIntoView({block: "nearest"}); const r = e.getBoundingClientRect(); return {X: r.x + r.width / 2, Y: r.y + r.height / 2} })()`, selector), &at)
	b.do(chromedp.MouseClickXY(at.X, at.Y))
}

// picture keeps what the page looks like, where that is wanted.
func (b *tab) picture(as look, name string) {
	dir := os.Getenv("AGENTSESSION_SCREENSHOTS")
	if dir == "" {
		return
	}
	b.write(filepath.Join(dir, strings.ReplaceAll(b.t.Name(), "/", "-")+"-"+as.name+"-"+name+".png"))
}

func (b *tab) write(path string) []byte {
	b.t.Helper()
	image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(os.MkdirAll(filepath.Dir(path), 0o750)).To(Succeed())
	b.Expect(os.WriteFile(path, image, 0o600)).To(Succeed())
	return image
}
