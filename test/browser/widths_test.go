package browser

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// TestWidths has each row tell the same at each width: also what its ping is, why it is so, and which of two
// sessions of one name it is. Nothing stands outside of its row.
func TestWidths(t *testing.T) {
	c := newCluster(t)
	page := c.dashboard("-A")
	c.Expect(c.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}})).To(Succeed())
	for _, of := range []struct{ namespace, runtime string }{{kubeapi.Namespace, "research"}, {"other", "support"}} {
		s := &v1alpha1.AgentSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: of.namespace, Name: "same"},
			Spec:       v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: of.runtime}, RuntimeSessionID: "same" + strings.Repeat("0", 33), DesiredState: v1alpha1.DesiredRunning},
		}
		c.Expect(c.api.Create(t.Context(), s)).To(Succeed())
		for _, state := range []v1alpha1.SessionState{starting, active} {
			c.Expect(c.become(t.Context(), s, state, time.Now())).To(Succeed())
		}
	}
	for _, as := range []look{phone, {name: "small", width: 320, height: 700, scale: 1}, {name: "tablet", width: 760, height: 900, scale: 1}, light} {
		t.Run(as.name, func(t *testing.T) {
			b := open(t, page, as)
			told := func(layout string) {
				t.Helper()
				b.sees(`document.querySelector(".list.` + layout + `") && document.querySelectorAll('.body .row[data-state="Active"]').length === 2`)
				var rows []string
				b.is(`[...document.querySelectorAll(".body .row")].map((row) => row.innerText.replace(/\s+/g, " "))`, &rows)
				b.Expect(rows).To(HaveExactElements(
					And(ContainSubstring("same"), ContainSubstring("default · research v3"), MatchRegexp("HealthyBusy .*MaxLifetime Active: its agent says HealthyBusy")),
					And(ContainSubstring("same"), ContainSubstring("other · support v3"), MatchRegexp("HealthyBusy .*MaxLifetime Active: its agent says HealthyBusy")),
				))
				var outside []string
				b.is(`[...document.querySelectorAll(".body .row")].flatMap((row) => {
					const outer = row.getBoundingClientRect();
					const cells = [...row.querySelectorAll("[role=gridcell]")].map((cell) => [cell.className, cell.getBoundingClientRect()]);
					const apart = (a, b) => a.right <= b.left + .5 || b.right <= a.left + .5 || a.bottom <= b.top + .5 || b.bottom <= a.top + .5;
					return cells.flatMap(([name, at], i) => [
						...(at.width < 20 || at.left < outer.left || at.right > outer.right || at.top < outer.top || at.bottom > outer.bottom ? [name + " is outside"] : []),
						...cells.slice(i + 1).filter(([, other]) => !apart(at, other)).map(([other]) => name + " overlaps " + other)]);
				})`, &outside)
				b.Expect(outside).To(BeEmpty())
				b.accessible(as, layout)
			}
			told(map[int64]string{320: "card", 390: "card", 760: "middle", 1440: "wide"}[as.width])
			if as == light {
				b.click(".body .row")
				told("middle") // beside what is opened
			}
		})
	}
}
