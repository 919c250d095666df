package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lint"
)

// linted is a run of `agentsession lint`.
type linted struct {
	Out, Said string
	Status    int
}

// lintWith runs `agentsession lint`, to which no answer is late: this machine may be slow.
func lintWith(ctx context.Context, args ...string) linted {
	var out, said bytes.Buffer
	connection := newConnection(program)
	l := &linter{options: lint.Options{Slow: patience, Wait: patience}}
	command := connection.command()
	for _, verb := range command.Commands() {
		if verb.Name() == "lint" {
			command.RemoveCommand(verb)
		}
	}
	command.AddCommand(l.command(connection))
	command.SetArgs(append([]string{"lint"}, args...))
	command.SetOut(&out)
	command.SetErr(&said)
	run := linted{}
	if err := command.ExecuteContext(ctx); err != nil {
		run.Status = statusOf(err)
		said.WriteString(err.Error())
	}
	run.Out, run.Said = out.String(), said.String()
	return run
}

// lowerCase is an agent that is busy in a word of its own.
func lowerCase(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"busy","time_of_last_update":1}`)
	}))
	t.Cleanup(server.Close)
	return server
}

// well is an agent of agent-runtime that works for a second when it is called.
func well(t *testing.T) string {
	t.Helper()
	g := NewWithT(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	app := agentruntime.New(agentruntime.Options{})
	app.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		app.Go(context.WithoutCancel(ctx), "work", func(context.Context) error {
			time.Sleep(time.Second)
			return nil
		})
		return map[string]string{"sessionId": agentruntime.SessionID(ctx)}, nil
	})
	ended := make(chan error, 1)
	go func() { ended <- app.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		g.Eventually(ended).WithTimeout(patience).Should(Receive())
	})
	return listener.Addr().String()
}

// forwarding puts port-forward before an API that has none: a kubelet's, to where an agent
// is, behind what API servers have before kubelets. An old one knows no WebSocket.
func (d *desk) forwarding(to string, old bool) (at string) {
	kubelet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			return // it has said so
		}
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
			go forwardTo(to, stream)
			return nil
		})
		if conn != nil {
			<-conn.CloseChan()
		}
	}))
	d.t.Cleanup(kubelet.Close)
	toKubelet := passOn(strings.TrimPrefix(kubelet.URL, "http://"))
	return d.before("portforward", func(w http.ResponseWriter, r *http.Request) {
		switch webSocket := r.Header.Get("Sec-WebSocket-Key") != ""; {
		case webSocket == old: // a new one is not asked otherwise
			http.Error(w, "Upgrade request required", http.StatusBadRequest)
		case old:
			toKubelet.ServeHTTP(w, r)
		default:
			proxy.NewTunnelingHandler(toKubelet).ServeHTTP(w, r)
		}
	})
}

// passOn has a connection be one with another server.
func passOn(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		back, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer back.Close()
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		r.Header.Set("Connection", "Upgrade")
		if r.Write(back) != nil {
			return
		}
		go func() { _, _ = io.Copy(back, conn) }()
		_, _ = io.Copy(conn, back)
	}
}

func forwardTo(to string, stream httpstream.Stream) {
	defer stream.Close()
	if stream.Headers().Get(corev1.StreamType) != corev1.StreamTypeData || stream.Headers().Get(corev1.PortHeader) != "8080" {
		return
	}
	agent, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer agent.Close()
	go func() { _, _ = io.Copy(agent, stream) }()
	_, _ = io.Copy(stream, agent)
}

// TestLint looks at all of them at once: each takes 10 s at least.
func TestLint(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	d := newDesk(t)
	d.fill()
	faulty, addr := lowerCase(t), well(t)
	d.healthyPod("busy")
	strict := d.session("busy")
	strict.Spec.Ping.Answers = v1alpha1.PingAnswersStrict // lint has more to say of such answers
	g.Expect(d.client.Update(t.Context(), strict)).To(Succeed())
	api := d.forwarding(strings.TrimPrefix(faulty.URL, "http://"), false)
	laptop := start(t)
	laptop.call("mine", "")
	var sessions v1alpha1.AgentSessionList
	g.Expect(laptop.sessions.List(t.Context(), &sessions)).To(Succeed())
	g.Expect(sessions.Items).To(HaveLen(1))
	mine := sessions.Items[0]

	runs := map[string][]string{
		"well":      {addr, "--for", "10s", "--invoke", "-o", "json"},
		"not well":  {faulty.URL, "--for", "10s", "-o", "sarif"},
		"forwarded": {"busy", "--kubeconfig", d.kubeconfig, "--server", api, "--for", "10s", "-o", "json"},
		"gateway":   {laptop.url},
		"local":     {mine.Name, "--kubeconfig", laptop.kubeconfig, "-n", mine.Namespace, "--for", "10s", "--invoke"},
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	got := map[string]linted{}
	for name, args := range runs {
		all.Go(func() {
			l := lintWith(t.Context(), args...)
			mu.Lock()
			defer mu.Unlock()
			got[name] = l
		})
	}
	all.Wait()

	var report struct {
		Target                  string
		Calls, Errors, Warnings int
		Findings                []struct{ Rule string }
	}
	g.Expect(got["well"].Status).To(Equal(0), got["well"].Said)
	g.Expect(json.Unmarshal([]byte(got["well"].Out), &report)).To(Succeed())
	g.Expect([]int{report.Calls, report.Errors, report.Warnings}).To(Equal([]int{2, 0, 0}), got["well"].Out)
	g.Expect(report.Target).To(Equal("http://" + addr))

	g.Expect(got["not well"]).To(And(HaveField("Status", 1), HaveField("Said", "the agent breaks AgentCore's container contract"), HaveField("Out", ContainSubstring(`"ruleId": "ping-status-unknown"`))))

	g.Expect(got["forwarded"].Status).To(Equal(1), got["forwarded"].Said)
	g.Expect(json.Unmarshal([]byte(got["forwarded"].Out), &report)).To(Succeed())
	g.Expect(report.Target).To(Equal("default/busy"))
	g.Expect(report.Findings).To(HaveExactElements(HaveField("Rule", "ping-status-unknown")))

	g.Expect(got["gateway"]).To(And(HaveField("Status", 2), HaveField("Out", ""), HaveField("Said", ContainSubstring("at "+laptop.url+" is a gateway, which takes AgentCore's calls, and no agent"))))

	g.Expect(got["local"]).To(And(HaveField("Status", 0), HaveField("Out", MatchRegexp(`^\S+/\S+: \d+ pings, 2 calls: no breach`))), got["local"].Said)
}

// TestLintIsInterrupted: what was seen until then is told, and is no result.
func TestLintIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var pings atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "localhost:") && pings.Add(1) == 3 { // not when another host is asked for
			interrupt()
		}
		_, _ = io.WriteString(w, `{"status":"busy"}`)
	}))
	t.Cleanup(server.Close)
	l := lintWith(ctx, server.URL, "--for", "1h")
	NewWithT(t).Expect(l).To(And(HaveField("Status", 2), HaveField("Said", "interrupted: what was seen until then is no whole result"),
		HaveField("Out", And(HavePrefix(server.URL+": incomplete, since it was interrupted: 2 pings: "), ContainSubstring("ping-status-unknown")))))
}

// healthyPod makes the pod of a session, at an address that nothing is at.
func (d *desk) healthyPod(name string) {
	s := d.session(name)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: s.Status.Pod.Name, Namespace: "default"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "a"}}},
	}
	d.Expect(d.client.Create(d.t.Context(), pod)).To(Succeed())
	pod.Status.PodIP = "10.0.0.7"
	d.Expect(d.client.Status().Update(d.t.Context(), pod)).To(Succeed())
	s.Status.Pod.UID = pod.UID
	d.Expect(d.client.Status().Update(d.t.Context(), s)).To(Succeed())
}

// TestLintOfNothing: what cannot be looked at has no result, and another exit status than a
// breach.
func TestLintOfNothing(t *testing.T) {
	d := newDesk(t)
	d.fill()
	d.healthyPod("busy")
	for args, says := range map[string]string{
		"":                                    "one agent is wanted, and not 0",
		"a b":                                 "one agent is wanted, and not 2",
		"http://127.0.0.1:1":                  "look at the agent: nobody is at http://127.0.0.1:1: connection refused",
		"https://127.0.0.1:1":                 `"https://127.0.0.1:1" is not where an agent is: it must be http://HOST:PORT`,
		"http://127.0.0.1:1/ping":             "it must be http://HOST:PORT",
		"http://u:p@127.0.0.1:1":              "it must be http://HOST:PORT",
		"127.0.0.1:1 --for 9s":                "--for is 9s: it must be 10s at least",
		"127.0.0.1:1 --for x":                 "invalid argument",
		"127.0.0.1:1 --payload {}":            "--payload is for calls, which are made with --invoke only",
		"127.0.0.1:1 --protocol SOAP":         `--protocol is "SOAP": it must be HTTP, MCP, A2A or AGUI`,
		"127.0.0.1:1 -o xml":                  `--output is "xml": it must be json, junit, sarif or text`,
		"127.0.0.1:1 --invoke --protocol mcp": "--payload is {}, which is no call of MCP",
		"http://127.0.0.1:1 -- sh":            "it must be one of URL, NAME, --image IMAGE and -- COMMAND",
		"my-agent:latest":                     "an image is started by --image",
		"team/my-agent":                       "an image is started by --image",
		"--image=":                            "--image is empty",
		"busy --env A=b":                      "--env and --env-file are for an agent that is started here",
		"busy --invoke --snapshot":            "--snapshot starts the agent twice: it is for one that is started here",
		"--snapshot -- sh":                    "--snapshot compares answers to calls, which are made with --invoke only",
		"--env x -- sh":                       "--env: there is no = in it",
		"-- no-such-program":                  "start the agent: find the command: \"no-such-program\" is in no folder of $PATH",
		"exited":                              `AgentSession "exited" has no compute, so there is no agent to look at: `,
		"nobody":                              `there is no AgentSession "nobody"`,
		"busy":                                "forward a port to pod default/busy-1: ",
	} {
		t.Run(args, func(t *testing.T) {
			l := lintWith(t.Context(), append([]string{"--kubeconfig", d.kubeconfig}, strings.Fields(args)...)...)
			NewWithT(t).Expect(l).To(And(HaveField("Status", 2), HaveField("Out", ""), HaveField("Said", ContainSubstring(says))))
		})
	}
}

