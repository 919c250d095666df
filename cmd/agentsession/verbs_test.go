package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

var (
	update = flag.Bool("update", false, "write the golden texts anew")
	night  = time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
)

// desk is an API with sessions, and the tool before it.
type desk struct {
	*WithT
	t          *testing.T
	client     client.WithWatch
	kubeconfig string
	in         io.Reader
	clock      func() time.Time // nil: the API server's
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	g := NewWithT(t)
	server, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(server.Stop()).To(Succeed()) })
	d := &desk{WithT: g, t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), clock: func() time.Time { return night }}
	text, err := server.Kubeconfig()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(d.kubeconfig, text, 0o600)).To(Succeed())
	d.client, err = client.NewWithWatch(server.Config(), client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	return d
}

func back(d time.Duration) *metav1.Time { return new(metav1.NewTime(night.Add(-d))) }

// sample are sessions of each kind that the verbs tell apart.
func sample() []*v1alpha1.AgentSession {
	of := func(name, runtime string, status v1alpha1.AgentSessionStatus) *v1alpha1.AgentSession {
		s := &v1alpha1.AgentSession{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"team": "a"}},
			Spec:       v1alpha1.AgentSessionSpec{DesiredState: v1alpha1.DesiredRunning, RuntimeSessionID: name + "-" + strings.Repeat("0", 32)},
			Status:     status,
		}
		if runtime == "" {
			s.Labels = nil
			s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
		} else {
			s.Spec.RuntimeRef = &v1alpha1.RuntimeRef{Name: runtime, Qualifier: "DEFAULT"}
		}
		return s
	}
	pod := func(name string, age time.Duration) *v1alpha1.PodStatus {
		return &v1alpha1.PodStatus{Name: name, UID: types.UID(name), IP: "10.0.0.7", Node: "n1", CreatedAt: *back(age)}
	}
	ended := func(reason v1alpha1.StopReason, message string, ago time.Duration) *v1alpha1.Termination {
		return &v1alpha1.Termination{Reason: reason, Message: message, Activation: 1, DueAt: back(ago), At: back(ago)}
	}
	stuck := metav1.Condition{Type: v1alpha1.ConditionStuck, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonBusyTooLong, Message: "HealthyBusy for 2h0m0s", LastTransitionTime: *back(time.Hour)}
	return []*v1alpha1.AgentSession{
		of("busy", "echo", v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateActive, Activation: 1, PingStatus: "HealthyBusy", PingStatusSince: back(3 * time.Hour), Pod: pod("busy-1", 4*time.Hour), HealthyAt: back(4 * time.Hour),
			Usage: &v1alpha1.Usage{CountedAt: *back(3 * time.Hour)}, NextStop: &v1alpha1.NextStop{At: *back(-4 * time.Hour), Reason: v1alpha1.StopMaxLifetime}, Conditions: []metav1.Condition{stuck},
		}),
		of("exited", "", v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateStopped, Activation: 1, LastTermination: ended(v1alpha1.StopAgentExited, "The agent exited with code 1", 26*time.Hour),
		}),
		of("idle", "echo", v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateIdle, Activation: 2, PingStatus: "Healthy", PingStatusSince: back(5 * time.Minute), IdleSince: back(5 * time.Minute), Pod: pod("idle-2", time.Hour), HealthyAt: back(time.Hour),
			Usage: &v1alpha1.Usage{CountedAt: *back(5 * time.Minute)}, NextStop: &v1alpha1.NextStop{At: *back(-10 * time.Minute), Reason: v1alpha1.StopIdleTimeout},
			Reserved: &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1536, Active: v1alpha1.ResourceTime{MilliCPUSeconds: 30_250, MemoryMiBSeconds: 92_928}},
		}),
		of("research", "echo", v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateStopped, Activation: 1, LastTermination: ended(v1alpha1.StopIdleTimeout, "No work for 15m0s", 10*time.Minute),
			History: []v1alpha1.PastActivation{{Reason: v1alpha1.StopIdleTimeout, Message: "No work for 15m0s", Activation: 1, From: back(time.Hour), Until: *back(10 * time.Minute), ActiveSeconds: 60, IdleSeconds: 900}},
		}),
	}
}

// fill makes the sample.
func (d *desk) fill() {
	d.t.Helper()
	for _, s := range sample() {
		status := s.Status
		d.Expect(d.client.Create(d.t.Context(), s)).To(Succeed())
		s.Status = status
		d.Expect(d.client.Status().Update(d.t.Context(), s)).To(Succeed())
	}
	runtime := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "echo", Namespace: "default"}}
	runtime.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
	d.Expect(d.client.Create(d.t.Context(), runtime)).To(Succeed())
}

