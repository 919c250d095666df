package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// examplesAgents builds the example agents.
func examplesAgents(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "agents")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "../../examples/agents")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make test has compiled it
	out, err := build.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	return program
}

var idLine = regexp.MustCompile(`^session id: (\S{33,})\n$`)

// TestInvokeOnALaptop: a runtime, a session of it, and a session without one, with real
// agents, by nothing but the kubeconfig that local writes.
func TestInvokeOnALaptop(t *testing.T) {
	t.Parallel()
	agents := examplesAgents(t)
	l := startWith(t, []string{agents, "journal", "--addr", "127.0.0.1:{port}"})
	d := &desk{WithT: NewWithT(t), t: t, kubeconfig: l.kubeconfig}
	out, said, err := d.run("invoke", "agent", "--payload", `{"seconds":600}`)
	d.Expect(err).NotTo(HaveOccurred(), said)
	d.Expect(out).To(MatchJSON(`{"started":"chore","seconds":600}`))
	d.Expect(said).To(MatchRegexp(idLine.String()))
	id := idLine.FindStringSubmatch(said)[1]

	d.in = strings.NewReader(`{"seconds":600}`)
	_, said, err = d.run("invoke", "runtime/agent", "--session-id", id, "-")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(said).To(BeEmpty(), "the id is known")
	var list v1alpha1.AgentSessionList
	d.Expect(l.sessions.List(t.Context(), &list, client.MatchingFields{"spec.runtimeSessionId": id})).To(Succeed())
	d.Expect(list.Items).To(HaveLen(1))
	name := list.Items[0].Name
	file := filepath.Join(t.TempDir(), "question.json")
	d.Expect(os.WriteFile(file, []byte(`{"seconds":600}`), 0o600)).To(Succeed())
	_, _, err = d.run("invoke", name, "-f", file)
	d.Expect(err).NotTo(HaveOccurred())
	out, said, err = d.run("tasks", "ags/"+name)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(MatchRegexp(`^SESSION +TASK +AGE +ENDED\n(` + name + ` +chore +\S+ +-\n){3}$`))
	d.Expect(said).To(BeEmpty())

	d.Expect(l.sessions.Create(t.Context(), &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "alone"},
		Spec: v1alpha1.AgentSessionSpec{Ping: v1alpha1.PingSpec{Port: 28080}, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "agent", Image: "process", Command: []string{agents, "journal", "--addr", "127.0.0.1:{port}"}, Ports: []corev1.ContainerPort{{ContainerPort: 28080}},
		}}}}},
	})).To(Succeed())
	state := func() v1alpha1.SessionState {
		s := &v1alpha1.AgentSession{}
		d.Expect(l.sessions.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "alone"}, s)).To(Succeed())
		return s.Status.State
	}
	d.Eventually(state, patience).Should(Equal(v1alpha1.StateIdle))
	out, said, err = d.run("tasks", "alone")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(BeEmpty())
	d.Expect(said).To(Equal("No tasks run in AgentSession \"alone\".\n"))
	out, said, err = d.run("invoke", "alone", "--payload", `{"seconds":0.001,"forget":true}`)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(MatchJSON(`{"started":"chore","seconds":0.001}`))
	d.Expect(said).To(HavePrefix("note: straight to its pod. No gateway counts this call"))
	d.Eventually(func() string { out, _, _ := d.run("tasks", "alone"); return out }, patience).Should(MatchRegexp(`alone +chore +\S+ +\S+ ago\n`), "the journal says that it has ended")

	d.in = strings.NewReader("")
	for args, says := range map[string]string{
		"agent --payload {}":                              "the gateway answered 424 Failed Dependency RuntimeClientError: Received error (400) from runtime.",
		"alone --payload {}":                              "the agent answered 400 Bad Request: ",
		"nobody --payload {}":                             "the gateway answered 404 Not Found ResourceNotFoundException: No endpoint or agent found",
		"agent --session-id short --payload {}":           "the gateway answered 400 Bad Request ValidationException: Value at 'runtimeSessionId'",
		"alone --session-id x --payload {}":               `AgentSession "alone" has an id of its own`,
		"alone --gateway http://127.0.0.1:1 --payload {}": "no gateway leads to it",
		"agent --as somebody --payload {}":                `--as is "somebody": a gateway knows its callers by their own tokens`,
		"ags/nobody --payload {}":                         `there is no AgentSession "nobody"`,
	} {
		_, _, err := d.run(append([]string{"invoke"}, strings.Fields(args)...)...)
		d.Expect(err).To(MatchError(ContainSubstring(says)), args)
	}
	_, _, err = d.run("stop", "alone", "--yes")
	d.Expect(err).NotTo(HaveOccurred())
	d.Eventually(state, patience).Should(Equal(v1alpha1.StateStopped))
	for _, verb := range []string{"tasks", "invoke --payload {}"} {
		_, _, err = d.run(append(strings.Fields(verb), "alone")...)
		d.Expect(err).To(MatchError(ContainSubstring(`AgentSession "alone" has no compute: `+"`kubectl agentsession --kubeconfig "+l.kubeconfig+" wake alone -n default` starts it")), verb)
	}
	text, code := as(t, "agentsession", `{"seconds":1}`, []string{"KUBECONFIG=" + l.kubeconfig}, "invoke", "agent", "-")
	d.Expect(text).To(ContainSubstring(`"started":"chore"`))
	d.Expect(code).To(BeZero())
	text, code = as(t, "agentsession", `{}`, []string{"KUBECONFIG=" + l.kubeconfig}, "invoke", "agent", "-f", "-")
	d.Expect(text).To(ContainSubstring("error: the gateway answered 424"))
	d.Expect(code).To(Equal(1))
}

