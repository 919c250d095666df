package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/gomega"
)

// TestTimeLinesFit has time lines show as much as the oldest session needs, or what is chosen.
func TestTimeLinesFit(t *testing.T) {
	c := newCluster(t)
	b := open(t, c.dashboard("-A"), light)
	const last = `[...document.querySelectorAll(".sort select")].at(-1)`
	shows := func(label, chosen string) {
		b.sees(fmt.Sprintf(`%s.querySelector("canvas").ariaLabel.includes("In the last %s:") && %s.selectedOptions[0].text === %q`, one, label, last, chosen))
	}
	for _, oldest := range []struct {
		ago           time.Duration
		label, chosen string
	}{
		{time.Minute, "5m 0s", "5 min (fits)"},
		{7 * time.Minute, "15m 0s", "15 min (fits)"},
		{20 * time.Minute, "1h", "60 min (fits)"},
	} {
		s, err := c.session(t.Context(), fmt.Sprintf("since-%.0f", oldest.ago.Minutes()), "research")
		b.Expect(err).NotTo(HaveOccurred())
		b.Expect(c.become(t.Context(), s, starting, time.Now().Add(-oldest.ago))).To(Succeed())
		shows(oldest.label, oldest.chosen)
	}
	b.do(chromedp.Evaluate[chromedp.Void](last + `.value = "3", ` + last + `.dispatchEvent(new Event("change", {bubbles: true}))`))
	shows("3m 0s", "3 min")
}
