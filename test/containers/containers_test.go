// Package containers plays `agentsession local --image` and `lint --image` with a real engine of containers.
// `make containers` runs it; it needs Docker or Podman.
package containers_test

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
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/local"
	"github.com/agentsession/agentsession/test/echo"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 2 * time.Minute

// image is test/echo's agent, and of nothing else.
const image = "agentsession-test/echo:containers"

var (
	tool   string // the program agentsession
	engine = "docker"
)

func TestMain(m *testing.M) {
	if _, err := exec.LookPath(engine); err != nil {
		engine = "podman"
	}
	os.Exit(prepared(m))
}

// prepared builds what the tests use, and runs them.
func prepared(m *testing.M) int {
	dir, err := os.MkdirTemp("", "agentsession-containers-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	tool = filepath.Join(dir, "agentsession")
	context := filepath.Join(dir, "image")
	file := "FROM scratch\nCOPY echo /echo\nENTRYPOINT [\"/echo\"]\n"
	if err = os.Mkdir(context, 0o750); err == nil {
		err = os.WriteFile(filepath.Join(context, "Dockerfile"), []byte(file), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, words := range [][]string{
		{"go", "build", "-o", tool, "../../cmd/agentsession"},
		{"go", "build", "-o", filepath.Join(context, "echo"), "../echo/echo-agent"},
		{engine, "build", "--quiet", "--tag", image, context},
	} {
		command := exec.Command(words[0], words[1:]...)
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", strings.Join(words, " "), err, out)
			return 1
		}
	}
	defer func() { _ = exec.Command(engine, "rmi", "--force", image).Run() }()
	return m.Run()
}

// laptop is `agentsession local`.
type laptop struct {
	*WithT
	command *exec.Cmd
	ready   local.Event
	events  chan local.Event
}

func start(t *testing.T, args ...string) *laptop {
	t.Helper()
	l := &laptop{WithT: NewWithT(t), command: exec.Command(tool, append([]string{"local", "-o", "json", "--time-scale", "12"}, args...)...), events: make(chan local.Event, 1000)}
	var errs bytes.Buffer
	l.command.Stderr = &errs
	out, err := l.command.StdoutPipe()
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(l.command.Start()).To(Succeed())
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e local.Event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				l.events <- e
			}
		}
		close(l.events)
	}()
	t.Cleanup(func() {
		_ = l.command.Process.Signal(syscall.SIGTERM)
		<-read
		_ = l.command.Wait()
		if t.Failed() {
			t.Log(errs.String())
		}
	})
	l.Eventually(l.events, patience).Should(Receive(&l.ready), "%s", &errs)
	return l
}

// call calls a session, and returns what its agent was asked, by what it says.
func (l *laptop) call(ctx context.Context, session string, ask echo.Ask) (told echo.Told) {
	raw, err := json.Marshal(ask)
	l.Expect(err).NotTo(HaveOccurred())
	to := l.ready.Endpoint + "/runtimes/" + url.PathEscape(l.ready.Runtimes[0].AgentRuntimeArn) + "/invocations"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(raw))
	l.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session+strings.Repeat("-", 33))
	answer, err := http.DefaultClient.Do(request)
	l.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(answer.StatusCode).To(Equal(http.StatusOK), "%s", body)
	l.Expect(json.Unmarshal(body, &told)).To(Succeed())
	return told
}

// containers are those of all platforms of this machine.
func containers(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(engine, "ps", "--all", "--quiet", "--filter", "label=runtime.agentsession.dev/local").Output()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return strings.Fields(string(out))
}

// ends waits until a session has stopped, and returns how that was told.
func (l *laptop) ends() (stopped local.Event) {
	l.Eventually(l.events, patience).Should(Receive(&stopped, HaveField("State", BeEquivalentTo("Stopped"))))
	return stopped
}

// TestEachSessionIsAContainer: two at a time at the port of the contract, each with its own
// memory; one that is idle is taken away, and starts anew with its next call.
func TestEachSessionIsAContainer(t *testing.T) {
	l, ctx := start(t, "--image", image, "--lifecycle", "idle=60"), t.Context()
	one, other := l.call(ctx, "one", echo.Ask{}), l.call(ctx, "other", echo.Ask{})
	l.Expect(one.Calls).To(BeEquivalentTo(1))
	l.Expect(other.Calls).To(BeEquivalentTo(1))
	l.Expect(one.Pod).NotTo(Equal(other.Pod))
	l.Expect(containers(t)).To(HaveLen(2))
	l.Expect(l.ends().Reason).To(BeEquivalentTo("IdleTimeout"))
	l.Expect(l.ends().Reason).To(BeEquivalentTo("IdleTimeout"))
	l.Expect(containers(t)).To(BeEmpty())
	l.Expect(l.call(ctx, "one", echo.Ask{}).Calls).To(BeEquivalentTo(1), "its memory went with its container")
}

