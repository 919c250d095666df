package monitoring_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// documented are the code blocks of the section Metrics of docs/operating.md: commands,
// and the job for Prometheus.
func (p *platform) documented() (commands []string, job []map[string]any) {
	p.t.Helper()
	page, err := os.ReadFile(filepath.Join(top, "docs/operating.md"))
	p.g.Expect(err).NotTo(HaveOccurred())
	_, section, found := strings.Cut(string(page), "\n## Metrics\n")
	p.g.Expect(found).To(BeTrue())
	blocks := regexp.MustCompile("(?s)\n```(yaml)?\n(.*?)\n```\n").FindAllStringSubmatch(section, 2)
	p.g.Expect(blocks).To(HaveExactElements(ContainElement(HavePrefix("kubectl ")), ContainElement("yaml")))
	p.g.Expect(yaml.UnmarshalStrict([]byte(blocks[1][2]), &job)).To(Succeed())
	p.g.Expect(job).To(HaveLen(1))
	return strings.Split(blocks[0][2], "\n"), job
}

// account makes Prometheus' ServiceAccount and its rights, by the commands of the page.
func (p *platform) account(commands []string) (token string) {
	p.kubectl("create", "namespace", "monitoring")
	p.kubectl("create", "serviceaccount", "-n", "monitoring", "prometheus")
	for _, command := range commands {
		args := strings.Fields(strings.ReplaceAll(command, "MONITORING", "monitoring"))
		p.g.Expect(args[0]).To(Equal("kubectl"))
		p.kubectl(args[1:]...)
	}
	return strings.TrimSpace(p.kubectl("create", "token", "-n", "monitoring", "prometheus"))
}

// discover finds what kubernetes_sd_configs of the role pod finds with a token, and says
// of it what that says: Debian's Prometheus is built without it.
func (p *platform) discover(token, namespace string) (targets []map[string]any) {
	p.t.Helper()
	config := rest.AnonymousClientConfig(p.environment.Config)
	config.BearerToken = token
	reader, err := client.New(config, client.Options{Scheme: p.api.Scheme()})
	p.g.Expect(err).NotTo(HaveOccurred())
	var pods corev1.PodList
	p.g.Expect(reader.List(p.t.Context(), &pods, client.InNamespace(namespace))).To(Succeed())
	for _, pod := range pods.Items {
		for _, port := range pod.Spec.Containers[0].Ports {
			labels := map[string]string{
				"__meta_kubernetes_namespace":               pod.Namespace,
				"__meta_kubernetes_pod_name":                pod.Name,
				"__meta_kubernetes_pod_container_port_name": port.Name,
			}
			for name, value := range pod.Labels {
				labels["__meta_kubernetes_pod_label_"+strings.NewReplacer(".", "_", "/", "_", "-", "_").Replace(name)] = value
			}
			at := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
			targets = append(targets, map[string]any{"targets": []string{at}, "labels": labels})
		}
	}
	return targets
}

// impatient are the alert rules, each without the time for which it must hold.
func (p *platform) impatient() []byte {
	text, err := os.ReadFile(filepath.Join(top, "config/monitoring/rules.yaml"))
	p.g.Expect(err).NotTo(HaveOccurred())
	return regexp.MustCompile(`(?m)^ +for: \w+\n`).ReplaceAll(text, nil)
}

// prometheus is one that runs.
type prometheus struct {
	*platform
	url string
}

// startPrometheus runs one with the job of the page, but for the file of the token, and
// how pods are found.
func (p *platform) startPrometheus() *prometheus {
	p.t.Helper()
	commands, job := p.documented()
	token := p.account(commands)
	p.g.Expect(job[0]["authorization"]).To(HaveKey("credentials_file"))
	job[0]["authorization"] = map[string]any{"credentials_file": p.file("token", []byte(token))}
	p.g.Expect(job[0]["kubernetes_sd_configs"]).To(Equal([]any{map[string]any{"role": "pod", "namespaces": map[string]any{"names": []any{system}}}}))
	delete(job[0], "kubernetes_sd_configs")
	job[0]["static_configs"] = p.discover(token, system)
	config, err := yaml.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
		"rule_files":     []string{p.file("rules.yaml", p.impatient())},
		"scrape_configs": job,
	})
	p.g.Expect(err).NotTo(HaveOccurred())
	at := loopback(p.unused())
	command := exec.Command("prometheus", "--config.file="+p.file("prometheus.yaml", config), "--storage.tsdb.path="+p.t.TempDir(),
		"--web.listen-address="+at, "--log.level=warn")
	p.start(command)
	return &prometheus{p, "http://" + at}
}

// get reads data from Prometheus' API.
func (p *prometheus) get(g Gomega, path string, data any) {
	answer, err := http.Get(p.url + path)
	g.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	said := struct {
		Status, Error string
		Data          any
	}{Data: data}
	g.Expect(json.NewDecoder(answer.Body).Decode(&said)).To(Succeed())
	g.Expect(said.Status).To(Equal("success"), "%s: %s", path, said.Error)
}

// query is how many series an expression has now.
func (p *prometheus) query(g Gomega, expr string) int {
	var data struct{ Result []any }
	p.get(g, "/api/v1/query?query="+url.QueryEscape(expr), &data)
	return len(data.Result)
}

// alert is one that fires.
type alert struct {
	Labels, Annotations map[string]string
	State               string
}

func (a alert) String() string { return fmt.Sprint(a.Labels) }

// firing are the alerts that fire, by their names.
func (p *prometheus) firing(g Gomega) map[string]alert {
	var data struct{ Alerts []alert }
	p.get(g, "/api/v1/alerts", &data)
	all := map[string]alert{}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			all[a.Labels["alertname"]] = a
		}
	}
	return all
}

// up are the components whose metrics are read.
func (p *prometheus) up(g Gomega) (components []string) {
	var data struct {
		ActiveTargets []struct {
			Health, LastError string
			Labels            map[string]string
		}
	}
	p.get(g, "/api/v1/targets?state=active", &data)
	for _, target := range data.ActiveTargets {
		g.Expect(target.Health).To(Equal("up"), target.LastError)
		components = append(components, target.Labels["component"]+" "+target.Labels["namespace"]+"/"+target.Labels["pod"])
	}
	return components
}