// TestTasksOfWhoDoesNotTell: an agent that does not know the question.
func TestTasksOfWhoDoesNotTell(t *testing.T) {
	l := start(t)
	l.call("silent", "")
	var list v1alpha1.AgentSessionList
	l.Expect(l.sessions.List(t.Context(), &list)).To(Succeed())
	d := &desk{WithT: NewWithT(t), t: t, kubeconfig: l.kubeconfig}
	out, _, err := d.run("explain", id("silent"))
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(And(ContainSubstring("What its agent writes is in the output of `agentsession local`"), Not(ContainSubstring("    kubectl --"))))
	_, _, err = d.run("tasks", list.Items[0].Name)
	d.Expect(err).To(MatchError(MatchRegexp(`does not tell its tasks \(GET /tasks: answered 404\): of its work it is known that it has said Healthy for \S+\. An agent of agent-runtime tells them with Options\.Introspection\. One of AWS's SDKs has no such path: look into its log`)))
}

// TestAnAnswerIsShownAsItComes, and what reaches the gateway.
func TestAnAnswerIsShownAsItComes(t *testing.T) {
	d := newDesk(t)
	d.fill()
	going, goOn := context.WithCancel(t.Context())
	var asked *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set(contract.HeaderSessionID, "new\u202e")
		_, _ = io.WriteString(w, "first\n")
		w.(http.Flusher).Flush()
		<-going.Done()
		_, _ = io.WriteString(w, "last")
	}))
	t.Cleanup(server.Close)
	t.Cleanup(goOn)
	out, said, ended := &lineBuffer{}, &lineBuffer{}, make(chan error, 1)
	go func() {
		ended <- d.command(out, said, "invoke", "runtime/echo", "-n", "team-a", "--gateway", server.URL+"/base", "--payload", "a: b", "--content-type", "application/yaml", "--accept", "text/plain", "--token", "mine").ExecuteContext(t.Context())
	}()
	d.Eventually(out.String, patience).Should(Equal("first\n"))
	goOn()
	d.Eventually(ended, patience).Should(Receive(BeNil()))
	d.Expect(out.String()).To(Equal("first\nlast"))
	d.Expect(said.String()).To(Equal("session id: new?\n"))
	d.Expect(asked.URL.EscapedPath()).To(Equal("/base/runtimes/team-a%2Fecho/invocations"))
	d.Expect(string(body)).To(Equal("a: b"))
	d.Expect(asked.Header).To(And(
		HaveKeyWithValue("Content-Type", []string{"application/yaml"}), HaveKeyWithValue("Accept", []string{"text/plain"}), HaveKeyWithValue("Authorization", []string{"Bearer mine"})))
}