// run runs a command line.
func (d *desk) run(args ...string) (out, said string, err error) {
	return d.runUntil(d.t.Context(), &bytes.Buffer{}, args...)
}

func (d *desk) runUntil(ctx context.Context, out fmtWriter, args ...string) (string, string, error) {
	var said bytes.Buffer
	err := d.command(out, &said, args...).ExecuteContext(ctx)
	return out.String(), said.String(), err
}

func (d *desk) command(out, said io.Writer, args ...string) *cobra.Command {
	c := newConnection("kubectl agentsession")
	c.clock = d.clock
	command := c.command()
	command.SetArgs(append([]string{"--kubeconfig", d.kubeconfig}, args...))
	command.SetOut(out)
	command.SetErr(said)
	command.SetIn(d.in)
	return command
}

type fmtWriter interface {
	io.Writer
	String() string
}

func (d *desk) session(name string) *v1alpha1.AgentSession {
	s := &v1alpha1.AgentSession{}
	d.Expect(d.client.Get(d.t.Context(), client.ObjectKey{Namespace: "default", Name: name}, s)).To(Succeed())
	return s
}

func expectGolden(t *testing.T, name, text string) {
	t.Helper()
	g, file := NewWithT(t), filepath.Join("testdata", name+".golden")
	if *update {
		g.Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	}
	want, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred(), "with -update it is written")
	g.Expect(text).To(Equal(string(want)))
}

func samples(t *testing.T) (all []found) {
	t.Helper()
	g := NewWithT(t)
	for _, s := range sample() {
		s.CreationTimestamp = *back(50 * time.Hour)
		s.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSession"))
		s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
		g.Expect(err).NotTo(HaveOccurred())
		f, err := foundOf(&unstructured.Unstructured{Object: fields})
		g.Expect(err).NotTo(HaveOccurred())
		all = append(all, f)
	}
	return all
}

func TestListIsGolden(t *testing.T) {
	for name, row := range map[string]struct {
		output     string
		namespaces bool
	}{"list": {}, "list-all": {namespaces: true}, "list-wide": {output: "wide"}, "list-json": {output: "json"}, "list-yaml": {output: "yaml"}, "list-name": {output: "name"}} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			NewWithT(t).Expect(list(&out, row.output, night, &selection{all: row.namespaces}, samples(t))).To(Succeed())
			expectGolden(t, name, out.String())
		})
	}
	var colours bytes.Buffer
	writeLines(&colours, table(tableOf(night, false, false, samples(t)), coloured)...)
	expectGolden(t, "list-coloured", colours.String())
}

func TestDescribeIsGolden(t *testing.T) {
	var out bytes.Buffer
	for i, f := range samples(t) {
		events := []corev1.Event{{Type: "Normal", Reason: "Idle", Message: "The session has no work", EventTime: metav1.NewMicroTime(night)}}
		describe(&out, night, f.AgentSession, events[:i%2])
		writeLines(&out, "---")
	}
	expectGolden(t, "describe", out.String())
}

// TestListSelects: by each flag, and by several together.
func TestListSelects(t *testing.T) {
	d := newDesk(t)
	_, said, err := d.run("list")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(said).To(Equal("No sessions found in default namespace.\n"))
	d.fill()
	for args, want := range map[string]string{
		"":                                      "busy exited idle research",
		"-A":                                    "busy exited idle research",
		"-n other":                              "",
		"idle busy":                             "idle busy",
		"-l team=a":                             "busy idle research",
		"-l !team":                              "exited",
		"--runtime echo":                        "busy idle research",
		"--runtime none":                        "",
		"--state stopped":                       "exited research",
		"--runtime echo --state Stopped":        "research",
		"--ping HealthyBusy":                    "busy",
		"--busy-longer-than 2h":                 "busy",
		"--busy-longer-than 3h":                 "",
		"idle busy --state Active":              "busy",
		"--state Active --ping Healthy -l team": "",
	} {
		out, _, err := d.run(append([]string{"list", "-o", "name"}, strings.Fields(args)...)...)
		d.Expect(err).NotTo(HaveOccurred(), args)
		d.Expect(strings.Join(strings.Fields(strings.ReplaceAll(out, resource, "")), " ")).To(Equal(want), args)
	}
	out, _, err := d.run("list", "idle", "not-there", "-o", "name")
	d.Expect(err).To(MatchError(ContainSubstring(`there is no AgentSession "not-there" in namespace default`)))
	d.Expect(out).To(Equal(resource+"idle\n"), "the others are shown")
	for args, kind := range map[string]string{"idle": "AgentSession", "idle busy": "List", "--state Idle": "List", "idle --state Active": "List"} {
		out, _, err := d.run(append([]string{"list", "-o", "json"}, strings.Fields(args)...)...)
		d.Expect(err).NotTo(HaveOccurred(), args)
		d.Expect(out).To(MatchRegexp(`(?m)^    "kind": "`+kind+`",$`), "%s, as with kubectl", args)
	}
	out, _, err = d.run("list", "-o", "json", "--state", "Starting")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(ContainSubstring(`"items": []`), "also where there is none")
}

