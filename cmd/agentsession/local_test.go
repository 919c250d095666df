package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 2 * time.Minute

// envRole has this test's program be another: the tool itself, or an agent.
const envRole = "AGENTSESSION_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case "tool":
		if err := os.Setenv(envRole, "agent"); err != nil { // which its processes inherit
			panic(err)
		}
		main()
	case "agent":
		if err := agent(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// order is what an agent is asked to do.
type order struct {
	Do string `json:"do"`
}

// state is what it says of itself.
type state struct {
	PID    int    `json:"pid"`
	Child  int    `json:"child,omitempty"`
	Calls  int    `json:"calls"`
	Memory string `json:"memory"` // where temporary files go
	Word   string `json:"word"`   // of its environment
	Dir    string `json:"dir"`
	Folder string `json:"folder"` // of its session's storage
	Kept   string `json:"kept"`   // what a file there has
}

// agent is one that counts its calls, and is busy when it is told to.
func agent() error {
	app := agentruntime.New(agentruntime.Options{Addr: "127.0.0.1:" + os.Getenv("PORT")})
	var mu sync.Mutex
	calls, task := 0, agentruntime.TaskID(0)
	app.Entrypoint(agentruntime.JSON(func(_ context.Context, o order) (state, error) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		s := state{PID: os.Getpid(), Calls: calls, Memory: os.TempDir(), Word: os.Getenv("WORD")}
		s.Dir, _ = os.Getwd()
		if s.Folder = os.Getenv(contract.EnvStorage); s.Folder != "" {
			kept, _ := os.ReadFile(filepath.Join(s.Folder, "kept"))
			s.Kept = string(kept)
		}
		switch o.Do {
		case "work":
			task = app.AddAsyncTask("work", nil)
		case "keep":
			return s, os.WriteFile(filepath.Join(s.Folder, "kept"), []byte("written before the stop"), 0o600)
		case "rest":
			app.CompleteAsyncTask(task)
		case "fork":
			child := exec.Command("sleep", "1000")
			if err := child.Start(); err != nil {
				return s, err
			}
			s.Child = child.Process.Pid
		case "say":
			fmt.Print("what it says\n\x1b[31mto its end")
		case "exit":
			fmt.Println("these are its last words")
			os.Exit(7)
		}
		return s, nil
	}))
	return app.Run(context.Background())
}

// tool is `agentsession local` in a process of its own.
type tool struct {
	*WithT
	command  *exec.Cmd
	url      string
	arn      string
	sessions client.Client

	kubeconfig string
	first      local.Event // with -o json
	sign       func(*http.Request, []byte)

	mu  sync.Mutex
	out bytes.Buffer
}

var (
	endpointLine = regexp.MustCompile(`export AWS_ENDPOINT_URL_BEDROCK_AGENTCORE=(http://127\.0\.0\.1:\d+)`)
	arnLine      = regexp.MustCompile(`agentRuntimeArn: (arn:aws:bedrock-agentcore:\S+)`)
)

func start(t *testing.T, flags ...string) *tool {
	t.Helper()
	return startWith(t, []string{os.Args[0]}, flags...)
}

func startWith(t *testing.T, agent []string, flags ...string) *tool {
	t.Helper()
	return run(t, append(append(flags, "--"), agent...)...)
}

// run runs `agentsession local` until it says where everything is.
func run(t *testing.T, args ...string) *tool {
	t.Helper()
	g := NewWithT(t)
	kubeconfig := t.TempDir() + "/kubeconfig"
	command := exec.Command(os.Args[0], append([]string{"local", "--write-kubeconfig", kubeconfig}, args...)...)
	command.Env = append(os.Environ(), envRole+"=tool")
	l := &tool{WithT: g, command: command, kubeconfig: kubeconfig}
	read, write := io.Pipe()
	command.Stdout, command.Stderr = write, write
	g.Expect(command.Start()).To(Succeed())
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()
		_ = write.Close()
		if t.Failed() {
			t.Log(l.said())
		}
	})
	go func() {
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			l.mu.Lock()
			l.out.WriteString(scanner.Text() + "\n")
			l.mu.Unlock()
		}
	}()
	g.Eventually(l.begun, patience).Should(BeTrue())
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	l.sessions, err = client.New(config, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	return l
}

