package browser

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var docs = flag.Bool("docs", false, "make the pictures of docs/images anew")

// maxPicture is how many bytes a picture of the documentation may have.
const maxPicture = 224 << 10

type change = func(*v1alpha1.AgentSessionStatus)

// turn is what a session becomes, so many seconds ago.
type turn struct {
	ago    int
	state  v1alpha1.SessionState
	change change
}

const (
	starting = v1alpha1.StateStarting
	active   = v1alpha1.StateActive
	idle     = v1alpha1.StateIdle
	stopping = v1alpha1.StateStopping
	stopped  = v1alpha1.StateStopped
)

// lives are the sessions of a scene, by runtime. Each ends in another way.
var lives = map[string]map[string][]turn{
	"research": {
		"research-early": {{3400, starting, nil}, {3392, active, nil}, {2700, idle, nil}, {2500, active, nil}, {1900, idle, nil}, {1700, active, nil}, {200, idle, nil}},
		"research-late":  {{2900, starting, nil}, {2880, active, nil}, {2100, idle, nil}, {1200, stopping, nil}, {1190, stopped, nil}, {700, starting, nil}, {694, active, nil}},
		"research-stuck": {{3550, starting, nil}, {3541, active, stuck}},
		"research-wide":  {{1500, starting, nil}, {1460, active, nil}, {1100, idle, nil}, {900, active, nil}, {300, idle, nil}, {240, active, nil}},
	},
	"support": {
		"support-1042": {{3590, starting, nil}, {3580, active, nil}, {3480, idle, nil}, {3100, active, nil}, {3000, idle, nil}, {2400, active, nil}, {2250, idle, nil}, {1350, stopping, nil}, {1345, stopped, nil}},
		"support-1043": {{2200, starting, nil}, {2195, active, nil}, {2110, idle, nil}, {1800, active, nil}, {1760, idle, nil}, {1100, active, nil}, {1000, idle, nil}, {500, active, nil}, {420, idle, older}},
		"support-1044": {{800, starting, nil}, {795, active, nil}, {600, idle, nil}},
		"support-1045": {{95, starting, nil}, {90, active, nil}, {40, idle, nil}},
		"support-1046": {{30, starting, nil}},
		"support-1047": {{900, starting, nil}, {896, active, nil}, {880, idle, nil}, {8, stopping, nil}},
	},
	"planner": {
		"planner-eu": {{2000, starting, nil}, {1990, active, nil}, {1940, stopping, nil}, {1939, stopped, crashed}, {1500, starting, nil}, {1490, active, nil}, {1450, stopping, nil}, {1449, stopped, crashed}, {600, starting, nil}, {590, active, nil}, {560, stopping, nil}, {559, stopped, crashed}},
		"planner-us": {{400, starting, refused}},
		"planner-sa": {{3500, starting, nil}, {3490, active, nil}, {2900, idle, nil}, {2000, stopping, nil}, {1995, stopped, nil}},
	},
}

func stuck(s *v1alpha1.AgentSessionStatus) {
	s.Conditions = append(s.Conditions, condition(v1alpha1.ConditionStuck, metav1.ConditionTrue, "BusyTooLong", "HealthyBusy for 59m0s, which is more than spec.stuckDetection.afterSeconds allows (30m0s)."))
}

func older(s *v1alpha1.AgentSessionStatus) { s.Runtime.AgentRuntimeVersion = 2 }

func crashed(s *v1alpha1.AgentSessionStatus) {
	const why = `The agent (container "agent") exited with code 1: Error. Its last words: KeyError: 'MODEL'`
	s.LastTermination.Reason, s.LastTermination.Message = v1alpha1.StopAgentExited, why
	s.History[0].Reason, s.History[0].Message = v1alpha1.StopAgentExited, why
}

func refused(s *v1alpha1.AgentSessionStatus) {
	s.Pod, s.NextStop = nil, nil
	s.Conditions[0] = condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodRefused, `pods "planner-us-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=10, limited: pods=10.`)
}