func TestBadSelections(t *testing.T) {
	d := newDesk(t)
	for says, args := range map[string]string{
		`--state is "Asleep": it must be Starting, Active, Idle, Stopping or Stopped`: "list --state Asleep",
		`--ping is "ok": it must be Healthy or HealthyBusy`:                           "list --ping ok",
		`--output is "xml": it must be wide, json, yaml or name`:                      "list -o xml",
		`--selector is "a=b=c"`:                          "list -l a=b=c",
		"--busy-longer-than is -1s":                      "list --busy-longer-than -1s",
		"names are of one namespace":                     "list x -A",
		"which sessions?":                                "stop",
		"which sessions? ":                               "wake -A",
		`--dry-run is "maybe": it must be none, client`:  "stop x --dry-run=maybe",
		`--dry-run is "": give it a value`:               "stop x --yes --dry-run=",
		`--runtime is "": give it a value`:               "stop --state Idle --yes --runtime=",
		`--state is "": give it a value`:                 "stop --runtime echo --yes --state=",
		`--selector is "": give it a value`:              "wake --runtime echo --yes --selector=",
		`--busy-longer-than is "0s": give it a value`:    "stop -A --state Idle --yes --busy-longer-than 0",
		"kubeconfig list` shows those that are there":    "explain",
		"a name is missing":                              "describe",
		`"pod/" `:                                        "explain pod/",
		`there is no AgentRuntime "x" in namespace`:      "explain runtime/x",
		`there is no AgentSession "x" in namespace defa`: "describe x",
		`there is no AgentSession "y" in namespace defa`: "stop y",
		`cluster "x" does not exist`:                     "list --cluster x",
		`context "x" does not exist`:                     "list --context x",
	} {
		_, _, err := d.run(strings.Fields(args)...)
		d.Expect(err).To(MatchError(ContainSubstring(strings.TrimSpace(says))), args)
	}
}