// TestExitStatus is that of the process.
func TestExitStatus(t *testing.T) {
	for args, want := range map[string]int{"lint": 2, "lint --nope": 2, "lint 127.0.0.1:1": 2, "list --nope": 1} {
		command := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(args)...)
		command.Env = append(os.Environ(), envRole+"=tool")
		var exit *exec.ExitError
		g := NewWithT(t)
		g.Expect(errors.As(command.Run(), &exit)).To(BeTrue(), args)
		g.Expect(exit.ExitCode()).To(Equal(want), args)
	}
}

// TestAgentThatTheOperatorDoesNotReach: within its pod it answers, as one on loopback does.
func TestAgentThatTheOperatorDoesNotReach(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill()
	d.healthyPod("busy")
	s := d.session("busy")
	s.Status.HealthyAt = nil
	d.Expect(d.client.Status().Update(t.Context(), s)).To(Succeed())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"Healthy","time_of_last_update":1}`)
	}))
	t.Cleanup(server.Close)
	api := d.forwarding(strings.TrimPrefix(server.URL, "http://"), true)
	l := lintWith(t.Context(), "busy", "--kubeconfig", d.kubeconfig, "--server", api, "--for", "20s")
	d.Expect(l.Status).To(Equal(1), l.Said)
	d.Expect(l.Out).To(And(ContainSubstring("error    loopback-only: "), ContainSubstring("never did at the pod's address")))
	d.Expect(d.client.Get(t.Context(), client.ObjectKeyFromObject(s), s)).To(Succeed())
	d.Expect(s.Generation).To(BeEquivalentTo(1), "nothing was written")
}

// TestOptionsOfASession: what its runtime says of its agent, unless the user does.
func TestOptionsOfASession(t *testing.T) {
	started := func(protocol v1alpha1.ServerProtocol, port int32, path string) *v1alpha1.AgentSession {
		s := &v1alpha1.AgentSession{}
		s.Spec.RuntimeRef = &v1alpha1.RuntimeRef{Name: "echo"}
		s.Status.RuntimeSessionID = "the-session"
		s.Status.Runtime = &v1alpha1.ActivationRuntime{ProtocolConfiguration: v1alpha1.ProtocolConfiguration{ServerProtocol: protocol, Port: port, Path: path}}
		return s
	}
	alone := &v1alpha1.AgentSession{Spec: v1alpha1.AgentSessionSpec{Ping: v1alpha1.PingSpec{Port: 8000, Check: v1alpha1.PingCheckMCP}}}
	for name, row := range map[string]struct {
		session  *v1alpha1.AgentSession
		flag     v1alpha1.ServerProtocol
		protocol v1alpha1.ServerProtocol
		path     string
		mcp      string
		port     int32
	}{
		"AG-UI":             {started("AGUI", 8080, "/agent"), "", "AGUI", "/agent", "", 8080},
		"MCP":               {started("MCP", 8001, "/tools"), "", "MCP", "/tools", "/tools", 8001},
		"without a runtime": {alone, "", "MCP", "", "/mcp", 8000},
		"as the user says":  {started("HTTP", 8080, "/invocations"), "A2A", "A2A", "", "", 8080},
	} {
		t.Run(name, func(t *testing.T) {
			l := &linter{}
			l.options.Protocol = row.flag
			o := l.ofSession(row.session)
			NewWithT(t).Expect([]any{o.Protocol, o.Path, o.Question.MCP, o.port}).To(Equal([]any{row.protocol, row.path, row.mcp, row.port}))
		})
	}
}