// begun tells whether the tool has said where everything is.
func (l *tool) begun() bool {
	said := l.said()
	if line, _, whole := strings.Cut(said, "\n"); whole && json.Unmarshal([]byte(line), &l.first) == nil {
		l.url, l.arn = l.first.Endpoint, l.first.Runtimes[0].AgentRuntimeArn
		return true
	}
	endpoint, arn := endpointLine.FindStringSubmatch(said), arnLine.FindStringSubmatch(said)
	if endpoint == nil || arn == nil || !strings.Contains(said, "kubeconfig: "+l.kubeconfig+"\n") {
		return false
	}
	l.url, l.arn = endpoint[1], arn[1]
	return true
}

func (l *tool) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

// try calls a session as AWS's clients do.
func (l *tool) try(session, do string) (int, state, error) {
	text, err := json.Marshal(order{do})
	if err != nil {
		return 0, state{}, err
	}
	r, err := http.NewRequest(http.MethodPost, l.url+"/runtimes/"+url.PathEscape(l.arn)+"/invocations", bytes.NewReader(text))
	if err != nil {
		return 0, state{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(contract.HeaderSessionID, id(session))
	if l.sign != nil {
		l.sign(r, text)
	}
	answer, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		return 0, state{}, err
	}
	defer answer.Body.Close()
	var s state
	if answer.StatusCode == http.StatusOK {
		err = json.NewDecoder(answer.Body).Decode(&s)
	}
	return answer.StatusCode, s, err
}

func (l *tool) call(session, do string) (s state) {
	l.Eventually(func() (code int, err error) {
		code, s, err = l.try(session, do)
		return code, err
	}, patience).Should(Equal(http.StatusOK))
	return s
}

// id is a session's, as long as AgentCore wants it.
func id(session string) string { return session + "-" + strings.Repeat("0", 40) }

// status is that of a session, by the API that kubectl sees.
func (l *tool) status(session string) v1alpha1.AgentSessionStatus {
	return l.session(session).Status
}

func (l *tool) name(session string) string { return l.session(session).Name }

func (l *tool) session(session string) v1alpha1.AgentSession {
	var list v1alpha1.AgentSessionList
	l.Expect(l.sessions.List(context.Background(), &list, client.MatchingFields{"spec.runtimeSessionId": id(session)})).To(Succeed())
	if len(list.Items) != 1 {
		return v1alpha1.AgentSession{}
	}
	return list.Items[0]
}

func (l *tool) becomes(session string, state v1alpha1.SessionState) {
	l.Eventually(func() v1alpha1.SessionState { return l.status(session).State }, patience).Should(Equal(state))
}

// lives tells whether a process does. One that has ended and that nobody waits for does
// not.
func lives(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !os.IsNotExist(err)
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(fields, "Z")
}

// TestALifeOnALaptop: a session is busy, idle, stopped, and woken as another process.
func TestALifeOnALaptop(t *testing.T) {
	t.Parallel()
	l := start(t, "--time-scale", "20", "--lifecycle", "idle=60,max=28800")
	first := l.call("life", "work")
	other := l.call("other", "")
	l.Expect(other.PID).NotTo(Equal(first.PID), "each session is a process of its own")
	l.Expect(other.Memory).NotTo(Equal(first.Memory), "and has temporary files of its own")
	l.becomes("other", v1alpha1.StateStopped)
	l.Expect(l.status("life").State).To(Equal(v1alpha1.StateActive), "its agent says HealthyBusy")
	again := l.call("life", "rest")
	l.Expect(again.PID).To(Equal(first.PID))
	l.Expect(again.Calls).To(Equal(2), "it remembers")
	l.becomes("life", v1alpha1.StateStopped)
	l.Expect(l.status("life").LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	l.Expect(lives(first.PID)).To(BeFalse())
	woken := l.call("life", "")
	l.Expect(woken.PID).NotTo(Equal(first.PID))
	l.Expect(woken.Calls).To(Equal(1), "its memory is new")
	l.Expect(l.status("life").Activation).To(BeEquivalentTo(2))
	name := l.name("life")
	l.Eventually(l.said, patience).Should(MatchRegexp(
		`(?s)` + name + ` \(` + id("life") + `\)  Starting\n.*` + name + `  Active: its agent says HealthyBusy\n.*` +
			name + `  Idle: IdleTimeout at .*` + name + `  Stopped: IdleTimeout.*` + name + `  Starting again \(activation 2\)`))
}

// TestTopOnALaptop shows what the processes of a session consume.
func TestTopOnALaptop(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.call("one", "")
	var out, said bytes.Buffer
	c := newConnection("agentsession").command()
	c.SetArgs([]string{"--kubeconfig", l.kubeconfig, "top", "-o", "json"})
	c.SetOut(&out)
	c.SetErr(&said)
	l.Expect(c.Execute()).To(Succeed())
	var b usageTable
	l.Expect(json.Unmarshal(out.Bytes(), &b)).To(Succeed())
	l.Expect(b.Items).To(HaveLen(1))
	l.Expect(b.Items[0].Name).To(Equal(l.name("one")))
	if runtime.GOOS != "linux" {
		l.Expect(b.UsageUnknown).To(ContainSubstring("no /proc"))
		return
	}
	l.Expect(b.UsageUnknown).To(BeEmpty())
	l.Expect(b.Items[0].Usage.MemoryMiB).To(BeNumerically(">", 5), "a program of Go")
}

// TestStorageOfASession: what an agent writes there outlives its process, and goes with its
// session, or with the tool.
func TestStorageOfASession(t *testing.T) {
	t.Parallel()
	l := start(t, "--time-scale", "20", "--lifecycle", "idle=60,max=28800", "--storage", "/mnt/data")
	first := l.call("life", "keep")
	l.Expect(first.Folder).To(BeADirectory())
	l.becomes("life", v1alpha1.StateStopped)
	woken := l.call("life", "")
	l.Expect(woken.PID).NotTo(Equal(first.PID))
	l.Expect(woken.Folder).To(Equal(first.Folder))
	l.Expect(woken.Kept).To(Equal("written before the stop"))
	other := l.call("other", "keep")
	l.Expect(other.Folder).NotTo(Equal(first.Folder), "each session has its own")
	l.Expect(other.Kept).To(BeEmpty())

	var list v1alpha1.AgentSessionList
	l.Expect(l.sessions.List(t.Context(), &list, client.MatchingFields{"spec.runtimeSessionId": id("life")})).To(Succeed())
	l.Expect(l.sessions.Delete(t.Context(), &list.Items[0])).To(Succeed())
	l.Eventually(first.Folder, patience).ShouldNot(BeADirectory())
	l.Expect(other.Folder).To(BeADirectory())
	l.Expect(l.command.Process.Signal(syscall.SIGTERM)).To(Succeed())
	l.Eventually(other.Folder, patience).ShouldNot(BeADirectory())
}

// TestAnAgentThatExits: its session says how it ended, and its last words.
func TestAnAgentThatExits(t *testing.T) {
	l := start(t, "--time-scale", "20")
	l.call("exits", "")
	code, _, err := l.try("exits", "exit")
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(code).To(BeNumerically(">=", 400))
	l.becomes("exits", v1alpha1.StateStopped)
	l.Expect(*l.status("exits").LastTermination).To(And(
		HaveField("Reason", v1alpha1.StopAgentExited), HaveField("Message", And(ContainSubstring("7"), ContainSubstring("these are its last words")))))
	l.Eventually(l.said, patience).Should(ContainSubstring(l.name("exits") + " | these are its last words\n"))
}

// TestNothingIsLeft: neither of the tool that is told to end, nor of one that is killed.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]syscall.Signal{"told": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			l := start(t)
			a, b := l.call("a", "fork"), l.call("b", "work")
			l.Expect([]bool{lives(a.PID), lives(a.Child), lives(b.PID)}).To(Equal([]bool{true, true, true}))
			l.Expect(l.command.Process.Signal(end)).To(Succeed())
			for _, pid := range []int{a.PID, a.Child, b.PID} {
				l.Eventually(func() bool { return lives(pid) }, patience).Should(BeFalse())
			}
			for _, dir := range []string{a.Memory, b.Memory} {
				l.Eventually(dir, patience).ShouldNot(BeADirectory())
			}
			if end == syscall.SIGTERM {
				l.Eventually(l.kubeconfig, patience).ShouldNot(BeAnExistingFile(), "its token is of no use")
			}
		})
	}
}