// TestStopAndWake: what is written, what is said, and what is left alone.
func TestStopAndWake(t *testing.T) {
	d := newDesk(t)
	d.fill()
	untouched := func() {
		d.t.Helper()
		for _, s := range sample() {
			d.Expect(d.session(s.Name).Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
			d.Expect(d.session(s.Name).Spec.Activation).To(BeZero())
		}
	}
	out, said, err := d.run("stop", "--runtime", "echo", "--dry-run")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(Equal("agentsession/research not asked to stop: it has no compute\n" +
		"agentsession/busy would be asked to stop (Active for 3h, Stuck)\nagentsession/idle would be asked to stop (Idle for 5m00s, -)\n"))
	d.Expect(said).To(BeEmpty())
	untouched()
	out, _, err = d.run("stop", "busy", "--dry-run=server")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(Equal("agentsession/busy would be asked to stop (server dry run)\n"))
	untouched()

	for _, answer := range []string{"", "\n", "n\n", "perhaps\n"} {
		d.in = strings.NewReader(answer)
		out, said, err = d.run("stop", "busy", "idle")
		d.Expect(err).NotTo(HaveOccurred())
		d.Expect(out).To(BeEmpty())
		d.Expect(said).To(And(ContainSubstring("  default/busy  Active for 3h, Stuck\n"), ContainSubstring("Stop 2 sessions? Their agents lose their memory. [y/N] "), ContainSubstring("Nothing was done.")))
		untouched()
	}
	d.in = strings.NewReader("Y\n")
	out, _, err = d.run("stop", "--busy-longer-than", "2h")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(Equal("agentsession/busy asked to stop\n"))
	d.Expect(d.session("busy").Spec.DesiredState).To(Equal(v1alpha1.DesiredStopped))
	d.Expect(d.session("idle").Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
	out, said, err = d.run("stop", "busy", "--yes")
	d.Expect(err).NotTo(HaveOccurred(), "it is so already")
	d.Expect(out + said).To(Equal("agentsession/busy not asked to stop: it was asked to stop already\nNo session to stop in default namespace.\n"))

	out, _, err = d.run("wake", "-A", "--state", "Stopped", "-y")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(Equal("agentsession/default/exited asked to start\nagentsession/default/research asked to start\n"))
	d.Expect(d.session("research").Spec.Activation).To(BeEquivalentTo(2))
	out, _, err = d.run("wake", "busy", "missing", "-y")
	d.Expect(err).To(MatchError(ContainSubstring(`there is no AgentSession "missing"`)))
	d.Expect(out).To(Equal("agentsession/busy asked to start\n"), "the others are done")
	d.Expect(d.session("busy").Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
	d.Expect(d.session("busy").Spec.Activation).To(BeZero(), "that alone takes the stop back")
}

// TestAChangeMeanwhile: a session that is none of those that were meant any more is left
// alone, and one that is still meant is stopped.
func TestAChangeMeanwhile(t *testing.T) {
	for state, says := range map[v1alpha1.SessionState]string{
		v1alpha1.StateActive: "agentsession/idle not asked to stop: it has changed meanwhile (Active for ",
		v1alpha1.StateIdle:   "agentsession/idle asked to stop\n",
	} {
		t.Run(string(state), func(t *testing.T) {
			d := newDesk(t)
			d.fill()
			changed := false
			c := interceptor.NewClient(d.client, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				if !changed {
					changed = true
					s := d.session("idle")
					s.Status.State, s.Status.RuntimeSessionID = state, "another"
					d.Expect(c.Status().Update(ctx, s)).To(Succeed())
				}
				return c.Patch(ctx, o, p, opts...)
			}})
			stop := stopping()
			var out bytes.Buffer
			stop.cluster = &cluster{WithWatch: c, namespace: "default", now: func() time.Time { return night }}
			stop.yes, stop.out, stop.err, stop.labels, stop.state = true, &out, io.Discard, labels.Everything(), "Idle"
			d.Expect(stop.run(t.Context())).To(Succeed())
			d.Expect(out.String()).To(HavePrefix(says))
			want := v1alpha1.DesiredRunning
			if state == v1alpha1.StateIdle {
				want = v1alpha1.DesiredStopped
			}
			d.Expect(d.session("idle").Spec.DesiredState).To(Equal(want))
		})
	}
}

// TestAnotherOfItsName: who said yes to one session did not say it to the next of its name.
func TestAnotherOfItsName(t *testing.T) {
	d := newDesk(t)
	d.fill()
	made := false
	c := interceptor.NewClient(d.client, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
		if !made {
			made = true
			s := d.session("idle")
			status := s.Status
			d.Expect(c.Delete(ctx, s)).To(Succeed())
			s.ResourceVersion, s.UID = "", ""
			d.Expect(c.Create(ctx, s)).To(Succeed())
			s.Status = status
			d.Expect(c.Status().Update(ctx, s)).To(Succeed())
		}
		return c.Patch(ctx, o, p, opts...)
	}})
	stop := stopping()
	var out bytes.Buffer
	stop.cluster = &cluster{WithWatch: c, namespace: "default", now: func() time.Time { return night }}
	stop.yes, stop.out, stop.err, stop.labels, stop.state = true, &out, io.Discard, labels.Everything(), "Idle"
	d.Expect(stop.run(t.Context())).To(Succeed())
	d.Expect(out.String()).To(Equal("agentsession/idle not asked to stop: it is gone\n"))
	d.Expect(d.session("idle").Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
}

// TestAnInterruptIsNoYes, also while nobody types.
func TestAnInterruptIsNoYes(t *testing.T) {
	d := newDesk(t)
	d.fill()
	typed, typing := io.Pipe()
	defer typing.Close()
	d.in = typed
	ctx, cancel := context.WithCancel(t.Context())
	stop := stopping()
	said := &lineBuffer{}
	stop.cluster = &cluster{WithWatch: d.client, namespace: "default", now: func() time.Time { return night }}
	stop.in, stop.out, stop.err, stop.labels, stop.state = typed, io.Discard, said, labels.Everything(), "Idle"
	ended := make(chan error, 1)
	go func() { ended <- stop.run(ctx) }()
	d.Eventually(said.String, patience).Should(HaveSuffix("[y/N] "))
	cancel()
	d.Eventually(ended, patience).Should(Receive(MatchError("nothing was done")))
	d.Expect(d.session("idle").Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
}

// TestNamesAsListPrintsThem, each of them once.
func TestNamesAsListPrintsThem(t *testing.T) {
	d := newDesk(t)
	d.fill()
	out, _, err := d.run("list", "--state", "Idle", "-o", "name")
	d.Expect(err).NotTo(HaveOccurred())
	for _, verb := range []string{"describe", "explain"} {
		text, _, err := d.run(verb, strings.TrimSpace(out), "AgentSessions/busy")
		d.Expect(err).NotTo(HaveOccurred())
		d.Expect(text).To(And(ContainSubstring("idle"), MatchRegexp(`\n\n(Name: +|AgentSession (default/)?)busy`)), "with an empty line between")
	}
	for _, verb := range []string{"list", "describe", "logs", "stop", "watch"} {
		_, _, err := d.run(verb, "pod/idle")
		d.Expect(err).To(MatchError(`"pod/idle" is no session: give its NAME, or agentsession/NAME`), verb)
	}
	out, said, err := d.run("stop", strings.TrimSpace(out), "ags/idle", "idle", "--yes")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out + said).To(Equal("agentsession/idle asked to stop\n"))
}

