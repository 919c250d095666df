package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/buildinfo"
)

// hush is a secret in all places where there may be one.
const hush = "hush-4711"

// unpack reads a report, and sees that nobody else can.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	g := NewWithT(t)
	zipped, err := os.Open(file)
	g.Expect(err).NotTo(HaveOccurred())
	defer zipped.Close()
	info, err := zipped.Stat()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(BeEquivalentTo(0o600))
	raw, err := gzip.NewReader(zipped)
	g.Expect(err).NotTo(HaveOccurred())
	files := map[string]string{}
	for archive := tar.NewReader(raw); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(files).NotTo(HaveKey(header.Name))
		text, err := io.ReadAll(archive)
		g.Expect(err).NotTo(HaveOccurred())
		files[header.Name] = string(text)
	}
}

// TestReport: of a namespace, of some, and of who may see nothing.
func TestReport(t *testing.T) {
	d := newRealDesk(t)
	d.become(admin)
	d.occupy()
	at := d.before("log", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("previous") == "true" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("tail " + r.URL.Query().Get("tailLines") + "\nnot let in: Authorization: Bearer " + hush + "\n"))
	})
	folder := t.TempDir()
	report := func(name string, args ...string) (string, map[string]string) {
		t.Helper()
		file := filepath.Join(folder, name)
		out, said, err := d.run(append([]string{"report", "--server", at, "--output", file}, args...)...)
		d.Expect(err).NotTo(HaveOccurred())
		d.Expect(said).To(BeEmpty())
		files := unpack(t, file)
		for path, text := range files {
			d.Expect(text).NotTo(ContainSubstring(hush), path)
			d.Expect(text).NotTo(ContainSubstring("managedFields"), path)
			d.Expect(out).To(MatchRegexp(`(?m)^%s +%d bytes$`, path, len(text)))
		}
		d.Expect(out).To(HaveSuffix("tar -xzOf " + file + " | less\n"))
		d.listed(name, files)
		return out, files
	}
	out, files := report("all")
	d.Expect(out).To(ContainSubstring("1 thing is not in it: errors.txt says what, and why."))
	d.Expect(files["agentsession-report/errors.txt"]).To(HavePrefix("log operator-1.operator.previous: "))
	d.Expect(files["agentsession-report/versions.txt"]).To(And(ContainSubstring("agentsession: "+buildinfo.Version()+"\n"), ContainSubstring("API server: v1."), HaveSuffix("reported: all of namespace default\n")))
	d.Expect(files["agentsession-report/platform/logs/operator-1.operator.log"]).To(Equal("tail 2000\nnot let in: Authorization: <redacted>\n"))
	d.Expect(files["agentsession-report/pods/default/idle-2.yaml"]).To(And(ContainSubstring("name: MODEL_KEY\n"), ContainSubstring("value: <redacted>")))
	events := files["agentsession-report/events/default.yaml"]
	d.Expect(events).To(MatchRegexp(`(?s)message: gone 2.*message: idle 1.*message: pod 0`), "in their order")
	d.Expect(strings.Count(events, "kind: Event") + strings.Count(events, "involvedObject:")).To(BeNumerically(">=", 3))
	d.Expect(events).NotTo(Or(ContainSubstring("message: old"), ContainSubstring("message: other")))

	_, files = report("named", "idle", "session/idle", "runtime/echo", "gone")
	d.Expect(files["agentsession-report/explain/idle.txt"]).To(ContainSubstring("It is Idle"))
	d.Expect(files["agentsession-report/explain/gone.txt"]).To(ContainSubstring("gone 2"))
	d.Expect(files["agentsession-report/events/default.yaml"]).To(ContainSubstring("message: gone 2"))
	d.Expect(files["agentsession-report/errors.txt"]).To(ContainSubstring(`AgentSession gone: agentsessions.runtime.agentsession.dev "gone" not found`))
	_, files = report("busy", "busy")
	d.Expect(files).NotTo(HaveKey("agentsession-report/events/default.yaml"), "there are none of it")
	_, files = report("everywhere", "-A")
	d.Expect(files["agentsession-report/versions.txt"]).To(HaveSuffix("reported: all namespaces\n"))

	_, files = report("platform", "-n", platformNamespace)
	d.Expect(files["agentsession-report/platform/events.yaml"]).To(ContainSubstring("message: scaled"))

	_, _, err := d.run("report", "--output", filepath.Join(folder, "all"))
	d.Expect(err).To(MatchError(ContainSubstring("is there already, and is not written over")))
	d.Expect(unpack(t, filepath.Join(folder, "all"))).NotTo(BeEmpty())
	d.refused(folder)

	d.become(envtest.User{Name: "somebody"})
	file := filepath.Join(folder, "somebody")
	out, _, err = d.run("report", "--output", file, "idle")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(ContainSubstring("things are not in it"))
	files = unpack(t, file)
	d.listed("somebody", files)
	d.golden("report-errors", files["agentsession-report/errors.txt"])
	t.Chdir(folder)
	_, _, err = d.run("report")
	d.Expect(err).NotTo(HaveOccurred())
	unpack(t, "agentsession-report-20261129T030000Z.tar.gz")
}

// listed compares which files are in a report.
func (d *realDesk) listed(name string, files map[string]string) {
	d.t.Helper()
	expectGolden(d.t, "report-"+name, strings.Join(slices.Sorted(maps.Keys(files)), "\n")+"\n")
}