// TestARefusalIsShownAsItComes: its text is, before it has ended.
func TestARefusalIsShownAsItComes(t *testing.T) {
	d := newDesk(t)
	going, goOn := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "first\x1b\n")
		w.(http.Flusher).Flush()
		<-going.Done()
		_, _ = io.WriteString(w, "last")
	}))
	t.Cleanup(server.Close)
	t.Cleanup(goOn)
	out, said, ended := &lineBuffer{}, &lineBuffer{}, make(chan error, 1)
	go func() {
		ended <- d.command(out, said, "invoke", "runtime/echo", "--gateway", server.URL, "--payload", "{}").ExecuteContext(t.Context())
	}()
	d.Eventually(said.String, patience).Should(Equal("first?\n"))
	goOn()
	d.Eventually(ended, patience).Should(Receive(MatchError("the gateway answered 500 Internal Server Error")))
	d.Expect(said.String()).To(Equal("first?\nlast\n"))
	d.Expect(out.String()).To(BeEmpty(), "it is no answer")
}

// TestByWhatTheGatewayKnowsWhoCalls: a token goes before an access key, unless that is for this
// gateway; and neither goes unencrypted.
func TestByWhatTheGatewayKnowsWhoCalls(t *testing.T) {
	d := newDesk(t)
	var got, leaked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _, _ = strings.Cut(r.Header.Get("Authorization"), " ")
		leaked += r.Header.Get("X-Amz-Security-Token")
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	const token, noToken = "--token mine", "--server http://127.0.0.1:1"
	for name, row := range map[string]struct {
		flag, key, endpoint string
		scheme, says        string
	}{
		"a token":                      {flag: token, scheme: "Bearer"},
		"a token and some key":         {flag: token, key: "AKID", endpoint: "https://elsewhere", scheme: "Bearer"},
		"a token, and a key for it":    {flag: token, key: "AKID", endpoint: server.URL, scheme: "AWS4-HMAC-SHA256", says: "signed with the access key AKID of AWS_ACCESS_KEY_ID"},
		"a key":                        {flag: noToken, key: "AKID", scheme: "AWS4-HMAC-SHA256", says: "signed with the access key AKID"},
		"nothing by which he is known": {flag: noToken, says: "or an access key of the gateway by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			t.Setenv(envKeyID, row.key)
			t.Setenv(envSecret, row.key)
			t.Setenv(envEndpoint, row.endpoint)
			t.Setenv("AWS_SESSION_TOKEN", "AWS's own")
			_, _, err := d.run(append([]string{"invoke", "runtime/echo", "--payload", "{}", "--gateway", server.URL}, strings.Fields(row.flag)...)...)
			g.Expect(err).To(MatchError(And(HavePrefix("the gateway answered 403"), ContainSubstring(row.says))))
			g.Expect(got).To(Equal(row.scheme))
			g.Expect(leaked).To(BeEmpty())
		})
	}
	t.Setenv(envKeyID, "AKID")
	t.Setenv(envSecret, "secret")
	_, _, err := d.run("invoke", "runtime/echo", "--payload", "{}", "--gateway", "http://x.example", "--server", "http://127.0.0.1:1")
	d.Expect(err).To(MatchError(ContainSubstring("your signature would go to x.example unencrypted")))
}

// TestAnAnswerThatIsCut is an error, and so is one that leads elsewhere.
func TestAnAnswerThatIsCut(t *testing.T) {
	d := newDesk(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "moved") {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	}))
	t.Cleanup(server.Close)
	out, _, err := d.run("invoke", "runtime/echo", "--gateway", server.URL, "--payload", "{}")
	d.Expect(out).To(Equal("half"))
	d.Expect(err).To(MatchError("the answer ended before its end: unexpected EOF"))
	_, _, err = d.run("invoke", "runtime/moved", "--gateway", server.URL, "--payload", "{}")
	d.Expect(err).To(MatchError(HavePrefix("the gateway answered 302 Found")))
}