// TestAListThatTakesTooLong: where the API server has forgotten its first page meanwhile, it
// is read in one.
func TestAListThatTakesTooLong(t *testing.T) {
	d := newDesk(t)
	d.fill()
	var asked []string
	c := interceptor.NewClient(d.client, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		o := (&client.ListOptions{}).ApplyOptions(opts)
		asked = append(asked, fmt.Sprint(o.Limit, o.Continue))
		if o.Continue != "" {
			return apierrors.NewResourceExpired("the provided continue parameter is too old")
		}
		err := c.List(ctx, list, opts...)
		if o.Limit > 0 {
			list.SetContinue("more")
		}
		return err
	}})
	to := &cluster{WithWatch: c, namespace: "default", now: func() time.Time { return night }}
	all, err := to.find(t.Context(), &selection{labels: labels.Everything()})
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(all).To(HaveLen(4))
	d.Expect(asked).To(HaveExactElements("500", "500more", "0"))
}

// TestWhatATerminalWouldObey reaches none, whoever wrote it.
func TestWhatATerminalWouldObey(t *testing.T) {
	d := newDesk(t)
	d.fill()
	evil := "\x1b]0;pwned\x07;id>x\u202e"
	s := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "evil"}, Spec: v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: evil}}}
	d.Expect(d.client.Create(t.Context(), s)).To(Succeed())
	d.Expect(d.client.Create(t.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "default", Name: "evil"},
		InvolvedObject: corev1.ObjectReference{Kind: "AgentSession", Namespace: "default", Name: "evil", UID: s.UID}, Type: evil, Reason: evil, Message: evil,
	})).To(Succeed())
	for _, words := range []string{"list", "list -o wide", "describe evil", "explain evil"} {
		out, said, err := d.run(strings.Fields(words)...)
		d.Expect(err).NotTo(HaveOccurred())
		d.Expect(out+said).To(ContainSubstring("evil"), words)
		d.Expect(strings.ContainsFunc(out+said, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })).To(BeFalse(), "%s: %q", words, out+said)
		d.Expect(out).NotTo(ContainSubstring("explain runtime/"), "no shell gets such a name")
	}
	d.Expect(printable("a\x1b[2J\nb\u202e")).To(Equal("a?[2J\nb?"), "of an error")
}

// TestExplainAndWhatToType: what explain says to type works.
func TestExplainAndWhatToType(t *testing.T) {
	d := newDesk(t)
	d.fill()
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "e"}, Type: "Normal", Reason: "Stopped", Message: "Activation 1 is gone",
		InvolvedObject: corev1.ObjectReference{Kind: "AgentSession", Namespace: "default", Name: "gone", UID: "u"}, FirstTimestamp: *back(time.Minute),
	}
	d.Expect(d.client.Create(t.Context(), event)).To(Succeed())
	kubectl := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	var lines []string
	for name, says := range map[string]string{
		"research":     "It is Stopped since 02:50:00 (10 min ago): IdleTimeout. No work for 15m0s.",
		"ags/busy":     "It seems to be stuck",
		"session/idle": "IdleTimeout at 03:10:00, in 10 min.",
		"gone":         "02:59:00  Stopped: Activation 1 is gone.",
		"runtime/echo": "Its sessions: 0 Starting, 1 Active, 1 Idle, 0 Stopping, 1 Stopped.",
	} {
		out, said, err := d.run("explain", name)
		d.Expect(err).NotTo(HaveOccurred(), name)
		d.Expect(said).To(BeEmpty())
		d.Expect(out).To(ContainSubstring(says))
		for line := range strings.SplitSeq(out, "\n") {
			if command, ok := strings.CutPrefix(line, "    kubectl "); ok {
				lines = append(lines, command)
			}
		}
	}
	out, _, err := d.run("explain", "never-was")
	d.Expect(err).To(MatchError(`there is no AgentSession "never-was" in namespace default`))
	d.Expect(out).To(ContainSubstring("Nothing tells of it"))
	d.Expect(len(lines)).To(BeNumerically(">", 12))
	for _, line := range lines {
		args := strings.Fields(line)
		switch {
		case args[0] == "agentsession":
			d.Expect(args[1:3]).To(Equal([]string{"--kubeconfig", d.kubeconfig}), "it goes to the same cluster")
			d.in = strings.NewReader("y\n")
			d.runToFirstLine(args[3:])
		case args[2] == "logs": // of a pod that is not there
			d.Expect(exec.Command(kubectl, args...).Run()).NotTo(Succeed())
		default:
			out, err := exec.Command(kubectl, args...).CombinedOutput()
			d.Expect(err).NotTo(HaveOccurred(), "%s: %s", line, out)
		}
	}
}