// scene plays an hour of sessions while a page looks at it, and waits until it shows all.
func (c *cluster) scene(b *tab) {
	c.t.Helper()
	now := time.Now()
	for runtime, sessions := range lives {
		c.runtime(runtime)
		for name, turns := range sessions {
			s, err := c.session(c.t.Context(), name, runtime)
			c.Expect(err).NotTo(HaveOccurred())
			for _, turn := range turns {
				changes := []change{}
				if turn.change != nil {
					changes = append(changes, turn.change)
				}
				c.Expect(c.become(c.t.Context(), s, turn.state, now.Add(-time.Duration(turn.ago)*time.Second), changes...)).To(Succeed())
			}
			c.event(s, turns[0].ago, corev1.EventTypeNormal, "Starting", "Activation 1 has a compute.")
			c.event(s, turns[0].ago-5, corev1.EventTypeWarning, "PodTrouble", "0/3 nodes are available: 3 Insufficient cpu.")
		}
	}
	b.showsScene()
}

// showsScene waits until a page shows all of a scene, each session and runtime as the API has it now.
func (b *tab) showsScene() {
	b.t.Helper()
	sessions := 0
	for _, of := range lives {
		sessions += len(of)
	}
	b.sees(fmt.Sprintf(`await (async () => {
		const [{ store }, { request }] = [await import("./assets/store.js"), await import("./assets/token.js")];
		const is = async (kind, shown, field) => {
			const now = (await (await request("./api/" + kind + "/" + shown.key)).json())[field];
			// A time line loses what is older than an hour only when it is sent again.
			return Object.keys(now).every((name) => JSON.stringify(now[name]) === JSON.stringify(name === "line" ? shown.line.slice(-now.line.length) : shown[name]));
		};
		if (store.runtimes.size !== %d || store.rows.size !== %d) return false;
		for (const shown of store.runtimes.values()) if (!await is("runtimes", shown, "runtime")) return false;
		for (const shown of store.rows.values()) if (!await is("sessions", shown, "row")) return false;
		for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame); // which draw it
		return true;
	})()`, len(lives), sessions))
}

// TestPictures makes what the documentation shows: the list, one session beside it, and a phone.
func TestPictures(t *testing.T) {
	c := newCluster(t)
	page := c.dashboard("-A", "--write")
	for _, as := range []look{light, dark, phone} {
		t.Run(as.name, func(t *testing.T) {
			b := open(t, page, as)
			if as == light {
				c.scene(b)
			}
			b.showsScene()
			b.keep(as, "page")
			b.click(`.row[data-key$="research-early"]`)
			b.sees(`document.querySelector(".opened .chapter")`)
			b.keep(as, "session")
		})
	}
	if *docs && !t.Failed() {
		c.Expect(os.WriteFile("../../docs/images/page.sha256", sums(c.WithT), 0o600)).To(Succeed())
	}
}

// sums are the digests of what draws the page, by which test/docs knows pictures that are old: a line each, as
// sha256sum has it.
func sums(g *WithT) []byte {
	var b bytes.Buffer
	for _, name := range []string{"app.css", "app.js", "format.js", "index.html", "line.js", "list.js", "opened.js", "store.js"} {
		path := filepath.Join("internal/dashboard/page", name)
		text, err := os.ReadFile(filepath.Join("../..", path))
		g.Expect(err).NotTo(HaveOccurred())
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), path)
	}
	return b.Bytes()
}

func (b *tab) keep(as look, name string) {
	b.t.Helper()
	b.picture(as, name)
	if *docs {
		path := filepath.Join("../../docs/images", name+"-"+as.name+".png")
		picture, err := png.Decode(bytes.NewReader(b.write(path)))
		b.Expect(err).NotTo(HaveOccurred())
		small := smaller(b.WithT, picture)
		b.Expect(len(small)).To(BeNumerically("<=", maxPicture))
		b.Expect(os.WriteFile(path, small, 0o600)).To(Succeed())
	}
}

// smaller is a picture with 6 bits of a colour, which nobody sees, and written with more care
// than the browser's.
func smaller(g *WithT, picture image.Image) []byte {
	all := image.NewNRGBA(picture.Bounds())
	draw.Draw(all, all.Bounds(), picture, image.Point{}, draw.Src)
	for i, v := range all.Pix {
		if i%4 != 3 { // alpha
			all.Pix[i] = v&^3 | v>>6
		}
	}
	var b bytes.Buffer
	g.Expect((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, all)).To(Succeed())
	return b.Bytes()
}