// TestWhereToLook: an error of the agent's leads to explain, and one about a runtime says which.
func TestWhereToLook(t *testing.T) {
	d := newDesk(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "none") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set(contract.HeaderSessionID, "a session'; of 33 characters")
		w.WriteHeader(http.StatusFailedDependency)
	}))
	t.Cleanup(server.Close)
	_, _, err := d.run("invoke", "runtime/none", "--gateway", server.URL, "--payload", "{}")
	d.Expect(err).To(MatchError(ContainSubstring(`It was asked for the runtime "none" of namespace default`)))
	_, _, err = d.run("invoke", "runtime/echo", "--gateway", server.URL, "--payload", "{}")
	d.Expect(err).To(MatchError(ContainSubstring(`explain 'a session'\''; of 33 characters' -n default` + "` says why")))
	_, _, err = d.run("list", "--kubeconfig", t.TempDir()+"/gone")
	d.Expect(err).To(MatchError(ContainSubstring("(`agentsession local` removes its file when it ends)")))
}

// TestBadInvocations are refused with a sentence, before anybody is called.
func TestBadInvocations(t *testing.T) {
	d := newDesk(t)
	d.fill()
	d.in = strings.NewReader("no json")
	for args, says := range map[string]string{
		"echo":                                "what is to be asked? Give one of --payload JSON, -f FILE and -",
		"echo --payload {} -":                 "what is to be asked? Give one of",
		"echo --payload {} -f x":              "what is to be asked? Give one of",
		"echo {}":                             `one name is wanted, and "{}" is more`,
		"echo --payload hello":                "--payload is no JSON: quote it as your shell wants, or say with --content-type",
		"echo -":                              "standard input is no JSON",
		"echo -f no-such-file":                "read what is asked from no-such-file: open no-such-file",
		"":                                    "a name is missing",
		"pod/x --payload {}":                  `"pod/x" is no session`,
		"echo --payload {}":                   "no gateway is ready in namespace agentsession-system",
		"echo --payload {} --gateway ftp://x": `the gateway's URL is "ftp://x": it must be http or https`,
		"echo --payload {} --gateway http://x.example":   "your token would go to x.example unencrypted",
		"echo --payload {} --gateway http://127.0.0.1:1": "the gateway at http://127.0.0.1:1 cannot be reached: see whether it runs",
		"exited --payload {}":                            `AgentSession "exited" has no compute`,
	} {
		_, _, err := d.run(append([]string{"invoke"}, strings.Fields(args)...)...)
		d.Expect(err).To(MatchError(ContainSubstring(says)), args)
	}
}

// kubelet forwards ports of pods to those of this machine, as one does by SPDY, before an API
// that has none. It returns where it is.
func (d *desk) kubelet(ports map[string]string) (at string) {
	config, err := clientcmd.BuildConfigFromFlags("", d.kubeconfig)
	d.Expect(err).NotTo(HaveOccurred())
	to, err := url.Parse(config.Host)
	d.Expect(err).NotTo(HaveOccurred())
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport, err = rest.TransportFor(config)
	d.Expect(err).NotTo(HaveOccurred())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pod, is := strings.CutSuffix(r.URL.Path, "/portforward")
		if !is {
			proxy.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodPost { // a WebSocket, which older ones do not know
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		forwarded(w, r, ports[path.Base(pod)])
	}))
	d.t.Cleanup(server.Close)
	return server.URL
}

// forwarded serves one client, until it goes.
func forwarded(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set(httpstream.HeaderProtocolVersion, "portforward.k8s.io")
	streams := make(chan httpstream.Stream)
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	})
	if connection == nil {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	done, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer connection.Close()
	for {
		select {
		case <-connection.CloseChan():
			return
		case stream := <-streams:
			if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				_ = stream.Close() // it has nothing to say
				continue
			}
			conn, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
			if err != nil {
				_ = stream.Reset()
				continue
			}
			context.AfterFunc(done, func() { _ = conn.Close() })
			all.Go(func() { _, _ = io.Copy(conn, stream) })
			all.Go(func() {
				_, _ = io.Copy(stream, conn)
				_ = stream.Close()
				_ = conn.Close()
			})
		}
	}
}

