package docs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	_ "github.com/agentsession/agentsession/internal/gateway" // registers its metrics
	"github.com/agentsession/agentsession/internal/prober"
)

// alert is a rule of config/monitoring/rules.yaml.
type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func read(g Gomega, file string, into any) {
	text, err := os.ReadFile(filepath.Join(top, file))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(yaml.Unmarshal(text, into)).To(Succeed())
}

func alerts(g Gomega) (all []alert) {
	var file struct{ Groups []struct{ Rules []alert } }
	read(g, "config/monitoring/rules.yaml", &file)
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	g.Expect(len(all)).To(BeNumerically(">=", 10))
	return all
}

// panels are the dashboard's expressions.
func panels(g Gomega) (exprs []string) {
	text, err := os.ReadFile(filepath.Join(top, "config/monitoring/dashboard.json"))
	g.Expect(err).NotTo(HaveOccurred())
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	g.Expect(json.Unmarshal(text, &board)).To(Succeed())
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			exprs = append(exprs, target.Expr)
			for _, m := range shown.FindAllStringSubmatch(target.LegendFormat, -1) {
				g.Expect(grouped(target.Expr)).To(ContainElement(m[1]), "the legend of %q shows a label that its series do not have", panel.Title)
			}
		}
	}
	g.Expect(len(exprs)).To(BeNumerically(">", 20))
	return exprs
}

var (
	shown       = regexp.MustCompile(`\{\{(\w+)\}\}`)
	described   = regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([\w,]*)\}`)
	labelValue  = regexp.MustCompile(`"[^"]*"`)
	lookback    = regexp.MustCompile(`\[[^]]*\]`)
	grouping    = regexp.MustCompile(`\b(by|without|on) \(([^)]*)\)`)
	matchers    = regexp.MustCompile(`\{([^}]*)\}`)
	label       = regexp.MustCompile(`\w+`)
	name        = regexp.MustCompile(`[a-zA-Z_:][\w:]*(\s*\()?`)
	ofHistogram = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// registered are the metrics of operator and gateway, and those of more collectors, with their labels.
func registered(g Gomega, series ...prometheus.Collector) map[string][]string {
	series = append(series, controllers.SessionCollector{}, controllers.NewOutageGauge(prober.New(prober.Options{})))
	series = append(series, apiserver.NewClock(clock.RealClock{}, logr.Discard()).Series()...)
	registry, ok := metrics.Registry.(prometheus.Collector)
	g.Expect(ok).To(BeTrue())
	all := map[string][]string{}
	for _, collector := range append(series, registry) {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			collector.Describe(descs)
		}()
		for desc := range descs {
			m := described.FindStringSubmatch(desc.String())
			g.Expect(m).NotTo(BeNil(), desc.String())
			all[m[1]] = strings.Split(m[2], ",")
		}
	}
	all["up"] = []string{""} // Prometheus' own
	return all
}

// used are the metrics and the labels that an expression names.
func used(expr string) (names, labels []string) {
	expr = lookback.ReplaceAllString(labelValue.ReplaceAllString(expr, ""), "")
	labels = grouped(expr)
	for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, label.FindAllString(m[1], -1)...)
	}
	expr = matchers.ReplaceAllString(grouping.ReplaceAllString(expr, ""), "")
	for _, n := range name.FindAllString(expr, -1) {
		if !strings.HasSuffix(n, "(") && !slices.Contains([]string{"and", "or", "unless", "sum", "max"}, n) {
			names = append(names, n)
		}
	}
	return names, labels
}

func grouped(expr string) (labels []string) {
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, label.FindAllString(m[2], -1)...)
	}
	return labels
}

// ofTargets are the labels that Prometheus adds, by the job in docs/operating.md.
var ofTargets = []string{"job", "instance", "component", "namespace", "pod", "le"}

