package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

var update = flag.Bool("update", false, "write the golden texts anew")

// hand is a cluster without an operator, and the commands on it.
type hand struct {
	*WithT
	api client.Client
}

func newHand(t *testing.T) *hand {
	t.Helper()
	g := NewWithT(t)
	server, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(server.Stop()).To(Succeed()) })
	api, err := client.New(server.Config(), client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	text, err := server.Kubeconfig()
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(os.WriteFile(path, text, 0o600)).To(Succeed())
	t.Setenv("KUBECONFIG", path)
	return &hand{WithT: g, api: api}
}

// session is one in a state, as an operator would have it.
func (h *hand) session(name string, state v1alpha1.SessionState, changes ...func(*v1alpha1.AgentSession)) {
	s := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeapi.Namespace, Name: name, Labels: map[string]string{"team": name[:1]}},
		Spec:       v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "echo"}},
	}
	h.Expect(h.api.Create(context.Background(), s)).To(Succeed())
	now := metav1.Now()
	s.Status.State, s.Status.Activation = state, 1
	s.Status.Pod = &v1alpha1.PodStatus{Name: name + "-1", UID: "u", IP: "10.0.0.1", CreatedAt: now}
	s.Status.PingStatus, s.Status.PingStatusSince, s.Status.HealthyAt = "Healthy", &now, &now
	if state == v1alpha1.StateStopped {
		s.Status.Pod, s.Status.PingStatus = nil, ""
		s.Status.LastTermination = &v1alpha1.Termination{Reason: v1alpha1.StopIdleTimeout, Message: "No work", Activation: 1, At: &now, DueAt: &now}
	}
	for _, change := range changes {
		change(s)
	}
	h.Expect(h.api.Status().Update(context.Background(), s)).To(Succeed())
}

func (h *hand) spec(name string) v1alpha1.AgentSessionSpec {
	var s v1alpha1.AgentSession
	h.Expect(h.api.Get(context.Background(), client.ObjectKey{Namespace: kubeapi.Namespace, Name: name}, &s)).To(Succeed())
	return s.Spec
}

// run runs a command, with what is typed.
func (h *hand) run(typed string, args ...string) (out, said string, err error) {
	var stdout, stderr bytes.Buffer
	command := newCommand()
	command.SetArgs(args)
	command.SetIn(strings.NewReader(typed))
	command.SetOut(&stdout)
	command.SetErr(&stderr)
	err = command.ExecuteContext(context.Background())
	return stdout.String(), stderr.String(), err
}

// busySince has a session's agent be busy for a while.
func busySince(d time.Duration) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) {
		s.Status.PingStatus, s.Status.PingStatusSince = "HealthyBusy", new(metav1.NewTime(time.Now().Add(-d)))
	}
}

func TestStopAndWake(t *testing.T) {
	h := newHand(t)
	h.session("a-idle", v1alpha1.StateIdle)
	h.session("a-busy", v1alpha1.StateActive, busySince(3*time.Hour))
	h.session("b-busy", v1alpha1.StateActive, busySince(time.Minute))
	h.session("b-stopped", v1alpha1.StateStopped)

	out, _, err := h.run("", "stop", "a-idle", "b-stopped", "--dry-run")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out).To(Equal("default/a-idle would be told to stop\ndefault/b-stopped is left: it is stopped\n"))
	h.Expect(h.spec("a-idle").DesiredState).To(Equal(v1alpha1.DesiredRunning))

	_, said, err := h.run("no\n", "stop", "--busy-longer-than", "2h")
	h.Expect(err).To(MatchError("nothing was done"))
	h.Expect(said).To(Equal("default/a-busy, Active\nstop these 1 sessions? (yes/no) "))
	_, _, err = h.run("", "stop", "--busy-longer-than", "2h")
	h.Expect(err).To(MatchError(ContainSubstring("--yes asks nothing")))
	h.Expect(h.spec("a-busy").DesiredState).To(Equal(v1alpha1.DesiredRunning))

	out, _, err = h.run("yes\n", "stop", "--busy-longer-than", "2h")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out).To(Equal("default/a-busy is told to stop\n"))
	h.Expect(h.spec("a-busy").DesiredState).To(Equal(v1alpha1.DesiredStopped))
	h.Expect(h.spec("b-busy").DesiredState).To(Equal(v1alpha1.DesiredRunning))

	out, _, err = h.run("", "stop", "-l", "team=b", "--yes")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out).To(Equal("default/b-busy is told to stop\ndefault/b-stopped is left: it is stopped\n"))

	out, _, err = h.run("", "wake", "b-stopped", "a-idle")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out).To(Equal("default/b-stopped is woken\ndefault/a-idle is left: it runs\n"))
	h.Expect(h.spec("b-stopped").Activation).To(BeEquivalentTo(2))
	h.Expect(h.spec("a-idle").Activation).To(BeZero())
	out, _, err = h.run("", "wake", "a-busy")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out).To(Equal("default/a-busy is woken\n"), "it was told to stop")
	h.Expect(h.spec("a-busy")).To(And(HaveField("DesiredState", v1alpha1.DesiredRunning), HaveField("Activation", BeEquivalentTo(2))))
}