// TestInvokeThroughTheAPIServer: a gateway is found by its pods, and a session without one is
// called at its own.
func TestInvokeThroughTheAPIServer(t *testing.T) {
	d := newDesk(t)
	d.fill()
	var asked []*http.Request
	answers := func(code int, text string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r)
			if r.URL.Path == contract.TasksPath && r.Header.Get("Authorization") != "Bearer secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}))
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	gateway, agent := answers(http.StatusUnauthorized, `{"message":"The request must have one Authorization"}`), answers(200, `{"active_count":2,"running_jobs":[{"name":"index","duration":90}]}`)
	at := d.kubelet(map[string]string{"gateway-2": gateway, "busy-1": agent})
	pod := func(namespace, name string, ready corev1.ConditionStatus) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: gatewayLabels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Image: "i", Ports: []corev1.ContainerPort{{Name: "health", ContainerPort: 8081}, {Name: "http", ContainerPort: 8080}}, Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "secret"}},
		}}}}
		d.Expect(d.client.Create(t.Context(), p)).To(Succeed())
		p.Status = corev1.PodStatus{PodIP: "10.0.0.7", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}
		d.Expect(d.client.Status().Update(t.Context(), p)).To(Succeed())
		return p
	}
	for _, name := range []string{"a-tenant", platformNamespace} {
		d.Expect(d.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
	pod("a-tenant", "gateway-0", corev1.ConditionTrue) // anybody's
	pod(platformNamespace, "gateway-1", corev1.ConditionFalse)
	pod(platformNamespace, "gateway-2", corev1.ConditionTrue)
	_, _, err := d.run("invoke", "echo", "--server", at, "--payload", "{}")
	d.Expect(asked).To(HaveLen(1), fmt.Sprint(err))
	d.Expect(asked[0].URL.EscapedPath()).To(Equal("/runtimes/default%2Fecho/invocations"))
	d.Expect(err).To(MatchError(HavePrefix("the gateway answered 401 Unauthorized: The request must have one Authorization. Your kubeconfig has no token")))

	s := d.session("busy")
	s.Status.Pod.UID = pod("default", "busy-1", corev1.ConditionTrue).UID
	s.Status.Runtime = &v1alpha1.ActivationRuntime{ProtocolConfiguration: v1alpha1.ProtocolConfiguration{ServerProtocol: v1alpha1.ProtocolMCP}}
	d.Expect(d.client.Status().Update(t.Context(), s)).To(Succeed())
	out, said, err := d.run("invoke", "busy", "--server", at, "--payload", "{}")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(HavePrefix(`{"active_count":2`))
	d.Expect(said).To(HavePrefix("note: straight to its pod"))
	d.Expect(asked[1].URL.Path).To(Equal(contract.MCPPath))
	d.Expect(asked[1].Host).To(MatchRegexp(`^localhost:\d+$`))
	d.Expect(asked[1].Header.Get(contract.HeaderSessionID)).To(HavePrefix("busy-"))
	d.Expect(asked[1].Header).NotTo(HaveKey("Authorization"), "an agent is not told who calls")
	out, said, err = d.run("tasks", "busy", "--server", at)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(Equal("SESSION   TASK    AGE   ENDED\nbusy      index   90s   -\n"))
	d.Expect(said).To(Equal("AgentSession \"busy\" has 1 tasks that its agent does not name.\n"))
	_, _, err = d.run("tasks", "busy")
	d.Expect(err).To(MatchError(ContainSubstring("forward a port to pod default/busy-1: ")), "this API has no port-forwarding")
}

// TestAnAnswerInATerminal does nothing to it, and leaves the prompt a line of its own.
func TestAnAnswerInATerminal(t *testing.T) {
	g, out := NewWithT(t), &lineBuffer{}
	v := &invocation{out: out, safe: true}
	answer := func(text string) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(text))}
	}
	g.Expect(v.show("the agent", answer("data: a\r\n\r\nb\x1b"))).To(Succeed())
	g.Expect(v.show("the agent", answer("whole\n"))).To(Succeed())
	g.Expect(v.show("the agent", answer(""))).To(Succeed())
	g.Expect(out.String()).To(Equal("data: a\n\nb?\nwhole\n"))
}
