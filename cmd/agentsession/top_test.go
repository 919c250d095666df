package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// reserving are the sample's, of which two have reserved something, and one of another runtime.
func reserving(t *testing.T) []found {
	t.Helper()
	all := samples(t)
	for _, f := range all {
		switch f.Name {
		case "busy": // Active since it was counted, three hours ago
			f.Status.Reserved = &v1alpha1.Reserved{MilliCPU: 2000, MemoryMiB: 8192, Idle: v1alpha1.ResourceTime{MilliCPUSeconds: 7_200_000, MemoryMiBSeconds: 29_491_200}}
		case "research":
			f.Spec.RuntimeRef.Name = "research"
		}
	}
	return all
}

func TestTopIsGolden(t *testing.T) {
	known := usage{
		client.ObjectKey{Namespace: "default", Name: "busy-1"}:       {MilliCPU: 1520, MemoryMiB: 2048},
		client.ObjectKey{Namespace: "default", Name: "idle-2"}:       {MilliCPU: 3, MemoryMiB: 310},
		client.ObjectKey{Namespace: "default", Name: "research-1"}:   {MilliCPU: 9999, MemoryMiB: 9999}, // its pod has gone
		client.ObjectKey{Namespace: "elsewhere", Name: "exited-1"}:   {MilliCPU: 9999, MemoryMiB: 9999},
		client.ObjectKey{Namespace: "default", Name: "no-session-1"}: {MilliCPU: 9999, MemoryMiB: 9999},
	}
	own := explain.Prices{VCPUHour: 0.04, GBHour: 0.005}
	for name, row := range map[string]struct {
		by, output string
		namespaces bool
		prices     explain.Prices
		known      usage
	}{
		"top":              {bySession, "", false, explain.AgentCorePrices, known},
		"top-all":          {bySession, "", true, explain.AgentCorePrices, known},
		"top-wide":         {bySession, "wide", false, own, known},
		"top-json":         {bySession, "json", false, explain.AgentCorePrices, known},
		"top-yaml":         {bySession, "yaml", false, explain.AgentCorePrices, nil},
		"top-name":         {bySession, "name", false, explain.AgentCorePrices, known},
		"top-runtime":      {byRuntime, "", false, explain.AgentCorePrices, known},
		"top-runtime-wide": {byRuntime, "wide", true, explain.AgentCorePrices, nil},
		"top-runtime-json": {byRuntime, "json", false, own, known},
		"top-runtime-name": {byRuntime, "name", false, own, known},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			b := usageTableOf(night, row.prices, row.by, reserving(t), row.known)
			if row.known == nil {
				b.UsageUnknown = "nobody knows"
			}
			NewWithT(t).Expect(b.write(&out, row.output, row.namespaces)).To(Succeed())
			if row.output == "" || row.output == "wide" {
				writeLines(&out, b.notes()...)
			}
			expectGolden(t, name, out.String())
		})
	}
}