// TestAnAgentThatEnds is told of with its last words.
func TestAnAgentThatEnds(t *testing.T) {
	l := start(t, "--image", image)
	l.call(t.Context(), "one", echo.Ask{})
	out, err := exec.Command(engine, append([]string{"kill"}, containers(t)...)...).CombinedOutput()
	l.Expect(err).NotTo(HaveOccurred(), "%s", out)
	l.Expect(l.ends().Reason).To(BeEquivalentTo("AgentExited"))
}

// TestAnImageThatDoesNotRun ends its session's start with the engine's words.
func TestAnImageThatDoesNotRun(t *testing.T) {
	l, folder := start(t, "--image", image, "--mount", "/proc/self:/echo"), t.Context()
	go func() { // it gets no answer
		request, err := http.NewRequestWithContext(folder, http.MethodPost, l.ready.Endpoint+"/runtimes/"+url.PathEscape(l.ready.Runtimes[0].AgentRuntimeArn)+"/invocations", strings.NewReader("{}"))
		if err != nil {
			return
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
		}
	}()
	ended := l.ends()
	l.Expect(ended.Reason).To(BeEquivalentTo("StartFailed"))
	l.Expect(ended.Message).To(ContainSubstring("/echo"))
}

// TestAnImageThatIsNotThere is an error before anything is started.
func TestAnImageThatIsNotThere(t *testing.T) {
	out, err := exec.Command(tool, "local", "--image", "agentsession-test/none:1").CombinedOutput()
	g := NewWithT(t)
	g.Expect(err).To(HaveOccurred())
	g.Expect(string(out)).To(And(ContainSubstring(`the image "agentsession-test/none:1" cannot be run here`), ContainSubstring("pull agentsession-test/none:1")))
}

// TestNothingIsLeft of the containers when the tool is told to end, and when it is killed.
func TestNothingIsLeft(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			l := start(t, "--image", image)
			l.call(t.Context(), "one", echo.Ask{})
			l.Expect(containers(t)).To(HaveLen(1))
			l.Expect(l.command.Process.Signal(signal)).To(Succeed())
			l.Eventually(func() []string { return containers(t) }, patience).Should(BeEmpty())
		})
	}
}

// TestWhatAContainerGets: its environment, and what is mounted.
func TestWhatAContainerGets(t *testing.T) {
	dir := t.TempDir()
	l := start(t, "--image", image, "--env", "LINES=one\ntwo", "--env", "QUOTED='a' \"b\"", "--mount", dir+":/data:ro")
	l.call(t.Context(), "one", echo.Ask{})
	out, err := exec.Command(engine, append([]string{"inspect", "--format", "{{json .Config.Env}} {{json .Mounts}}"}, containers(t)...)...).Output()
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(string(out)).To(And(
		ContainSubstring(`"LINES=one\ntwo"`), ContainSubstring(`"QUOTED='a' \"b\""`),
		ContainSubstring(dir), ContainSubstring(`"Destination":"/data"`), ContainSubstring(`"RW":false`)))
}

// asks has an operation of AgentCore's control plane done, and returns its status.
func (l *laptop) asks(ctx context.Context, method, path string, members, answer any) int {
	raw, err := json.Marshal(members)
	l.Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(ctx, method, l.ready.Endpoint+path, bytes.NewReader(raw))
	l.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	l.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	l.Expect(json.NewDecoder(response.Body).Decode(answer)).To(Succeed())
	return response.StatusCode
}