// TestInterrupted: it says at once what its end waits for, and the second time it waits for
// nothing, and leaves nothing either.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	file, deaf := filepath.Join(dir, "runtime.yaml"), filepath.Join(dir, "deaf")
	NewWithT(t).Expect(os.WriteFile(file, fmt.Appendf(nil, `apiVersion: runtime.agentsession.dev/v1alpha1
kind: AgentRuntime
metadata: {name: deaf}
spec: {template: {spec: {terminationGracePeriodSeconds: 3600, containers: [{name: agent, command: [sh, -c, "trap '' TERM; echo $$ >$0; while :; do sleep 1000; done", %q]}]}}}
`, deaf), 0o600)).To(Succeed())
	l := run(t, "--file", file, "--headless")
	go func() { _, _, _ = l.try("deaf", "") }()
	var pid int
	l.Eventually(func() error {
		text, err := os.ReadFile(deaf)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	}, patience).Should(Succeed())
	l.Expect(l.command.Process.Signal(syscall.SIGINT)).To(Succeed())
	l.Eventually(l.said, patience).Should(ContainSubstring("Stopping 1 session: up to 1h0m0s. Press Ctrl-C again to kill what is left\n"))
	l.Expect(lives(pid)).To(BeTrue())
	l.Expect(l.command.Process.Signal(syscall.SIGINT)).To(Succeed())
	l.Eventually(func() bool { return lives(l.command.Process.Pid) }, patience).Should(BeFalse())
	l.Eventually(func() bool { return lives(pid) }, patience).Should(BeFalse())
	l.Expect(l.kubeconfig).NotTo(BeAnExistingFile())
}

