package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
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
		s := state{PID: os.Getpid(), Calls: calls, Memory: os.TempDir()}
		switch o.Do {
		case "work":
			task = app.AddAsyncTask("work", nil)
		case "rest":
			app.CompleteAsyncTask(task)
		case "fork":
			child := exec.Command("sleep", "1000")
			if err := child.Start(); err != nil {
				return s, err
			}
			s.Child = child.Process.Pid
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
	g := NewWithT(t)
	kubeconfig := t.TempDir() + "/kubeconfig"
	args := append(append([]string{"local", "--write-kubeconfig", kubeconfig}, flags...), "--")
	command := exec.Command(os.Args[0], append(args, agent...)...)
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
	g.Eventually(l.said, patience).Should(And(MatchRegexp(endpointLine.String()), MatchRegexp(arnLine.String())))
	l.url, l.arn = endpointLine.FindStringSubmatch(l.said())[1], arnLine.FindStringSubmatch(l.said())[1]
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	l.sessions, err = client.New(config, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	return l
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
	answer, err := http.DefaultClient.Do(r)
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
	var list v1alpha1.AgentSessionList
	l.Expect(l.sessions.List(context.Background(), &list, client.MatchingFields{"spec.runtimeSessionId": id(session)})).To(Succeed())
	if len(list.Items) != 1 {
		return v1alpha1.AgentSessionStatus{}
	}
	return list.Items[0].Status
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
	l.Eventually(l.said, patience).Should(MatchRegexp(
		`(?s)` + id("life") + `  Starting\n.*` + id("life") + `  Active: its agent says HealthyBusy\n.*` +
			id("life") + `  Idle: IdleTimeout at .*` + id("life") + `  Stopped: IdleTimeout.*` + id("life") + `  Starting again \(activation 2\)`))
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
	l.Eventually(l.said, patience).Should(ContainSubstring(id("exits") + " | these are its last words\n"))
}

// TestNothingIsLeft: neither of the tool that is told to end, nor of one that is killed.
func TestNothingIsLeft(t *testing.T) {
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

// TestACallThatWaits: for an agent that never listens. It keeps nobody from leaving.
func TestACallThatWaits(t *testing.T) {
	l := startWith(t, []string{"sleep", "1000"})
	go func() { _, _, _ = l.try("waits", "") }()
	l.becomes("waits", v1alpha1.StateStarting)
	l.Expect(l.command.Process.Signal(syscall.SIGTERM)).To(Succeed())
	l.Eventually(func() bool { return lives(l.command.Process.Pid) }, patience).Should(BeFalse())
}

// TestBadFlags are refused with a sentence, before anything is started.
func TestBadFlags(t *testing.T) {
	for says, args := range map[string][]string{
		"the agent's command is missing":                 {},
		"--port is 65536: it must be from 0 to 65535":    {"--port", "65536", "--", "sh"},
		"--time-scale is 0: it must be from 1 to 200":    {"--time-scale", "0", "--", "sh"},
		`--protocol is "SOAP": it must be HTTP`:          {"--protocol", "SOAP", "--", "sh"},
		`--lifecycle has "idle=59": it must be`:          {"--lifecycle", "idle=59", "--", "sh"},
		`--lifecycle has "most=60": it must be`:          {"--lifecycle", "most=60", "--", "sh"},
		"idle must not be longer than max":               {"--lifecycle", "idle=601,max=600", "--", "sh"},
		"the agent's command cannot be run":              {"--", "no-such-command"},
		`unknown command "elsewhere" for "agentsession"`: nil,
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
