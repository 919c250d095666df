package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/front"
)

const shellHeader = "X-Amzn-Bedrock-AgentCore-Shell-Id"

// terminal is a caller's end of a shell.
type terminal struct {
	socket   *websocket.Conn
	response *http.Response
	first    shellStatus
	said     string // by the shell
}

type shellStatus struct {
	Status   string
	Reason   string
	Metadata struct {
		ShellID, SessionID string
		Reconnected        bool
	}
	Details struct {
		Causes []struct{ Reason, Message string }
	}
}

func shellURL(d *door, agent *v1alpha1.AgentRuntime, session, shell string) string {
	return "ws" + strings.TrimPrefix(d.url, "http") + path(agent, "ws/shells") + "?" + url.Values{sessionHeader: {session}, "shellId": {shell}}.Encode()
}

// openShell opens a shell, or comes back to it.
func openShell(ctx context.Context, d *door, agent *v1alpha1.AgentRuntime, session, shell string) *terminal {
	GinkgoHelper()
	socket, response, refusal := dial(ctx, shellURL(d, agent, session, shell), nil)
	Expect(refusal).To(BeEmpty())
	socket.SetReadLimit(1 << 20)
	t := &terminal{socket: socket, response: response}
	channel, payload, err := t.frame(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(channel).To(BeEquivalentTo(3))
	Expect(json.Unmarshal(payload, &t.first)).To(Succeed())
	return t
}

func (t *terminal) frame(ctx context.Context) (channel byte, payload []byte, err error) {
	_, frame, err := t.socket.Read(ctx)
	if err != nil {
		return 0, nil, err
	}
	return frame[0], frame[1:], nil
}

func (t *terminal) send(ctx context.Context, channel byte, text string) {
	GinkgoHelper()
	Expect(t.socket.Write(ctx, websocket.MessageBinary, append([]byte{channel}, text...))).To(Succeed())
}

// hears reads until the shell has said something.
func (t *terminal) hears(ctx context.Context, text string) {
	GinkgoHelper()
	for !strings.Contains(t.said, text) {
		channel, payload, err := t.frame(ctx)
		Expect(err).NotTo(HaveOccurred(), t.said)
		Expect(channel).To(BeEquivalentTo(1))
		t.said += string(payload)
	}
}

// does types a command, and waits for what it says: $((1)) is typed and 1 is said.
func (t *terminal) does(ctx context.Context, command, says string) {
	GinkgoHelper()
	t.send(ctx, 0, command+"\n")
	t.hears(ctx, says)
}

// ends reads to the end: the last frame that is no output, and the code of the close.
func (t *terminal) ends(ctx context.Context) (channel byte, payload []byte, code websocket.StatusCode) {
	GinkgoHelper()
	for {
		at, said, err := t.frame(ctx)
		if err != nil {
			return channel, payload, websocket.CloseStatus(err)
		}
		if at != 1 {
			channel, payload = at, said
		}
	}
}

// process is the shell's.
func (t *terminal) process(ctx context.Context) int {
	GinkgoHelper()
	t.does(ctx, `echo "pid=$$;"`, ";\r\n")
	_, after, _ := strings.Cut(t.said[strings.LastIndex(t.said, "pid=")-1:], "pid=")
	number, _, _ := strings.Cut(after, ";")
	pid, err := strconv.Atoi(number)
	Expect(err).NotTo(HaveOccurred(), t.said)
	return pid
}

func lives(pid int) func() bool { return func() bool { return syscall.Kill(pid, 0) == nil } }

var _ = Describe("A shell", func() {
	var pods *front.Pods

	BeforeEach(func() {
		pods = front.NewPods(GinkgoT().TempDir())
		DeferCleanup(pods.Close)
	})

	It("is a terminal that can be left and come back to, by one caller at a time", func(ctx context.Context) {
		d, agent, session := openDoor(pods.Run), newRuntime(ctx, newNamespace(ctx)), id()
		first := openShell(ctx, d, agent, session, "build")
		Expect(first.response.Header.Get(shellHeader)).To(Equal("build"))
		Expect(first.response.Header.Get(sessionHeader)).To(Equal(session))
		Expect(first.first.Metadata.ShellID).To(Equal("build"))
		Expect(first.first.Metadata.SessionID).To(Equal(session))
		Expect(first.first.Metadata.Reconnected).To(BeFalse())
		first.does(ctx, "here=$((40+2)); echo set$here", "set42")
		first.does(ctx, "[ -t 0 ] && echo tty$here", "tty42")
		first.send(ctx, 4, `{"width":132,"height":43}`)
		first.does(ctx, "stty size", "43 132")

		By("a second caller, who takes it over")
		second := openShell(ctx, d, agent, session, "build")
		Expect(second.first.Metadata.Reconnected).To(BeTrue())
		second.hears(ctx, "43 132")
		_, _, code := first.ends(ctx)
		Expect(code).To(BeEquivalentTo(4000))
		second.does(ctx, "echo still$here", "still42")

		By("a third, when the second has gone, and the shell has gone on")
		second.send(ctx, 0, "sleep 1; echo later$here\n")
		Expect(second.socket.Close(websocket.StatusNormalClosure, "")).To(Succeed())
		third := openShell(ctx, d, agent, session, "build")
		third.hears(ctx, "later42")
		third.send(ctx, 5, "")
		channel, _, err := third.frame(ctx)
		for err == nil && channel == 1 { // the prompt
			channel, _, err = third.frame(ctx)
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(channel).To(BeEquivalentTo(5), "a heartbeat comes back")

		By("its exit, and a new one with its name")
		third.send(ctx, 0, "exit 3\n")
		channel, payload, code := third.ends(ctx)
		Expect(channel).To(BeEquivalentTo(3))
		Expect(string(payload)).To(MatchJSON(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NonZeroExitCode",
			"message":"command terminated with exit code 3","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`))
		Expect(code).To(Equal(websocket.StatusNormalClosure))
		fresh := openShell(ctx, d, agent, session, "build")
		Expect(fresh.first.Metadata.Reconnected).To(BeFalse())
		fresh.does(ctx, "echo none${here}none", "nonenone")
		pid := fresh.process(ctx)
		fresh.send(ctx, 255, "")
		_, _, code = fresh.ends(ctx)
		Expect(code).To(Equal(websocket.StatusNormalClosure))
		Eventually(lives(pid)).Should(BeFalse(), "its caller has closed it")
	})

	It("tells how it ended to whoever comes back", func(ctx context.Context) {
		d, agent, session := openDoor(pods.Run), newRuntime(ctx, newNamespace(ctx)), id()
		shell := openShell(ctx, d, agent, session, "")
		name := shell.first.Metadata.ShellID
		Expect(name).To(HaveLen(36), "one is made up")
		pid := shell.process(ctx)
		shell.send(ctx, 0, "sleep 1; exit\n")
		Expect(shell.socket.Close(websocket.StatusNormalClosure, "")).To(Succeed())
		Eventually(lives(pid)).Should(BeFalse())
		back := openShell(ctx, d, agent, session, name)
		Expect(back.first.Metadata.Reconnected).To(BeTrue())
		channel, payload, code := back.ends(ctx)
		Expect(channel).To(BeEquivalentTo(3))
		Expect(string(payload)).To(MatchJSON(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`))
		Expect(code).To(Equal(websocket.StatusNormalClosure))
	})

	It("keeps its session while somebody is there, and ends with it", func(ctx context.Context) {
		const idle = 3 * idle
		d, agent, session := openDoor(pods.Run), newRuntime(ctx, newNamespace(ctx), idlesIn(idle)), id()
		shell := openShell(ctx, d, agent, session, "one")
		pid := shell.process(ctx)
		left := openShell(ctx, d, agent, session, "left")
		leftPID := left.process(ctx)
		Expect(left.socket.Close(websocket.StatusNormalClosure, "")).To(Succeed())
		for until := time.Now().Add(2 * idle); time.Now().Before(until); time.Sleep(idle / 6) {
			shell.does(ctx, "echo more$((1+1))", "more2")
			shell.said = ""
		}
		Expect(sessionOf(ctx, agent, session).Status.State).NotTo(Equal(v1alpha1.StateStopped))
		Expect(lives(leftPID)()).To(BeTrue())
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		channel, _, code := shell.ends(ctx)
		Expect(channel).To(BeEquivalentTo(255), "so that clients do not come back, and wake it")
		Expect(code).To(Equal(websocket.StatusNormalClosure))
		Eventually(lives(pid)).Should(BeFalse())
		Eventually(lives(leftPID)).Should(BeFalse())

		By("one that was left, and holds nothing")
		eventuallyStopped(ctx, agent, session, d)
		again := openShell(ctx, d, agent, session, "one")
		Expect(again.first.Metadata.Reconnected).To(BeFalse(), "it has another compute")
		pid = again.process(ctx)
		Expect(again.socket.Close(websocket.StatusNormalClosure, "")).To(Succeed())
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
		Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Eventually(lives(pid)).Should(BeFalse())
	})

	It("ends with its gateway", func(ctx context.Context) {
		d, agent := openDoor(pods.Run), newRuntime(ctx, newNamespace(ctx))
		shell := openShell(ctx, d, agent, id(), "one")
		pid := shell.process(ctx)
		Expect(shell.socket.Close(websocket.StatusNormalClosure, "")).To(Succeed())
		Expect(d.shut()).To(Succeed())
		Eventually(lives(pid)).Should(BeFalse())
	})

	It("is bounded", func(ctx context.Context) {
		d, agent, session := openDoor(pods.Run), newRuntime(ctx, newNamespace(ctx)), id()
		shell := openShell(ctx, d, agent, session, "0")
		for i := 1; i < 10; i++ {
			openShell(ctx, d, agent, session, fmt.Sprint(i))
		}
		_, response, refusal := dial(ctx, shellURL(d, agent, session, "10"), nil)
		Expect(response.StatusCode).To(Equal(http.StatusFailedDependency))
		Expect(refusal).To(And(HavePrefix("RuntimeClientError"), ContainSubstring("has 10 shells")))
		Expect(openShell(ctx, d, agent, session, "9").first.Metadata.Reconnected).To(BeTrue())
		_, response, refusal = dial(ctx, shellURL(d, agent, session, "a b"), nil)
		Expect(response.StatusCode).To(Equal(http.StatusFailedDependency))
		Expect(refusal).To(ContainSubstring("shellId must be"))

		By("what it is sent")
		for range 5 {
			Expect(shell.socket.Write(ctx, websocket.MessageText, []byte("ls"))).To(Succeed())
		}
		_, _, code := shell.ends(ctx)
		Expect(code).To(Equal(websocket.StatusUnsupportedData))
		shell = openShell(ctx, d, agent, session, "0")
		shell.send(ctx, 4, `{"width":0,"height":1}`)
		_, _, code = shell.ends(ctx)
		Expect(code).To(Equal(websocket.StatusInvalidFramePayloadData))
		shell = openShell(ctx, d, agent, session, "0")
		shell.send(ctx, 0, strings.Repeat("#", 64<<10))
		_, _, code = shell.ends(ctx)
		Expect(code).To(Equal(websocket.StatusMessageTooBig))
		Expect(openShell(ctx, d, agent, session, "0").first.Metadata.Reconnected).To(BeTrue(), "it is still there")
	})

	It("is for those who may run commands, in namespaces that allow it", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		d, agent := openDoor(front.Authenticated, pods.Run), newRuntime(ctx, namespace)
		query := func() url.Values { return url.Values{sessionHeader: {id()}} }
		caller, callers := newKey(ctx, namespace, "invocations")
		operator, operators := newKey(ctx, namespace, "commands")
		Eventually(func() string {
			_, _, refusal := dial(ctx, presign(ctx, d, path(agent, "ws/shells"), query(), operator, operators), nil)
			return refusal
		}).Should(BeEmpty())
		Eventually(func() string {
			_, _, refusal := dial(ctx, presign(ctx, d, path(agent, "ws/shells"), query(), caller, callers), nil)
			return refusal
		}).Should(And(HavePrefix("AccessDeniedException"), ContainSubstring("lacks the right to create agentruntimes/commands")))

		By("a container without a shell")
		_, response, refusal := dial(ctx, shellURL(openDoor(), agent, id(), "one"), nil)
		Expect(response.StatusCode).To(Equal(http.StatusFailedDependency), "the stand-in node runs none")
		Expect(refusal).To(ContainSubstring("/bin/sh"))
	})
})