// TestACallThatWaits: for an agent that never listens. It is told what is wrong, and keeps
// nobody from leaving.
func TestACallThatWaits(t *testing.T) {
	t.Parallel()
	l := startWith(t, []string{"sleep", "1000"}, "--time-scale", "20")
	go func() { _, _, _ = l.try("waits", "") }()
	l.becomes("waits", v1alpha1.StateStarting)
	l.Eventually(l.said, patience).Should(ContainSubstring("it must listen at the port that PORT in its environment names"))
	l.Expect(l.command.Process.Signal(syscall.SIGTERM)).To(Succeed())
	l.Eventually(func() bool { return lives(l.command.Process.Pid) }, patience).Should(BeFalse())
}

// told are the events so far, of a tool with -o json.
func (l *tool) told() (events []local.Event) {
	for line := range strings.Lines(l.said()) {
		var e local.Event
		l.Expect(json.Unmarshal([]byte(line), &e)).To(Succeed(), line)
		events = append(events, e)
	}
	return events
}

// TestLinesOfJSON: all that is told is one, what agents write too.
func TestLinesOfJSON(t *testing.T) {
	t.Parallel()
	l := start(t, "-o", "json", "--time-scale", "20", "--lifecycle", "idle=60,max=28800")
	l.Expect(l.first).To(And(HaveField("Event", local.EventReady), HaveField("Endpoint", HavePrefix("http://127.0.0.1:")), HaveField("Kubeconfig", l.kubeconfig),
		HaveField("Runtimes", ConsistOf(HaveField("AgentRuntimeArn", HavePrefix("arn:aws:bedrock-agentcore:"))))))
	l.call("json", "say")
	l.becomes("json", v1alpha1.StateStopped)
	ofSession := func(state v1alpha1.SessionState) types.GomegaMatcher {
		return ContainElement(And(HaveField("Event", local.EventSession), HaveField("Session", id("json")), HaveField("Runtime", "agent"), HaveField("Version", BeEquivalentTo(1)), HaveField("State", state)))
	}
	wrote := func(stream, line string) types.GomegaMatcher {
		return ContainElement(And(HaveField("Event", local.EventOutput), HaveField("Session", id("json")), HaveField("Stream", stream), HaveField("Line", HaveValue(Equal(line)))))
	}
	l.Eventually(l.told, patience).Should(And(
		ofSession(v1alpha1.StateStarting), ofSession(v1alpha1.StateIdle), ofSession(v1alpha1.StateStopped), wrote("stdout", "what it says"), wrote("stdout", "\x1b[31mto its end"),
		ContainElement(And(HaveField("State", v1alpha1.StateStopped), HaveField("Reason", "IdleTimeout"), HaveField("Message", HavePrefix("Stopped: IdleTimeout"))))))
}