// runToFirstLine runs a command, and ends it where it would go on for ever.
func (d *desk) runToFirstLine(args []string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	out := &lineBuffer{}
	if args[0] == "watch" || args[0] == "dashboard" {
		out.line = cancel
	}
	_, said, err := d.runUntil(ctx, out, args...)
	d.Expect(err).NotTo(HaveOccurred(), "%v: %s", args, said)
	d.Expect(ctx.Err()).NotTo(Equal(context.DeadlineExceeded), "%v has written nothing: %s", args, said)
}

// lineBuffer tells when something was written.
type lineBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	line func()
}

func (b *lineBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line != nil {
		b.line()
	}
	return b.text.Write(text)
}

func (b *lineBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestExamplesRun: what help shows works. Those of local are read only: they would start
// agents.
func TestExamplesRun(t *testing.T) {
	d := newDesk(t)
	d.fill()
	d.Expect(d.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}})).To(Succeed())
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "echo", Namespace: "team-a"}}
	agent.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
	d.Expect(d.client.Create(t.Context(), agent)).To(Succeed())
	at, _ := d.withLogs(func(http.ResponseWriter, *http.Request) {})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "research-1", Namespace: "default"}}
	pod.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
	d.Expect(d.client.Create(t.Context(), pod)).To(Succeed())
	research := d.session("research")
	research.Status.Pod = &v1alpha1.PodStatus{Name: pod.Name, UID: pod.UID, CreatedAt: *back(time.Minute)}
	d.Expect(d.client.Status().Update(t.Context(), research)).To(Succeed())
	count := 0
	for _, command := range newConnection("kubectl agentsession").command().Commands() {
		for line := range strings.SplitSeq(command.Example, "\n") {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " | ")
			if line == "" {
				continue
			}
			count++
			if command.Name() == "local" {
				args, ok := strings.CutPrefix(line, "agentsession local ")
				d.Expect(ok).To(BeTrue(), line)
				local := newLocal()
				d.Expect(local.ParseFlags(strings.Fields(args))).To(Succeed(), line)
				d.Expect(local.Args(local, local.Flags().Args())).To(Succeed(), line)
				continue
			}
			args, ok := strings.CutPrefix(line, "kubectl agentsession "+command.Name())
			d.Expect(ok).To(BeTrue(), line)
			if command.Name() == "lint" { // TestLint has it look, which takes its time
				l, connection := &linter{}, newConnection("x")
				command := l.command(connection)
				connection.command().AddCommand(command) // whose flags it has, too
				d.Expect(command.ParseFlags(strings.Fields(args))).To(Succeed(), line)
				_, _, err := l.read(command, command.Flags().Args())
				d.Expect(err).NotTo(HaveOccurred(), line)
				continue
			}
			if slices.Contains([]string{"invoke", "tasks", "check", "report"}, command.Name()) { // of what is not here
				parsed, rest, err := newConnection("x").command().Find(append([]string{command.Name()}, strings.Fields(args)...))
				d.Expect(err).NotTo(HaveOccurred(), line)
				d.Expect(parsed.ParseFlags(rest)).To(Succeed(), line)
				d.Expect(parsed.ValidateArgs(parsed.Flags().Args())).To(Succeed(), line)
				continue
			}
			d.in = strings.NewReader("y\n")
			d.runToFirstLine(append([]string{command.Name(), "--server", at}, strings.Fields(args)...))
		}
	}
	d.Expect(count).To(BeNumerically(">=", 20))
}

