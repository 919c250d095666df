package monitoring_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gstruct"
	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// machine are the alerts that a slow machine may have.
var machine = []string{"AgentSessionStopsLate", "AgentSessionPingsMissed", "AgentSessionAPIServerSlow", "AgentSessionAPIServerErrors"}

// TestAlertsFire: with the job of docs/operating.md Prometheus finds operator and gateway,
// no alert fires while all is well, and each fires for what it is about.
func TestAlertsFire(t *testing.T) {
	p := newPlatform(t)
	operator := p.run("operator", "--leader-elect", "--leader-election-namespace="+system, "--time-scale=20")
	door := loopback(p.unused())
	p.run("gateway", "--authentication=none", "--bind-address="+door)
	seen := p.startPrometheus()
	eventually := func(check func(g Gomega)) { t.Helper(); p.g.Eventually(check).WithTimeout(patience).Should(Succeed()) }

	p.reaches(p.newSession("well"), 1, v1alpha1.StateIdle)
	eventually(func(g Gomega) {
		g.Expect(seen.up(g)).To(ConsistOf("operator "+system+"/operator", "gateway "+system+"/gateway"))
		g.Expect(seen.query(g, `agentsession_sessions{state="Idle"} == 1`)).To(Equal(1))
		firing := seen.firing(g)
		for _, name := range machine {
			delete(firing, name)
		}
		g.Expect(firing).To(BeEmpty())
	})

	answers, fails, guarded := p.newRuntime("default", "answers"), p.newRuntime("default", "fails"), p.newRuntime(p.guard(), "guarded")
	eventually(func(g Gomega) { g.Expect(call(g, door, answers)).To(Equal(http.StatusOK)) })
	for i := range 2 { // the first of its kind is no increase: before it there was no series
		p.g.Expect(call(p.g, door, fails)).To(Equal(http.StatusFailedDependency))
		p.g.Expect(call(p.g, door, guarded)).To(Equal(http.StatusServiceUnavailable))
		eventually(func(g Gomega) {
			g.Expect(seen.query(g, fmt.Sprintf(`agentsession_gateway_requests_total{code=~"424|503"} >= %d`, i+1))).To(Equal(2))
		})
	}
	eventually(func(g Gomega) {
		g.Expect(seen.firing(g)).To(gstruct.MatchKeys(gstruct.IgnoreExtras, gstruct.Keys{
			"AgentSessionGatewayErrors": HaveField("Annotations", HaveKeyWithValue("description", ContainSubstring("kubectl logs -n "+system+" "))),
			"AgentSessionAgentErrors":   HaveField("Labels", HaveKeyWithValue("namespace", system)),
		}))
	})

	p.newSession("stuck", func(s *v1alpha1.AgentSession) {
		s.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 60, Action: v1alpha1.StuckReport}
	})
	p.newSession("breaking")
	p.newSession("refused", func(s *v1alpha1.AgentSession) {
		s.Spec.Template, s.Spec.Ping, s.Spec.RuntimeRef = corev1.PodTemplateSpec{}, v1alpha1.PingSpec{}, &v1alpha1.RuntimeRef{Name: "nobody"}
	})
	p.crash(p.newSession("crashing"), 3)
	eventually(func(g Gomega) {
		firing := seen.firing(g)
		g.Expect(firing).To(gstruct.MatchKeys(gstruct.IgnoreExtras, gstruct.Keys{
			"AgentSessionStuck":              HaveField("Annotations", HaveKeyWithValue("description", HavePrefix("1 sessions are HealthyBusy"))),
			"AgentSessionPingContractBroken": HaveField("Labels", HaveKeyWithValue("namespace", system)),
			"AgentSessionStartsRefused":      HaveField("Labels", HaveKeyWithValue("reason", "RuntimeNotFound")),
			"AgentSessionCrashLoop":          HaveField("Labels", HaveKeyWithValue("severity", "warning")),
		}))
		g.Expect(firing).NotTo(Or(HaveKey("AgentSessionOperatorWithoutLeader"), HaveKey("AgentSessionNotScraped")))
	})
	eventually(func(g Gomega) { panelsShow(g, seen) })

	operator.Kill()
	eventually(func(g Gomega) {
		firing := seen.firing(g)
		g.Expect(firing).To(HaveKey("AgentSessionOperatorWithoutLeader"))
		g.Expect(firing).To(HaveKeyWithValue("AgentSessionNotScraped", HaveField("Labels", HaveKeyWithValue("component", "operator"))))
		g.Expect(firing).NotTo(HaveKey("AgentSessionStuck"), "nobody knows")
	})
}

// panelsShow: each panel's expression is one, and those of what happened here have lines.
func panelsShow(g Gomega, seen *prometheus) {
	text, err := os.ReadFile(filepath.Join(top, "config/monitoring/dashboard.json"))
	g.Expect(err).NotTo(HaveOccurred())
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	g.Expect(json.Unmarshal(text, &board)).To(Succeed())
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			lines := seen.query(g, strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
			rare := strings.HasSuffix(target.Expr, "> 0") || strings.Contains(target.Expr, "reconcile_errors")
			if !rare {
				g.Expect(lines).To(BeNumerically(">", 0), target.Expr)
			}
		}
	}
}