// TestHeadless: it says where everything is, and no more.
func TestHeadless(t *testing.T) {
	t.Parallel()
	l := start(t, "--headless", "--time-scale", "20", "--lifecycle", "idle=60,max=28800")
	before := l.said()
	l.call("silent", "say")
	l.becomes("silent", v1alpha1.StateStopped)
	l.Expect(l.command.Process.Signal(syscall.SIGTERM)).To(Succeed())
	l.Eventually(func() bool { return lives(l.command.Process.Pid) }, patience).Should(BeFalse())
	l.Expect(strings.TrimSpace(l.said())).To(Equal(strings.TrimSpace(before)))
}

// TestAFileOfRuntimes runs each of them, with its environment, in its folder.
func TestAFileOfRuntimes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	work, err := filepath.EvalSymlinks(dir)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	file, env := filepath.Join(dir, "runtime.yaml"), filepath.Join(dir, "env")
	agent := func(name, word string) string {
		return fmt.Sprintf(`apiVersion: runtime.agentsession.dev/v1alpha1
kind: AgentRuntime
metadata: {name: %s, namespace: team-%s}
spec: {template: {spec: {containers: [{name: agent, image: some/agent, command: [%q], workingDir: %q, env: [{name: WORD, value: %s}, {name: OTHER, value: x}]}]}}}
---
`, name, name, os.Args[0], dir, word)
	}
	NewWithT(t).Expect(os.WriteFile(file, []byte(agent("one", "first")+agent("two", "second")), 0o600)).To(Succeed())
	NewWithT(t).Expect(os.WriteFile(env, []byte("OTHER=y\n"), 0o600)).To(Succeed())
	l := run(t, "--file", file, "--env-file", env, "-o", "json")
	l.Expect(l.first.Runtimes).To(HaveExactElements(HaveField("Name", "one"), HaveField("Name", "two")))
	l.Expect(l.call("of-one", "")).To(And(HaveField("Word", "first"), HaveField("Dir", work)))
	l.arn = l.first.Runtimes[1].AgentRuntimeArn
	l.Expect(l.call("of-two", "").Word).To(Equal("second"))
}