// TestErrorsSayWhatToDo, whatever answers.
func TestErrorsSayWhatToDo(t *testing.T) {
	status := func(code int, reason metav1.StatusReason, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"` + string(reason) + `","message":"` + message + `"}`))
		}
	}
	verbs := []string{"list", "list x", "describe x", "explain x", "explain runtime/x", "watch", "lint x", "logs x", "tasks x", "invoke x --payload {}", "stop x", "wake --state Stopped"}
	for says, answers := range map[string]http.HandlerFunc{
		"install them with `kubectl apply -f dist/install.yaml`":                            http.NotFound,
		`ask who runs it for the right that this names: agentsessions is forbidden: User x`: status(403, metav1.StatusReasonForbidden, "agentsessions is forbidden: User x"),
		"does not know you: log in again":                                                   status(401, metav1.StatusReasonUnauthorized, "Unauthorized"),
		"cannot be reached: see whether it runs":                                            nil,
	} {
		server := httptest.NewServer(answers)
		if answers == nil {
			server.Close()
		}
		for _, verb := range verbs {
			d := &desk{WithT: NewWithT(t), t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
			d.Expect(os.WriteFile(d.kubeconfig, nil, 0o600)).To(Succeed())
			_, _, err := d.run(append([]string{"--server", server.URL}, strings.Fields(verb)...)...)
			d.Expect(err).To(MatchError(ContainSubstring(says)), verb)
		}
		server.Close()
	}
}

// TestExplainWithoutEvents: who may not read them gets the rest, and is told so.
func TestExplainWithoutEvents(t *testing.T) {
	d := newDesk(t)
	d.fill()
	refuses := errors.New("events is forbidden")
	c := interceptor.NewClient(d.client, interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return refuses }})
	var out, said bytes.Buffer
	e := explainer{cluster: &cluster{WithWatch: c, namespace: "default", now: func() time.Time { return night }}, out: &out, err: &said}
	d.Expect(e.explain(t.Context(), "research")).To(Succeed())
	d.Expect(out.String()).To(ContainSubstring("It is Stopped since"))
	d.Expect(said.String()).To(Equal("warning: its Events cannot be read, so less is told: events is forbidden\n"))
}

// as runs the tool as a process by a name, and returns what it wrote and its exit code.
func as(t *testing.T, name, stdin string, env []string, args ...string) (text string, code int) {
	t.Helper()
	g := NewWithT(t)
	link := filepath.Join(t.TempDir(), name)
	g.Expect(os.Symlink(os.Args[0], link)).To(Succeed())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, link, args...)
	command.Env = append(append(os.Environ(), envRole+"=tool", "NO_COLOR=1"), env...)
	command.Stdin = strings.NewReader(stdin) // which it sees as a pipe
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

// TestExitCodes are kubectl's: 0, and 1 for whatever could not be done.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill()
	here := []string{"KUBECONFIG=" + d.kubeconfig}
	for _, row := range []struct {
		args string
		code int
		says string
	}{
		{"list", 0, "research"},
		{"list -n nobody", 0, "No sessions found in nobody namespace."},
		{"list nobody", 1, `error: there is no AgentSession "nobody"`},
		{"list idle nobody", 1, "idle"},
		{"list --no-such-flag", 1, "error: unknown flag: --no-such-flag"},
		{"explain research", 0, "It is Stopped"},
		{"explain nobody", 1, "There is no AgentSession of this name."},
		{"stop idle", 1, "error: 1 session would be asked to stop, and nobody can be asked here: give --yes"},
		{"stop idle --dry-run", 0, "would be asked to stop"},
		{"stop idle --yes", 0, "agentsession/idle asked to stop"},
		{"stop research", 0, "it has no compute"},
		{"--help", 0, "agentsession [command]"},
	} {
		text, code := as(t, "agentsession", "", here, strings.Fields(row.args)...)
		d.Expect(text).To(ContainSubstring(row.says), row.args)
		d.Expect(code).To(Equal(row.code), row.args)
	}
	text, code := as(t, "agentsession", "", []string{"KUBECONFIG=", "HOME=" + t.TempDir(), "KUBERNETES_SERVICE_HOST="}, "list")
	d.Expect(text).To(HavePrefix("error: no cluster is known: neither --kubeconfig nor $KUBECONFIG"))
	d.Expect(code).To(Equal(1))
}

// TestAReaderThatLeaves, as head does, ends a command without a word.
func TestAReaderThatLeaves(t *testing.T) {
	d := newDesk(t)
	d.fill()
	for _, args := range []string{"list", "list -o yaml", "describe busy", "explain busy", "watch busy", "--help"} {
		read, write, err := os.Pipe()
		d.Expect(err).NotTo(HaveOccurred())
		d.Expect(read.Close()).To(Succeed())
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		command := exec.CommandContext(ctx, os.Args[0], strings.Fields(args)...)
		command.Env = append(os.Environ(), envRole+"=tool", "KUBECONFIG="+d.kubeconfig)
		var said bytes.Buffer
		command.Stdout, command.Stderr = write, &said
		d.Expect(command.Run()).NotTo(Succeed())
		cancel()
		d.Expect(write.Close()).To(Succeed())
		d.Expect(command.ProcessState.Sys().(syscall.WaitStatus).Signal()).To(Equal(syscall.SIGPIPE), args)
		d.Expect(said.String()).To(BeEmpty(), args)
	}
}

// TestAsAPlugin: by its name as kubectl's plugin it says how it is called, and it
// completes names.
func TestAsAPlugin(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill()
	here := []string{"KUBECONFIG=" + d.kubeconfig}
	text, _ := as(t, plugin, "", here, "stop", "--help")
	d.Expect(text).To(And(ContainSubstring("Usage:\n  kubectl agentsession stop NAME"), ContainSubstring("  kubectl agentsession stop research\n"), ContainSubstring("--namespace string"), Not(ContainSubstring("--insecure"))))
	text, _ = as(t, "agentsession", "", here, "list", "--help")
	d.Expect(text).To(And(ContainSubstring("Usage:\n  agentsession list"), ContainSubstring("  agentsession list -A")))
	text, _ = as(t, "agentsession", "", here, "local", "--help")
	d.Expect(text).To(And(ContainSubstring("agentsession local"), Not(ContainSubstring("--kubeconfig string"))), "it talks to no cluster")
	d.Eventually(func() string { // who types does not wait long
		var code int
		text, code = as(t, completer, "", here, "explain", "busy", "")
		d.Expect(code).To(BeZero())
		return text
	}, patience).Should(MatchRegexp(`(?m)^idle\tIdle$`))
	d.Expect(text).NotTo(MatchRegexp(`(?m)^busy`), "it is there already")
}

// TestKubectlsFlags: those of a connection have kubectl's names.
func TestKubectlsFlags(t *testing.T) {
	g := NewWithT(t)
	out, err := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "options").Output()
	g.Expect(err).NotTo(HaveOccurred())
	ours := newConnection("x").command().PersistentFlags()
	theirs := regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z-]+)=`).FindAllStringSubmatch(string(out), -1)
	g.Expect(len(theirs)).To(BeNumerically(">", 20))
	for _, flag := range theirs {
		switch short, name := flag[1], flag[2]; name {
		case "cache-dir", "kuberc", "log-flush-frequency", "match-server-version", "profile", "profile-output", "v", "vmodule", "warnings-as-errors", "as-user-extra":
		default:
			g.Expect(ours.Lookup(name)).NotTo(BeNil(), name)
			g.Expect(ours.Lookup(name).Shorthand).To(Equal(short), name)
		}
	}
}