// behind has a desk's tool reach the API through a proxy that answers for metrics.k8s.io.
func (d *desk) behind(metrics http.HandlerFunc) {
	d.t.Helper()
	config, err := clientcmd.LoadFromFile(d.kubeconfig)
	d.Expect(err).NotTo(HaveOccurred())
	cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	own, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	d.Expect(err).NotTo(HaveOccurred())
	to, err := url.Parse(cluster.Server)
	d.Expect(err).NotTo(HaveOccurred())
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport, err = rest.TransportFor(own)
	d.Expect(err).NotTo(HaveOccurred())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, metricsAPI) && metrics != nil {
			metrics(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	d.t.Cleanup(server.Close)
	cluster.Server, cluster.CertificateAuthorityData = server.URL, nil
	text, err := clientcmd.Write(*config)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(os.WriteFile(d.kubeconfig, text, 0o600)).To(Succeed())
}

// TestTopAsksTheMetricsAPI: what metrics-server answers is shown, and where there is none, or none
// that answers, that is said in words, and the rest is shown all the same.
func TestTopAsksTheMetricsAPI(t *testing.T) {
	const answer = `{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[
		{"metadata":{"name":"busy-1","namespace":"default"},"timestamp":"2026-11-29T02:59:40Z","window":"15s","containers":[
			{"name":"agent","usage":{"cpu":"1250301744n","memory":"524288Ki"}},{"name":"sidecar","usage":{"cpu":"20m","memory":"1Mi"}}]}]}`
	d := newDesk(t)
	d.fill()
	var asked string
	status, body := http.StatusOK, answer
	d.behind(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RequestURI()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	out, said, err := d.run("top", "busy")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(strings.Fields(strings.Split(out, "\n")[1])).To(Equal(strings.Fields("busy echo Active 1271m 513Mi - - -")))
	d.Expect(said).To(And(ContainSubstring("No cost is known of 1 session: "), Not(ContainSubstring("not known:"))))
	d.Expect(asked).To(HavePrefix("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=runtime.agentsession.dev%2Fsession&"))
	_, _, err = d.run("top", "-A")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(asked).To(HavePrefix("/apis/metrics.k8s.io/v1beta1/pods?"))

	for _, row := range []struct {
		status int
		body   string
		says   string
	}{
		{404, "404 page not found", "has no metrics API (metrics.k8s.io); metrics-server is one"},
		{403, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods.metrics.k8s.io is forbidden","reason":"Forbidden","code":403}`, "you may not read the pods of metrics.k8s.io"},
		{503, "service unavailable", "cannot answer: "},
		{500, "no", "the metrics API (metrics.k8s.io) of the cluster at "},
		{200, "{", "the metrics API (metrics.k8s.io) of the cluster at "},
	} {
		status, body = row.status, row.body
		out, said, err := d.run("top", "busy")
		d.Expect(err).NotTo(HaveOccurred(), row.says)
		d.Expect(strings.Fields(strings.Split(out, "\n")[1])).To(Equal(strings.Fields("busy echo Active - - - - -")))
		d.Expect(said).To(ContainSubstring("CPU and MEMORY are not known: "))
		d.Expect(said).To(ContainSubstring(row.says))
		out, _, err = d.run("top", "busy", "-o", "json")
		d.Expect(err).NotTo(HaveOccurred(), row.says)
		d.Expect(out).To(And(ContainSubstring(`"usageUnknown": "`), Not(ContainSubstring(`"usage":`))))
	}
}

// TestTopSelects: as list does, and in the order of what it costs.
func TestTopSelects(t *testing.T) {
	d := newDesk(t)
	_, said, err := d.run("top")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(said).To(Equal("No sessions found in default namespace.\n"))
	out, _, err := d.run("top", "-o", "json", "--by", "runtime")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(ContainSubstring(`"items": []`))
	d.fill()
	for args, want := range map[string]string{
		"":                          "idle busy exited research", // which alone has reserved something
		"-A --state Stopped":        "exited research",
		"-l !team":                  "exited",
		"busy idle":                 "idle busy",
		"--by runtime":              "echo",
		"--by runtime --state idle": "echo",
	} {
		out, _, err := d.run(append([]string{"top", "-o", "name"}, strings.Fields(args)...)...)
		d.Expect(err).NotTo(HaveOccurred(), args)
		out = strings.NewReplacer(resource, "", runtimeResource, "").Replace(out)
		d.Expect(strings.Join(strings.Fields(out), " ")).To(Equal(want), args)
	}
	out, _, err = d.run("top", "idle", "not-there", "-o", "name")
	d.Expect(err).To(MatchError(ContainSubstring(`there is no AgentSession "not-there"`)))
	d.Expect(out).To(Equal(resource+"idle\n"), "the others are shown")
	for says, args := range map[string]string{
		`--by is "node": it must be session or runtime`: "top --by node",
		`--output is "xml"`:                             "top -o xml",
		"--vcpu-hour is -1: it must be a number":        "top --vcpu-hour -1",
		"--gb-hour is NaN: it must be a number":         "top --gb-hour nan",
		"--gb-hour is +Inf: it must be a number":        "top --gb-hour inf",
	} {
		_, _, err := d.run(strings.Fields(args)...)
		d.Expect(err).To(MatchError(ContainSubstring(says)), args)
	}
}