func TestBadCommands(t *testing.T) {
	h := newHand(t)
	h.session("one", v1alpha1.StateIdle)
	for words, says := range map[string]string{
		"stop":                           "which sessions?",
		"stop -A":                        "which sessions?",
		"stop one --state Idle":          "not by both",
		"stop one -A":                    "not by both",
		"stop none":                      `"none" not found`,
		"stop --busy-longer-than -1h":    "must not be negative",
		"list --state Asleep":            `--state is "Asleep": it must be Starting, Active, Idle, Stopping or Stopped`,
		"list -o table":                  `--output is "table": it must be wide, json, yaml or name`,
		"list -l a==b==c":                `--selector is "a==b==c"`,
		"list extra":                     `unknown command "extra"`,
		"explain none":                   `"none" not found`,
		"explain pod/x":                  `"pod/x" is neither session/NAME nor runtime/NAME`,
		"explain runtime/none":           `"none" not found`,
		"list --kubeconfig=/nonexistent": "read the kubeconfig",
		"list --context=none":            `context "none" does not exist`,
	} {
		_, _, err := h.run("", strings.Fields(words)...)
		h.Expect(err).To(MatchError(ContainSubstring(says)), words)
	}
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	_, _, err := h.run("", "list")
	h.Expect(err).To(MatchError(ContainSubstring("no cluster is known: set KUBECONFIG")))
}

func TestListAndExplain(t *testing.T) {
	h := newHand(t)
	out, said, err := h.run("", "list")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out + said).To(Equal("No sessions found.\n"))
	h.session("a-idle", v1alpha1.StateIdle)
	h.session("b-stopped", v1alpha1.StateStopped)
	out, _, err = h.run("", "list", "--state", "Stopped", "--runtime", "echo")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out).To(MatchRegexp(`^NAME +RUNTIME +STATE +PING +SINCE +NEXT +WHY\nb-stopped +echo +Stopped +- +\d+s +- +IdleTimeout\n$`))
	out, _, err = h.run("", "list", "-o", "name", "-A")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out).To(Equal("agentsession.runtime.agentsession.dev/a-idle\nagentsession.runtime.agentsession.dev/b-stopped\n"))
	out, said, err = h.run("", "list", "--runtime", "another")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(out + said).To(Equal("No sessions found.\n"))

	h.Expect(h.api.Create(t.Context(), &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeapi.Namespace, Name: "e"}, InvolvedObject: corev1.ObjectReference{Kind: "AgentSession", Namespace: kubeapi.Namespace, Name: "gone"},
		Reason: "Stopped", Message: "Activation 1 is gone", LastTimestamp: metav1.Now(), Type: "Normal",
	})).To(Succeed())
	for name, says := range map[string]string{
		"a-idle": "AgentSession default/a-idle: Idle\n", "session/b-stopped": "Reason: IdleTimeout", "gone": "Stopped: Activation 1 is gone.\n",
	} {
		out, _, err = h.run("", "explain", name)
		h.Expect(err).NotTo(HaveOccurred())
		h.Expect(out).To(ContainSubstring(says))
	}
}

// TestWatch: in a pipe it is a line for each change, and ends when it is told to.
func TestWatch(t *testing.T) {
	h := newHand(t)
	h.session("one", v1alpha1.StateIdle)
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	command := newCommand()
	command.SetArgs([]string{"watch"})
	command.SetOut(write)
	ended := make(chan error, 1)
	go func() {
		ended <- command.ExecuteContext(ctx)
		_ = write.Close()
	}()
	lines := bufio.NewScanner(read)
	says := func(what string) {
		h.Expect(lines.Scan()).To(BeTrue())
		h.Expect(lines.Text()).To(MatchRegexp(`^\d\d:\d\d:\d\d  ` + what + `$`))
	}
	says("default/one  Idle")
	h.session("two", v1alpha1.StateStopped)
	says("default/two  Stopped: IdleTimeout, No work. Its next call starts it again")
	h.Expect(h.api.Delete(t.Context(), &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: kubeapi.Namespace, Name: "one"}})).To(Succeed())
	says("default/one  deleted")
	stop()
	h.Eventually(ended, patience).Should(Receive(BeNil()))
}