// TestTheTimeIsTheAPIServers: a countdown goes by the clock that stops go by. Where the API
// server does not say it, that is said.
func TestTheTimeIsTheAPIServers(t *testing.T) {
	g, said := NewWithT(t), night.AddDate(5, 0, 0)
	var dates []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = dates
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"AgentSessionList","apiVersion":"runtime.agentsession.dev/v1alpha1","metadata":{},"items":[{"metadata":{"name":"x"}},{"metadata":{"name":"y"}}]}`))
	}))
	t.Cleanup(server.Close)
	c := newConnection("x")
	command := c.command()
	c.rules.ExplicitPath = filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(os.WriteFile(c.rules.ExplicitPath, nil, 0o600)).To(Succeed())
	c.overrides.ClusterInfo.Server = server.URL
	var warned bytes.Buffer
	command.SetErr(&warned)
	to, err := c.connect(command)
	g.Expect(err).NotTo(HaveOccurred())
	find := func() {
		_, err = to.find(t.Context(), &selection{labels: labels.Everything()})
		g.Expect(err).NotTo(HaveOccurred())
	}
	find()
	g.Expect(to.now()).To(BeTemporally("~", time.Now(), time.Hour))
	g.Expect(warned.String()).To(Equal("warning: the API server has not said in time what time it is there: times and countdowns are by the clock of this machine\n"), "once")
	w := newWatcher(to, &selection{}, io.Discard, io.Discard)
	g.Expect(w.screen(200, 24)).To(ContainElement(ContainSubstring("by the clock of this machine")))
	dates = []string{said.Format(http.TimeFormat)}
	find()
	g.Expect(to.now()).To(BeTemporally("~", said, time.Hour))
	g.Expect(to.now().Location()).To(Equal(time.Local))
	g.Expect(w.screen(200, 24)).NotTo(ContainElement(ContainSubstring("by the clock of this machine")))
}
