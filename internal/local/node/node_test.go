package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
	"github.com/agentsession/agentsession/internal/local/node"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 2 * time.Minute

const (
	// envListen has this test's program be an agent that listens there.
	envListen = "NODE_TEST_LISTEN"
	// envFixed is the port at which it is looked for if it does not listen where it is told.
	envFixed = "NODE_TEST_FIXED"
	// envLeave has it leave its process group.
	envLeave = "NODE_TEST_LEAVE"
)

func TestMain(m *testing.M) {
	at := os.Getenv(envListen)
	if at == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(envLeave) != "" {
		if err := syscall.Setpgid(0, 0); err != nil {
			panic(err)
		}
	}
	err := http.ListenAndServe(os.ExpandEnv(at), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Getenv("NAME"))
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// laptop is an API and a node.
type laptop struct {
	*WithT
	t      *testing.T
	client client.WithWatch
}

func start(t *testing.T) *laptop {
	t.Helper()
	return startTo(t, func(node.Line) {}, false)
}

func startTo(t *testing.T, say func(node.Line), keep bool) *laptop {
	t.Helper()
	g := NewWithT(t)
	api, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	c, err := client.NewWithWatch(api.Config(), client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	n, err := node.New(c, say, keep)
	g.Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()
	t.Cleanup(func() {
		stop()
		g.Eventually(ended, patience).Should(Receive(BeNil()))
		g.Expect(api.Stop()).To(Succeed())
	})
	return &laptop{g, t, c}
}

// freePort is one that nobody listens at.
func freePort(t *testing.T) int32 {
	t.Helper()
	g := NewWithT(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	return int32(listener.Addr().(*net.TCPAddr).Port)
}

func (l *laptop) run(name string, port int32, env map[string]string, command ...string) *corev1.Pod {
	pod := l.pod(name, port, env, command...)
	l.Expect(l.client.Create(l.t.Context(), pod)).To(Succeed())
	return pod
}

func (l *laptop) pod(name string, port int32, env map[string]string, command ...string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: kubeapi.Namespace, Labels: map[string]string{v1alpha1.LabelSession: name}},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: new(int64(1)), Containers: []corev1.Container{{
			Name: "agent", Image: "process", Command: command, Ports: []corev1.ContainerPort{{ContainerPort: port}},
		}}},
	}
	if at := env[envFixed]; at != "" {
		fixed, err := strconv.ParseInt(at, 10, 32)
		l.Expect(err).NotTo(HaveOccurred())
		pod.Spec.Containers[0].Ports = append(pod.Spec.Containers[0].Ports, corev1.ContainerPort{Name: node.AgentPort, ContainerPort: int32(fixed)})
	}
	for key, value := range env {
		pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: key, Value: value})
	}
	return pod
}

func (l *laptop) becomes(pod *corev1.Pod, phase corev1.PodPhase) corev1.ContainerState {
	l.Eventually(func() (corev1.PodPhase, error) {
		err := l.client.Get(l.t.Context(), client.ObjectKeyFromObject(pod), pod)
		return pod.Status.Phase, err
	}, patience).Should(Equal(phase), func() string { return fmt.Sprint(pod.Status.ContainerStatuses) })
	return pod.Status.ContainerStatuses[0].State
}

func (l *laptop) goes(pod *corev1.Pod) {
	l.Expect(client.IgnoreNotFound(l.client.Delete(l.t.Context(), pod))).To(Succeed())
	l.Eventually(func() bool {
		return apierrors.IsNotFound(l.client.Get(l.t.Context(), client.ObjectKeyFromObject(pod), pod))
	}, patience).Should(BeTrue())
}

// answers waits until an agent is reached at its pod's address.
func (l *laptop) answers(pod *corev1.Pod, port int32, want string) {
	url := "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port)))
	l.Eventually(func() (string, error) {
		answer, err := http.Get(url)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return string(text), err
	}, patience).Should(Equal(want))
}

