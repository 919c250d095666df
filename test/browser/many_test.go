package browser

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const many = 10_000

// maxRows is how many rows may be in the document: those that are seen, and a few.
const maxRows = 50

// TestTenThousand scrolls through 10,000 sessions, of which only those that are seen are in
// the document.
func TestTenThousand(t *testing.T) {
	c, now := newCluster(t), time.Now()
	c.runtime("research")
	states := []v1alpha1.SessionState{v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle, v1alpha1.StateStopped}
	c.each(many, func(ctx context.Context, i int) error {
		s, err := c.session(ctx, fmt.Sprintf("session-%05d", i), "research")
		if err != nil {
			return err
		}
		if i%4 != 0 { // the others wait for an operator: it is rows that are tested, and each write takes its time
			return nil
		}
		s.Status.Pod = &v1alpha1.PodStatus{Name: s.Name + "-1", UID: "p", CreatedAt: s.CreationTimestamp}
		return c.become(ctx, s, states[i/4%len(states)], now)
	})
	b := open(t, c.dashboard("-A"), light)
	b.sees(fmt.Sprintf(`document.querySelector(".grid")?.getAttribute("aria-rowcount") === "%d"`, many+1))
	const rows = `document.querySelectorAll(".body .row").length`
	var most int
	// Through all of it in 100 steps: there are rows wherever one looks, and never many.
	b.is(`(async () => {
		let most = 0;
		const frame = () => new Promise(requestAnimationFrame);
		const end = document.documentElement.scrollHeight - innerHeight;
		for (let step = 0; step <= 100; step++) {
			scrollTo(0, end * step / 100);
			await frame(); await frame(); await frame();
			most = Math.max(most, `+rows+`);
			if (!document.elementFromPoint(300, innerHeight - 80)?.closest(".row, footer")) throw new Error("nothing is shown at " + scrollY);
		}
		return most;
	})()`, &most)
	b.Expect(most).To(And(BeNumerically(">", 10), BeNumerically("<=", maxRows)))

	b.press("/", kb.ArrowDown, kb.Home)
	b.sees(`scrollY < 400 && document.querySelector(".row.active")?.dataset.key.endsWith("session-00000")`)
	b.press(kb.End)
	const last = `document.querySelector(".row.active")`
	b.sees(last + `?.dataset.key.endsWith("session-09999") && ` + last + `.getBoundingClientRect().bottom <= innerHeight`)
	var shown int
	b.is(rows, &shown)
	b.Expect(shown).To(And(BeNumerically(">", 10), BeNumerically("<=", maxRows)))
	b.picture(light, "bottom")

	// The one stream brings what becomes of the last of them.
	s, key := &v1alpha1.AgentSession{}, c.key("session-09999")
	b.Expect(c.api.Get(t.Context(), key, s)).To(Succeed())
	b.Expect(c.become(t.Context(), s, v1alpha1.StateStarting, time.Now())).To(Succeed())
	b.sees(last + `.dataset.state === "Starting"`)

	b.press("/")
	b.press("0", "7", "7", "7", "7")
	b.sees(`document.querySelector(".grid").getAttribute("aria-rowcount") === "2" && ` + one + `.dataset.key.endsWith("session-07777")`)
}