// TestMonitoringNamesMetricsThatExist: alerts and panels name metrics that the programs
// have, with labels that these have; and each metric of ours has a panel.
func TestMonitoringNamesMetricsThatExist(t *testing.T) {
	g := NewWithT(t)
	known, drawn := registered(g), map[string]bool{}
	exprs := panels(g)
	count := len(exprs)
	for _, a := range alerts(g) {
		exprs = append(exprs, a.Expr)
	}
	for i, expr := range exprs {
		names, labels := used(expr)
		g.Expect(names).NotTo(BeEmpty(), expr)
		may := slices.Clone(ofTargets)
		for _, n := range names {
			if _, known := known[n]; !known {
				n = ofHistogram.ReplaceAllString(n, "")
			}
			g.Expect(known).To(HaveKey(n), expr)
			may = append(may, known[n]...)
			drawn[n] = drawn[n] || i < count
		}
		for _, l := range labels {
			g.Expect(may).To(ContainElement(l), expr)
		}
	}
	for n := range known {
		if strings.HasPrefix(n, "agentsession_") {
			g.Expect(drawn[n]).To(BeTrue(), "no panel shows %s", n)
		}
	}
}

// TestAlerts: each has what somebody needs who is woken by it, and a test.
func TestAlerts(t *testing.T) {
	page := pages(t)["docs/operating.md"]
	g := NewWithT(t)
	tests, err := os.ReadFile(filepath.Join(top, "config/monitoring/rules_test.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, a := range alerts(g) {
		t.Run(a.Alert, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(a.Labels["severity"]).To(BeElementOf("critical", "warning"))
			g.Expect(a.Annotations).To(And(HaveKey("summary"), HaveKeyWithValue("description", Or(ContainSubstring("`kubectl agentsession"), ContainSubstring("`kubectl top")))))
			anchor, ours := strings.CutPrefix(a.Annotations["runbook_url"], "https://github.com/agentsession/agentsession/blob/main/docs/operating.md#")
			g.Expect(ours).To(BeTrue())
			g.Expect(anchor).To(Equal(strings.ToLower(a.Alert)))
			g.Expect(anchors(page)).To(ContainElement(anchor))
			g.Expect(string(tests)).To(MatchRegexp(`(?s)ALERTS\{alertname="` + a.Alert + `", alertstate="firing"\}\n +eval_time: \w+\n +exp_samples: \[\{`))
		})
	}
}

// TestThePodMonitorFindsThePods: of all installs, at the port that they have.
func TestThePodMonitorFindsThePods(t *testing.T) {
	g, seen := NewWithT(t), 0
	var monitor struct {
		Spec struct {
			Selector            metav1.LabelSelector
			PodMetricsEndpoints []struct{ Port string }
		}
	}
	read(g, "config/monitoring/podmonitor.yaml", &monitor)
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(monitor.Spec.PodMetricsEndpoints).To(HaveLen(1))
	for _, file := range []string{"dist/install.yaml", "dist/install-node.yaml", "dist/install-gateway.yaml"} {
		text, err := os.ReadFile(filepath.Join(top, file))
		g.Expect(err).NotTo(HaveOccurred())
		for object := range strings.SplitSeq(string(text), "\n---\n") {
			var workload appsv1.Deployment // a DaemonSet has its template there, too
			g.Expect(yaml.Unmarshal([]byte(object), &workload)).To(Succeed())
			if workload.Kind != "Deployment" && workload.Kind != "DaemonSet" {
				continue
			}
			seen++
			template := workload.Spec.Template
			g.Expect(selector.Matches(labels.Set(template.Labels))).To(BeTrue(), workload.Name)
			g.Expect(template.Labels).To(HaveKey("app.kubernetes.io/component"))
			g.Expect(template.Spec.Containers).To(ContainElement(HaveField("Ports", ContainElement(
				HaveField("Name", monitor.Spec.PodMetricsEndpoints[0].Port)))), workload.Name)
		}
	}
	g.Expect(seen).To(Equal(4), "two operators, a prober and a gateway")
}