// TestEachPodHasThePortOfTheContract: although each agent listens at another.
func TestEachPodHasThePortOfTheContract(t *testing.T) {
	l := start(t)
	port := freePort(t)
	pods := map[string]*corev1.Pod{}
	for _, name := range []string{"one", "two"} {
		pods[name] = l.run(name, port, map[string]string{envListen: "127.0.0.1:$PORT", "NAME": name}, os.Args[0])
	}
	for name, pod := range pods {
		running := l.becomes(pod, corev1.PodRunning).Running
		l.Expect(running.StartedAt.IsZero()).To(BeFalse())
		l.Expect(pod.Spec.NodeName).To(Equal(node.Name))
		l.answers(pod, port, name)
	}
	for _, pod := range pods {
		l.goes(pod)
	}
}

// TestThePortOfAVersion: a pod whose container names none, as AWS's clients ask for it, has that
// of its runtime's version, the newest or one that was recorded.
func TestThePortOfAVersion(t *testing.T) {
	l := start(t)
	ports := []int32{freePort(t), freePort(t)}
	spec := func(port int32) v1alpha1.AgentRuntimeSpec {
		return v1alpha1.AgentRuntimeSpec{
			Template:              corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "process"}}}},
			ProtocolConfiguration: v1alpha1.ProtocolConfiguration{Port: port},
		}
	}
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "made", Namespace: kubeapi.Namespace}, Spec: spec(ports[0])}
	l.Expect(l.client.Create(t.Context(), agent)).To(Succeed())
	old, err := json.Marshal(agent.Spec)
	l.Expect(err).NotTo(HaveOccurred())
	agent.Spec.ProtocolConfiguration.Port = ports[1]
	l.Expect(l.client.Update(t.Context(), agent)).To(Succeed())
	l.Expect(l.client.Create(t.Context(), &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: "made-1", Namespace: kubeapi.Namespace}, Data: runtime.RawExtension{Raw: old}, Revision: 1,
	})).To(Succeed())
	for i, port := range ports {
		pod := l.pod(fmt.Sprint("version-", i+1), 0, map[string]string{envListen: "127.0.0.1:$PORT", "NAME": fmt.Sprint(i)}, os.Args[0])
		pod.Spec.Containers[0].Ports = nil
		pod.Labels[v1alpha1.LabelRuntime], pod.Labels[v1alpha1.LabelVersion] = agent.Name, fmt.Sprint(i+1)
		l.Expect(l.client.Create(t.Context(), pod)).To(Succeed())
		l.becomes(pod, corev1.PodRunning)
		l.answers(pod, port, fmt.Sprint(i))
	}
}

// TestAnAgentThatInsists: on the port of the contract, whatever it is told.
func TestAnAgentThatInsists(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "[::1]", "[::]"} {
		t.Run(host, func(t *testing.T) {
			at := freePort(t)
			l := start(t)
			port := freePort(t)
			pod := l.run("insists", port, map[string]string{envListen: fmt.Sprintf("%s:%d", host, at), envFixed: strconv.Itoa(int(at)), "NAME": "here"}, os.Args[0])
			l.becomes(pod, corev1.PodRunning)
			l.answers(pod, port, "here")
		})
	}
}

// TestSessionsOfAnAgentThatInsists: two of them are not one agent's.
func TestSessionsOfAnAgentThatInsists(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		t.Run(host, func(t *testing.T) {
			at := freePort(t)
			l := start(t)
			port := freePort(t)
			one := func(name string) *corev1.Pod {
				// Like a server that starts its workers anew, it stays though it cannot listen.
				return l.run(name, port, map[string]string{envListen: fmt.Sprintf("%s:%d", host, at), envFixed: strconv.Itoa(int(at)), "NAME": name}, "sh", "-c", os.Args[0]+"; sleep 1000")
			}
			pods := []*corev1.Pod{one("one"), one("two")}
			l.Eventually(func(g Gomega) {
				failed := 0
				for _, pod := range pods {
					g.Expect(l.client.Get(l.t.Context(), client.ObjectKeyFromObject(pod), pod)).To(Succeed())
					if pod.Status.Phase == corev1.PodFailed {
						failed++
						g.Expect(pod.Status.ContainerStatuses[0].State.Terminated.Message).To(ContainSubstring(fmt.Sprintf("the agent of another session listens at port %d", at)))
					}
				}
				g.Expect(failed).To(BeNumerically(">=", 1))
			}, patience).Should(Succeed())
		})
	}
}