// TestARuntimeThatAClientMakes, of an image with the name of a registry, as AWS's guide has it: its
// sessions are containers. Another version is for new sessions, and its deletion takes all of them.
func TestARuntimeThatAClientMakes(t *testing.T) {
	const pushed = "123456789012.dkr.ecr.us-west-2.amazonaws.com/agentsession-test/echo:latest"
	l, ctx := start(t, "--image", image), t.Context()
	out, err := exec.Command(engine, "tag", image, pushed).CombinedOutput()
	l.Expect(err).NotTo(HaveOccurred(), "%s", out)
	t.Cleanup(func() { _ = exec.Command(engine, "rmi", pushed).Run() })
	type members map[string]any
	of := func(image string) members {
		return members{
			"agentRuntimeArtifact": members{"containerConfiguration": members{"containerUri": image}}, "networkConfiguration": members{"networkMode": "PUBLIC"},
			"roleArn": "arn:aws:iam::123456789012:role/AgentRuntimeRole", "environmentVariables": members{"STAGE": image},
		}
	}
	asked := of(pushed)
	asked["agentRuntimeName"] = "my_agent"
	var made struct{ AgentRuntimeArn, AgentRuntimeID, Status, Message string }
	l.Expect(l.asks(ctx, http.MethodPut, "/runtimes/", asked, &made)).To(Equal(http.StatusAccepted), made.Message)
	l.ready.Runtimes[0].AgentRuntimeArn = made.AgentRuntimeArn // which is called from now on
	settled := func() string {
		l.asks(ctx, http.MethodGet, "/runtimes/"+made.AgentRuntimeID+"/", nil, &made)
		return made.Status
	}
	l.Eventually(settled, patience).Should(Equal("READY"))
	first := l.call(ctx, "one", echo.Ask{})

	l.Expect(l.asks(ctx, http.MethodPut, "/runtimes/"+made.AgentRuntimeID+"/", of("agentsession-test/none:1"), &made)).To(Equal(http.StatusBadRequest))
	l.Expect(made.Message).To(ContainSubstring(`the image "agentsession-test/none:1" cannot be run here`))
	l.Expect(l.asks(ctx, http.MethodPut, "/runtimes/"+made.AgentRuntimeID+"/", of(image), &made)).To(Equal(http.StatusAccepted), made.Message)
	l.Eventually(settled, patience).Should(Equal("READY"))
	same, other := l.call(ctx, "one", echo.Ask{}), l.call(ctx, "other", echo.Ask{})
	l.Expect([]any{same.Pod, same.Calls}).To(Equal([]any{first.Pod, first.Calls + 1}))
	l.Expect(other.Pod).NotTo(Equal(first.Pod))
	out, err = exec.Command(engine, append([]string{"inspect", "--format", "{{.Config.Image}} {{json .Config.Env}}"}, containers(t)...)...).Output()
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(string(out)).To(And(ContainSubstring(pushed+" "), ContainSubstring("STAGE="+pushed), ContainSubstring("STAGE="+image)))

	l.Expect(l.asks(ctx, http.MethodDelete, "/runtimes/"+made.AgentRuntimeID+"/", nil, &made)).To(Equal(http.StatusAccepted), made.Message)
	l.Eventually(func() []string { return containers(t) }, patience).Should(BeEmpty())
}

// lint runs `agentsession lint --image`.
func lint(t *testing.T, args ...string) (report string, said string, status int) {
	t.Helper()
	command := exec.Command(tool, append([]string{"lint", "--for", "10s", "--image", image}, args...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	_ = command.Run() // its status is looked at
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// TestLintOfAnImage starts it twice, and leaves nothing.
func TestLintOfAnImage(t *testing.T) {
	out, said, status := lint(t, "--invoke", "--snapshot", "-o", "json")
	g := NewWithT(t)
	g.Expect(status).To(BeZero(), said+out)
	var report struct {
		Target     string
		Calls      int
		Findings   []struct{ Rule string }
		NotChecked []struct{ Rule, Why string }
	}
	g.Expect(json.Unmarshal([]byte(out), &report)).To(Succeed())
	g.Expect(report.Target).To(Equal(image))
	g.Expect(report.Calls).To(Equal(2))
	g.Expect(report.Findings).To(HaveExactElements(HaveField("Rule", "ping-content-type")), "all that is wrong with it")
	g.Expect(report.NotChecked).To(ContainElement(HaveField("Rule", "loopback-only")), "its port is published on loopback")
	g.Expect(report.NotChecked).NotTo(ContainElement(HaveField("Why", ContainSubstring("not started"))))
	g.Expect(containers(t)).To(BeEmpty())
}

// TestLintOfAnImageThatDoesNotStart shows what it wrote.
func TestLintOfAnImageThatDoesNotStart(t *testing.T) {
	out, said, status := lint(t, "--", "--nope")
	g := NewWithT(t)
	g.Expect(status).To(Equal(2))
	g.Expect(out).To(BeEmpty())
	g.Expect(said).To(And(ContainSubstring("The agent wrote:\n"), ContainSubstring("\n  flag provided but not defined: -nope"), HaveSuffix("error: start the agent: the agent has ended, with exit code 2\n")))
	g.Expect(containers(t)).To(BeEmpty())
}

// TestLintOfAnImageIsKilled: its container goes all the same.
func TestLintOfAnImageIsKilled(t *testing.T) {
	g := NewWithT(t)
	command := exec.Command(tool, "lint", "--for", "1h", "--image", image)
	g.Expect(command.Start()).To(Succeed())
	g.Eventually(func() []string { return containers(t) }, patience).Should(HaveLen(1))
	g.Expect(command.Process.Kill()).To(Succeed())
	_ = command.Wait() // it was killed
	g.Eventually(func() []string { return containers(t) }, patience).Should(BeEmpty())
}