// TestFit: a screen shows no more than it has room for.
func TestFit(t *testing.T) {
	g := NewWithT(t)
	g.Expect(fit("ab\ncdefgh\nü€xyz\n\nlast\n", 4, 4)).To(Equal("ab\ncdef\nü€xy\n"))
	g.Expect(fit("ab\n", 80, 24)).To(Equal("ab"))
	g.Expect(fit("", 80, 24)).To(BeEmpty())
}

// TestPrintedLists: for eyes, and for programs.
func TestPrintedLists(t *testing.T) {
	now := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	at := func(seconds int) *metav1.Time {
		return new(metav1.NewTime(now.Add(time.Duration(seconds) * time.Second)))
	}
	list := func() *v1alpha1.AgentSessionList {
		of := func(name string, status v1alpha1.AgentSessionStatus) v1alpha1.AgentSession {
			s := v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, CreationTimestamp: *at(-86400)}, Status: status}
			if name != "research" {
				s.Spec.RuntimeRef = &v1alpha1.RuntimeRef{Name: "echo"}
			}
			return s
		}
		pod := &v1alpha1.PodStatus{Name: "p-3", Node: "worker-2", CreatedAt: *at(-600)}
		return &v1alpha1.AgentSessionList{Items: []v1alpha1.AgentSession{
			of("asked", v1alpha1.AgentSessionStatus{}),
			of("dead", v1alpha1.AgentSessionStatus{State: v1alpha1.StateStopped, Activation: 7, LastTermination: &v1alpha1.Termination{Reason: v1alpha1.StopAgentExited, At: at(-7200)}}),
			of("echo-1", v1alpha1.AgentSessionStatus{
				State: v1alpha1.StateIdle, Activation: 3, PingStatus: "Healthy", Pod: pod, Usage: &v1alpha1.Usage{CountedAt: *at(-30)},
				NextStop: &v1alpha1.NextStop{At: *at(870), Reason: v1alpha1.StopIdleTimeout}, Conditions: []metav1.Condition{{Type: v1alpha1.ConditionPingContract, Status: metav1.ConditionFalse, Reason: "TimestampAdvances"}},
			}),
			of("research", v1alpha1.AgentSessionStatus{
				State: v1alpha1.StateActive, Activation: 1, PingStatus: "HealthyBusy", Pod: pod, Usage: &v1alpha1.Usage{CountedAt: *at(-90)},
				NextStop: &v1alpha1.NextStop{At: *at(28000), Reason: v1alpha1.StopMaxLifetime},
			}),
			of("starts", v1alpha1.AgentSessionStatus{
				State: v1alpha1.StateStarting, Activation: 1, Pod: &v1alpha1.PodStatus{Name: "starts-1", CreatedAt: *at(-12)},
				NextStop: &v1alpha1.NextStop{At: *at(588), Reason: v1alpha1.StopStartFailed}, Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "ImagePullFailed"}},
			}),
		}}
	}
	for _, row := range []struct {
		format string
		all    bool
	}{{"", false}, {"", true}, {"wide", false}, {"json", false}, {"yaml", false}, {"name", false}} {
		g := NewWithT(t)
		var out bytes.Buffer
		g.Expect(printList(&out, list(), row.format, row.all, now)).To(Succeed())
		name := "list"
		if row.format != "" {
			name += "-" + row.format
		}
		if row.all {
			name += "-all"
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			g.Expect(os.MkdirAll("testdata", 0o755)).To(Succeed())
			g.Expect(os.WriteFile(path, out.Bytes(), 0o644)).To(Succeed())
		}
		golden, err := os.ReadFile(path)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out.String()).To(Equal(string(golden)))
	}
}

// TestExamples: what --help shows is taken as it stands there.
func TestExamples(t *testing.T) {
	h := newHand(t)
	h.session("research", v1alpha1.StateIdle)
	h.Expect(h.api.Create(t.Context(), &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeapi.Namespace, Name: "echo"},
		Spec:       v1alpha1.AgentRuntimeSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "x"}}}}},
	})).To(Succeed())
	tried := 0
	for _, command := range newCommand().Commands() {
		for line := range strings.Lines(command.Example) {
			words := strings.Fields(line)
			h.Expect(words[0]).To(Equal("agentsession"))
			if command.Name() == "local" || command.Name() == "watch" {
				continue // they do not end: local_test.go, TestWatch
			}
			words = strings.Fields(strings.Replace(strings.Join(words[1:], " "), " -n team", "", 1))
			_, _, err := h.run("yes\n", words...)
			h.Expect(err).NotTo(HaveOccurred(), line)
			tried++
		}
	}
	h.Expect(tried).To(BeNumerically(">=", 8))
}