// TestAPortThatIsTaken: nobody takes another program for the agent.
func TestAPortThatIsTaken(t *testing.T) {
	l := start(t)
	other, err := net.Listen("tcp", "0.0.0.0:0")
	l.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = other.Close() })
	port := int32(other.Addr().(*net.TCPAddr).Port)
	pod := l.run("late", port, map[string]string{envListen: "127.0.0.1:$PORT", "NAME": "late"}, os.Args[0])
	l.Expect(l.becomes(pod, corev1.PodFailed).Terminated.Message).To(ContainSubstring(fmt.Sprintf("another program has taken port %d", port)))
}

// TestEnds: as a kubelet tells them.
func TestEnds(t *testing.T) {
	l := start(t)
	failed := l.becomes(l.run("fails", 1, nil, "sh", "-c", "echo its last words; exit 7"), corev1.PodFailed).Terminated
	l.Expect(*failed).To(And(HaveField("ExitCode", BeEquivalentTo(7)), HaveField("Reason", "Error"), HaveField("Message", "its last words\n")))
	done := l.becomes(l.run("succeeds", 1, nil, "sh", "-c", "exit 0"), corev1.PodSucceeded).Terminated
	l.Expect(*done).To(And(HaveField("ExitCode", BeEquivalentTo(0)), HaveField("Reason", "Completed")))
	killed := l.becomes(l.run("killed", 1, nil, "sh", "-c", "kill -9 $$"), corev1.PodFailed).Terminated
	l.Expect(killed.ExitCode).To(BeEquivalentTo(137))
	absent := l.becomes(l.run("absent", 1, nil, "no-such-command"), corev1.PodFailed).Terminated
	l.Expect(*absent).To(And(HaveField("ExitCode", BeEquivalentTo(128)), HaveField("Reason", "StartError"), HaveField("Message", ContainSubstring("no-such-command"))))
}

// TestAnAgentWhoseOutputNobodyReads ends all the same.
func TestAnAgentWhoseOutputNobodyReads(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	l := startTo(t, func(node.Line) { <-never }, false)
	flood := filepath.Join(t.TempDir(), "flood")
	pod := l.run("floods", 1, map[string]string{"FLOOD": flood}, "sh", "-c", `seq 100000; : >"$FLOOD"; exec sleep 1000`)
	l.becomes(pod, corev1.PodRunning)
	l.Eventually(flood, patience).Should(BeAnExistingFile())
	l.goes(pod)
}

// TestAFileThatTakesNothing keeps no session from its end.
func TestAFileThatTakesNothing(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	l := startTo(t, func(node.Line) { <-never }, true)
	pod := l.run("floods", 1, nil, "sh", "-c", `seq 100000; exec sleep 1000`)
	l.becomes(pod, corev1.PodRunning)
	l.goes(pod)
}

// TestTheEndOfWhatAgentsWrite is shown, also of one that ends at once, and of what another
// program holds open.
func TestTheEndOfWhatAgentsWrite(t *testing.T) {
	var mu sync.Mutex
	last := map[string]string{}
	l := startTo(t, func(line node.Line) {
		mu.Lock()
		defer mu.Unlock()
		last[line.Session] = line.Text
	}, true)
	l.becomes(l.run("many", 1, nil, "sh", "-c", "seq 50000"), corev1.PodSucceeded)
	l.becomes(l.run("held", 1, nil, "sh", "-c", "setsid sleep 3 & echo done"), corev1.PodSucceeded)
	l.Eventually(func() map[string]string {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(last)
	}, patience).Should(Equal(map[string]string{"many": "50000", "held": "done"}))
}