// refused are reports of which nothing is left.
func (d *realDesk) refused(folder string) {
	d.t.Helper()
	file := filepath.Join(folder, "refused")
	for says, args := range map[string]string{
		"names are of one namespace": "report idle -A --output " + file,
		"cannot be reached":          "report --server http://127.0.0.1:1 --output " + file,
		`--output is ""`:             "report --output=",
		"make the report: open":      "report --output " + filepath.Join(folder, "none", "x"),
	} {
		_, _, err := d.run(strings.Fields(args)...)
		d.Expect(err).To(MatchError(ContainSubstring(says)), args)
		d.Expect(file).NotTo(BeAnExistingFile(), args)
	}
}

// occupy makes what a report is of, with secrets in it.
func (d *realDesk) occupy() {
	d.t.Helper()
	ctx, c := d.t.Context(), d.admin()
	make := func(o client.Object) {
		d.t.Helper()
		d.Expect(c.Create(ctx, o)).To(Succeed())
	}
	for _, o := range manifests(d.t, operatorFile) {
		make(o)
	}
	d.Eventually(func() error { _, _, err := d.run("list"); return err }, patience).Should(Succeed())
	d.Eventually(func() error { return d.client.List(ctx, &v1alpha1.AgentRuntimeList{}) }, patience).Should(Succeed())
	d.fill()
	make(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-b"}})
	second := sample()[1]
	second.Namespace, second.Annotations = "team-b", map[string]string{"kubectl.kubernetes.io/last-applied-configuration": hush}
	second.Spec.Template.Spec.Containers[0].Args = []string{"--token", hush}
	second.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: hush}}
	d.Expect(d.client.Create(ctx, second)).To(Succeed())
	make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "model"}, StringData: map[string]string{"key": hush}})
	pod := func(namespace, name string, labels map[string]string, owner *v1alpha1.AgentSession) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}}
		if owner != nil {
			p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, sessionKind)}
		}
		p.Spec.Containers = []corev1.Container{{
			Name: "operator", Image: "o", Env: []corev1.EnvVar{{Name: "MODEL_KEY", Value: hush}}, Command: []string{"run", "--password=" + hush},
		}}
		p.Spec.SecurityContext = &corev1.PodSecurityContext{}
		return p
	}
	make(pod("default", "idle-2", map[string]string{v1alpha1.LabelSession: "idle"}, d.session("idle")))
	make(pod("default", "alike-1", map[string]string{v1alpha1.LabelSession: "idle"}, nil))
	operator := pod(platformNamespace, "operator-1", operatorLabels, nil)
	operator.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	operator.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	prober := operator.DeepCopy()
	prober.Name, prober.Labels = "node-prober-1", map[string]string{"app.kubernetes.io/name": "agentsession", "app.kubernetes.io/component": "node-prober"}
	make(prober)
	make(operator)
	operator.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "operator", RestartCount: 1}}
	d.Expect(c.Status().Update(ctx, operator)).To(Succeed())
	event := func(namespace, kind, name, message string, age time.Duration) {
		make(&corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: strings.ReplaceAll(message, " ", "-")}, Type: "Normal", Reason: "R", Message: message + " token=" + hush,
			LastTimestamp: *back(age), InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: name},
		})
	}
	event("default", "Pod", "idle-2", "pod 0", 0)
	event("default", "AgentSession", "idle", "idle 1", time.Minute)
	event("default", "AgentSession", "gone", "gone 2", 2*time.Minute)
	event("default", "AgentSession", "idle", "old", eventsFor+time.Second)
	event("default", "Pod", "other", "other", 0)
	event("default", "ConfigMap", "idle", "other kind", 0)
	event(platformNamespace, "Deployment", operatorName, "scaled", time.Minute)
}

// TestReportIsBounded in files and in objects, and says so.
func TestReportIsBounded(t *testing.T) {
	g, b := NewWithT(t), &bundle{}
	half := strings.Repeat("x", reportBytes/2)
	b.add(half, "a")
	b.add(half, "b/../c")
	b.add("x", "d")
	g.Expect(b.files).To(HaveLen(2))
	g.Expect(b.files[1].path).To(Equal("agentsession-report/b_.._c"))
	g.Expect(b.errors).To(Equal([]string{"agentsession-report/d: left out, since the report has 64 MiB"}))

	g.Expect(end("a\nb\n", 4)).To(Equal("a\nb\n"))
	g.Expect(end("a\nbcd\n", 5)).To(Equal("bcd\n"))
	g.Expect(end("abc", 2)).To(Equal("bc"))

	d := newDesk(t)
	r := &reporter{}
	many := interceptor.NewClient(d.client, interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		g.Expect((&client.ListOptions{}).ApplyOptions(options).Limit).To(BeEquivalentTo(maxReported))
		into := list.(*unstructured.UnstructuredList)
		into.Items = make([]unstructured.Unstructured, maxReported)
		into.SetContinue("more")
		return nil
	}})
	g.Expect(r.list(t.Context(), many, podKind)).To(HaveLen(maxReported))
	g.Expect(r.bundle.errors).To(Equal([]string{fmt.Sprintf("Pods: there are more than %d, of which only those are in it", maxReported)}))
}