// TestEnvironment: that of a flag wins.
func TestEnvironment(t *testing.T) {
	env := filepath.Join(t.TempDir(), "env")
	NewWithT(t).Expect(os.WriteFile(env, []byte("WORD=of-a-file\n"), 0o600)).To(Succeed())
	l := start(t, "--env-file", env, "--env", "WORD=of a flag")
	l.Expect(l.call("env", "").Word).To(Equal("of a flag"))
}

// TestCodeThatChanges: sessions that are new start with it, and those that live keep theirs
// until they stop.
func TestCodeThatChanges(t *testing.T) {
	t.Parallel()
	code := t.TempDir()
	l := start(t, "--watch", code, "--time-scale", "20", "--lifecycle", "idle=60,max=28800")
	old := l.call("old", "work")
	l.Expect(l.status("old").Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
	l.Expect(os.WriteFile(filepath.Join(code, "agent.py"), []byte("x"), 0o600)).To(Succeed())
	l.Eventually(l.said, patience).Should(MatchRegexp(`  agent  Version 2: agent\.py changed\. New sessions start with it`))
	l.Eventually(func(g Gomega) {
		var agent v1alpha1.AgentRuntime
		g.Expect(l.sessions.Get(context.Background(), client.ObjectKey{Namespace: "default", Name: "agent"}, &agent)).To(Succeed())
		g.Expect(agent.Status.AgentRuntimeVersion).To(BeEquivalentTo(2))
	}, patience).Should(Succeed())
	l.call("new", "")
	l.Expect(l.status("new").Runtime.AgentRuntimeVersion).To(BeEquivalentTo(2))
	l.Expect(l.call("old", "rest").PID).To(Equal(old.PID), "it lives")
	l.Expect(l.status("old").Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
	l.becomes("old", v1alpha1.StateStopped)
	l.call("old", "")
	l.Expect(l.status("old").Runtime.AgentRuntimeVersion).To(BeEquivalentTo(2))
}

// TestSignedCalls: who has the key may call, and nobody else.
func TestSignedCalls(t *testing.T) {
	l := start(t, "--auth", "sigv4", "-o", "json")
	code, _, err := l.try("signed", "")
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(code).To(Equal(http.StatusForbidden))
	with := func(secret string) func(*http.Request, []byte) {
		return func(r *http.Request, body []byte) {
			sum := sha256.Sum256(body)
			key := aws.Credentials{AccessKeyID: l.first.AccessKeyID, SecretAccessKey: secret}
			l.Expect(v4.NewSigner().SignHTTP(context.Background(), key, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", "us-east-1", time.Now())).To(Succeed())
		}
	}
	l.sign = with("another")
	code, _, err = l.try("signed", "")
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(code).To(Equal(http.StatusForbidden))
	l.sign = with(l.first.SecretAccessKey)
	l.Expect(l.call("signed", "").Calls).To(Equal(1))
	l.invokes(t)
}

// invokes calls with the tool itself, which signs with the key of the environment.
func (l *tool) invokes(t *testing.T) {
	t.Helper()
	d := &desk{WithT: l.WithT, t: t, kubeconfig: l.kubeconfig}
	invoke := func(env map[string]string) (string, error) {
		for _, name := range []string{envKeyID, envSecret, envEndpoint} {
			t.Setenv(name, env[name])
		}
		out, _, err := d.run("invoke", "agent", "--session-id", id("signed"), "--payload", "{}")
		return out, err
	}
	for _, row := range []struct {
		env  map[string]string
		says string
	}{
		{nil, "The call was not signed, for want of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: `agentsession local --auth sigv4` prints at its start what to export"},
		{map[string]string{envKeyID: l.first.AccessKeyID}, "The call was not signed, for want of AWS_SECRET_ACCESS_KEY:"},
		{map[string]string{envKeyID: "AKIDEXAMPLE", envSecret: "x"}, "signed with the access key AKIDEXAMPLE of AWS_ACCESS_KEY_ID: each run of `agentsession local --auth sigv4` has another"},
	} {
		_, err := invoke(row.env)
		l.Expect(err).To(MatchError(And(HavePrefix("the gateway answered 403 Forbidden AccessDeniedException"), ContainSubstring(row.says))))
	}
	out, err := invoke(map[string]string{envKeyID: l.first.AccessKeyID, envSecret: l.first.SecretAccessKey})
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(out).To(ContainSubstring(`"calls":2`))
}

// TestTakenPort: who has it is not known, and what to do is.
func TestTakenPort(t *testing.T) {
	g := NewWithT(t)
	at, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer at.Close()
	port := strconv.Itoa(at.Addr().(*net.TCPAddr).Port)
	command := newCommand()
	command.SetArgs([]string{"local", "--port", port, "--", "sh"})
	g.Expect(command.ExecuteContext(t.Context())).To(MatchError("--port is " + port + ": another program listens there. End it, or give --port another number; 0 is any that is free"))
}

// TestBadFlags are refused with a sentence, before anything is started.
func TestBadFlags(t *testing.T) {
	for says, args := range map[string][]string{
		"the agent's command is missing":                   {},
		"--port is 65536: it must be from 0 to 65535":      {"--port", "65536", "--", "sh"},
		"--time-scale is 0: it must be from 1 to 200":      {"--time-scale", "0", "--", "sh"},
		`--protocol is "SOAP": it must be HTTP`:            {"--protocol", "SOAP", "--", "sh"},
		`--lifecycle has "idle=59": it must be`:            {"--lifecycle", "idle=59", "--", "sh"},
		`--lifecycle has "most=60": it must be`:            {"--lifecycle", "most=60", "--", "sh"},
		"idle must not be longer than max":                 {"--lifecycle", "idle=601,max=600", "--", "sh"},
		"the agent's command cannot be run":                {"--", "no-such-command"},
		`--auth is "key": it must be none or sigv4`:        {"--auth", "key", "--", "sh"},
		`--output is "yaml": it must be json`:              {"-o", "yaml", "--", "sh"},
		"--file and a command are given":                   {"--file", "x", "--", "sh"},
		"what is run is said after --":                     {"sh"},
		"--file and --image are given":                     {"--file", "x", "--image", "y"},
		"--image and --watch are given":                    {"--image", "x", "--watch", "."},
		"--mount is given without --image":                 {"--mount", "/tmp:/data", "--", "sh"},
		`--mount is "/tmp": it must be SOURCE:TARGET`:      {"--image", "x", "--mount", "/tmp"},
		`--mount is "/tmp:data": it must be SOURCE:TARGET`: {"--image", "x", "--mount", "/tmp:data"},
		`--mount is "no-such-folder:/data": stat `:         {"--image", "x", "--mount", "no-such-folder:/data"},
		"--file and --lifecycle are given":                 {"--file", "x", "--lifecycle", "idle=60"},
		"--file and --storage are given":                   {"--file", "x", "--storage", "/mnt/data"},
		`--storage is "/data": it must be one folder`:      {"--storage", "/data", "--", "sh"},
		"read --file: open no-such-file":                   {"--file", "no-such-file"},
		"--env: there is no = in it":                       {"--env", "A", "--", "sh"},
		"--watch is no-such-file: ":                        {"--watch", "no-such-file", "--", "sh"},
		`unknown command "elsewhere" for "agentsession"`:   nil,
	} {
		t.Run(says, func(t *testing.T) {
			g := NewWithT(t)
			command := newCommand()
			command.SetArgs(append([]string{"local"}, args...))
			if args == nil {
				command.SetArgs([]string{"elsewhere"})
			}
			g.Expect(command.ExecuteContext(t.Context())).To(MatchError(ContainSubstring(says)))
		})
	}
}