// TestADeafProcess: one that does not end when it is told to is killed after its grace,
// with what it started.
func TestADeafProcess(t *testing.T) {
	l := start(t)
	deaf := filepath.Join(t.TempDir(), "deaf")
	pod := l.run("deaf", 1, map[string]string{"DEAF": deaf}, "sh", "-c", `trap '' TERM; : >"$DEAF"; while :; do sleep 1000; done`)
	l.becomes(pod, corev1.PodRunning)
	l.Eventually(func() error { _, err := os.Stat(deaf); return err }, patience).Should(Succeed())
	begun := time.Now()
	l.goes(pod)
	l.Expect(time.Since(begun)).To(BeNumerically(">=", time.Second), "it had its grace")
}

// TestAnAgentOnIPv6 is found where it listens, as one that is told localhost may.
func TestAnAgentOnIPv6(t *testing.T) {
	l := start(t)
	port := freePort(t)
	pod := l.run("six", port, map[string]string{envListen: "[::1]:$PORT", "NAME": "six"}, os.Args[0])
	l.becomes(pod, corev1.PodRunning)
	l.answers(pod, port, "six")
}

// TestWhatAgentsWrite: each line by its stream, also one that has no end while the agent
// lives.
func TestWhatAgentsWrite(t *testing.T) {
	said := make(chan node.Line, 100)
	l := startTo(t, func(line node.Line) { said <- line }, false)
	l.run("says", 1, nil, "sh", "-c", `echo out; echo err >&2; sleep 1; printf 'a question? '; exec sleep 1000`)
	var lines []node.Line
	l.Eventually(func() []node.Line {
		select {
		case line := <-said:
			lines = append(lines, line)
		default:
		}
		return lines
	}, patience).Should(ConsistOf(node.Line{"says", "says", node.Stdout, "out", 0}, node.Line{"says", "says", node.Stderr, "err", 0}, node.Line{"says", "says", node.Stdout, "a question? ", 0}))
}

// TestAProgramIsFound where a shell in its folder, with its environment, finds it.
func TestAProgramIsFound(t *testing.T) {
	l := start(t)
	dir := t.TempDir()
	l.Expect(os.WriteFile(filepath.Join(dir, "tool-of-its-own"), []byte("#!/bin/sh\nexit 0\n"), 0o700)).To(Succeed())
	for name, one := range map[string]struct {
		dir, path, command string
		phase              corev1.PodPhase
	}{
		"beside":             {dir, "", "./tool-of-its-own", corev1.PodSucceeded},
		"on-path":            {"", dir, "tool-of-its-own", corev1.PodSucceeded},
		"on-path-from-there": {dir, ".", "tool-of-its-own", corev1.PodSucceeded},
		"nowhere":            {dir, "", "tool-of-its-own", corev1.PodFailed},
		"no-place":           {dir + "/absent", "", "sh", corev1.PodFailed},
	} {
		pod := l.pod(name, 1, nil, one.command)
		pod.Spec.Containers[0].WorkingDir = one.dir
		if one.path != "" {
			pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PATH", Value: one.path}}
		}
		l.Expect(l.client.Create(t.Context(), pod)).To(Succeed())
		l.becomes(pod, one.phase)
	}
}

// TestNamesOfVariables: an agent has those too that no shell can have.
func TestNamesOfVariables(t *testing.T) {
	said := make(chan node.Line, 1000)
	l := startTo(t, func(line node.Line) { said <- line }, false)
	l.becomes(l.run("names", 1, map[string]string{"a.b-c": "kept", "A": "too"}, "env"), corev1.PodSucceeded)
	var lines []string
	l.Eventually(func() []string {
		select {
		case line := <-said:
			lines = append(lines, line.Text)
		default:
		}
		return lines
	}, patience).Should(ContainElements("a.b-c=kept", "A=too"))
}

// TestAGroupOfItsOwn: an agent that leaves its process group, as some do, is found and ends
// like others.
func TestAGroupOfItsOwn(t *testing.T) {
	l := start(t)
	port, fixed := freePort(t), freePort(t)
	pod := l.run("leaves", port, map[string]string{
		envListen: fmt.Sprintf("127.0.0.1:%d", fixed), envFixed: strconv.Itoa(int(fixed)), envLeave: "yes", "NAME": "gone its way",
	}, os.Args[0])
	l.becomes(pod, corev1.PodRunning)
	l.answers(pod, port, "gone its way")
	l.goes(pod)
}
