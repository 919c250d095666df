package dashboard_test

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/explain"
)

// add makes a session with a status.
func (s *stand) add(name string, status v1alpha1.AgentSessionStatus) *v1alpha1.AgentSession {
	s.t.Helper()
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	session.Spec.DesiredState = v1alpha1.DesiredRunning
	session.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
	s.Expect(s.client.Create(s.t.Context(), session)).To(Succeed())
	session.Status = status
	s.Expect(s.client.Status().Update(s.t.Context(), session)).To(Succeed())
	return session
}

func (s *stand) get(session *v1alpha1.AgentSession) *v1alpha1.AgentSession {
	s.t.Helper()
	s.Expect(s.client.Get(s.t.Context(), client.ObjectKeyFromObject(session), session)).To(Succeed())
	return session
}

func idle() v1alpha1.AgentSessionStatus {
	now := metav1.Now().Rfc3339Copy()
	return v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateIdle, Activation: 1, PingStatus: "Healthy", HealthyAt: &now, Usage: &v1alpha1.Usage{CountedAt: now},
		Pod:      &v1alpha1.PodStatus{Name: "x-1", UID: "u", IP: "10.0.0.7", Node: "n1", CreatedAt: now},
		NextStop: &v1alpha1.NextStop{At: metav1.NewTime(now.Add(15 * time.Minute)), Reason: v1alpha1.StopIdleTimeout},
	}
}

// TestStopAndWake write what the verbs write, and say what was done.
func TestStopAndWake(t *testing.T) {
	s := serve(t, nil)
	x := s.add("x", idle())
	response, text := s.ask(http.MethodPost, "/api/sessions/default/x/wake", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusConflict))
	s.Expect(text).To(Equal(`{"error":"AgentSession x was not asked to start: it is Idle"}`))
	response, text = s.ask(http.MethodPost, "/api/sessions/default/x/stop", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusOK), text)
	s.Expect(text).To(Equal(`{"said":"AgentSession x was asked to stop."}`))
	s.Expect(s.get(x).Spec.DesiredState).To(Equal(v1alpha1.DesiredStopped))
	response, text = s.ask(http.MethodPost, "/api/sessions/default/x/stop", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusConflict))
	s.Expect(text).To(ContainSubstring("it was asked to stop already"))
	response, text = s.ask(http.MethodPost, "/api/sessions/default/x/wake", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusOK), text)
	s.Expect(s.get(x).Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
}

// TestReadOnly: without --write nothing is written and nobody is called.
func TestReadOnly(t *testing.T) {
	s := serve(t, func(o *dashboard.Options) {
		o.Write = false
		o.Invoke = func(context.Context, *v1alpha1.AgentSession, []byte, func(*http.Response) error) error {
			t.Error("the agent was called")
			return nil
		}
	})
	x := s.add("x", idle())
	version := x.ResourceVersion
	for _, verb := range []string{"stop", "wake", "invoke"} {
		response, text := s.ask(http.MethodPost, "/api/sessions/default/x/"+verb, nil)
		s.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
		s.Expect(text).To(ContainSubstring("start the dashboard with --write to " + verb))
	}
	s.Expect(s.get(x).ResourceVersion).To(Equal(version))
}

// TestOneNamespace: a page of one namespace shows no other.
func TestOneNamespace(t *testing.T) {
	s := serve(t, func(o *dashboard.Options) { o.Namespace = "team-a" })
	x := s.add("x", idle())
	for _, path := range []string{"/api/sessions/default/x", "/api/runtimes/default/x"} {
		response, text := s.ask(http.MethodGet, path, nil)
		s.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
		s.Expect(text).To(ContainSubstring("shows the namespace team-a only"))
	}
	response, _ := s.ask(http.MethodPost, "/api/sessions/default/x/stop", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
	s.Expect(s.get(x).Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
}

// TestInvoke hands an answer on as it comes, as text and never as what the agent calls it.
func TestInvoke(t *testing.T) {
	more := make(chan struct{})
	var asked []byte
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	agent := func(_ context.Context, _ *v1alpha1.AgentSession, body []byte, answer func(*http.Response) error) error {
		asked = body
		switch string(body) {
		case `"refused"`:
			return errors.New("no gateway\x1b[31m is ready")
		case `"long"`:
			return answer(&http.Response{StatusCode: 200, Body: io.NopCloser(io.LimitReader(letters{}, 1<<30))})
		}
		from, to := io.Pipe()
		go func() {
			fmt.Fprint(to, "<script>")
			select {
			case <-more:
			case <-ctx.Done():
			}
			fmt.Fprint(to, "done")
			to.Close()
		}()
		return answer(&http.Response{StatusCode: 418, Header: http.Header{"Content-Type": {"text/html\x00"}, "Set-Cookie": {"a=b"}}, Body: from})
	}
	s := serve(t, func(o *dashboard.Options) { o.Invoke = agent })
	s.add("x", idle())
	post := func(body string) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/api/sessions/default/x/invoke", strings.NewReader(body))
		s.Expect(err).NotTo(HaveOccurred())
		r.Header = http.Header{"Authorization": {"Bearer " + s.token}, "Origin": {s.base}, "X-Agentsession": {"1"}}
		response, err := http.DefaultTransport.RoundTrip(r)
		s.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	response := post(`{"a":1}`)
	s.Expect(response.StatusCode).To(Equal(http.StatusOK))
	s.Expect(response.Header).To(And(
		HaveKeyWithValue("Content-Type", []string{"text/plain; charset=utf-8"}), HaveKeyWithValue("X-Agent-Status", []string{"418"}),
		HaveKeyWithValue("X-Agent-Content-Type", []string{"text/html?"}), HaveKeyWithValue("X-Content-Type-Options", []string{"nosniff"}), Not(HaveKey("Set-Cookie"))))
	first := make([]byte, 8)
	_, err := io.ReadFull(response.Body, first)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(string(first)).To(Equal("<script>"), "before the agent says more")
	close(more)
	rest, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(string(rest)).To(Equal("done"))
	s.Expect(string(asked)).To(Equal(`{"a":1}`))

	says := func(response *http.Response) string {
		text, err := io.ReadAll(response.Body)
		s.Expect(err).NotTo(HaveOccurred())
		return fmt.Sprint(response.StatusCode, " ", string(text))
	}
	s.Expect(says(post(`{"a":`))).To(Equal(`400 {"error":"the payload is no JSON"}`))
	s.Expect(says(post(`"refused"`))).To(Equal(`502 {"error":"no gateway?[31m is ready"}`))
	s.Expect(says(post(`"` + strings.Repeat("x", 1<<20) + `"`))).To(HavePrefix(`413 {"error":"the payload has more than 1048576 bytes`))
	n, err := io.Copy(io.Discard, post(`"long"`).Body)
	s.Expect(err).To(HaveOccurred(), "it breaks off")
	s.Expect(n).To(BeNumerically("<=", 16<<20))
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// TestASessionAndItsRuntime are told with their story, Events and tasks.
func TestASessionAndItsRuntime(t *testing.T) {
	s := serve(t, func(o *dashboard.Options) {
		o.Tools = explain.Tools{Self: "agentsession", Kubectl: "kubectl"}
		o.Tasks = func(context.Context, *v1alpha1.AgentSession) ([]contract.RunningTask, error) {
			return []contract.RunningTask{{Name: "dig\x1b", Duration: 90 * time.Second, Ended: new(time.Second)}}, nil
		}
	})
	status := idle()
	status.History = []v1alpha1.PastActivation{{Activation: 1, Reason: v1alpha1.StopIdleTimeout, Message: "No work", Until: metav1.NewTime(time.Unix(1000, 0))}}
	x := s.add("x", status)
	s.Expect(s.client.Create(t.Context(), &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x.1"}, Reason: "Flapping", Message: "to and\x1bfro", Type: "Warning", Count: 3, LastTimestamp: metav1.NewTime(time.Unix(2000, 0)),
		InvolvedObject: corev1.ObjectReference{Kind: "AgentSession", Namespace: "default", Name: "x", UID: x.UID},
	})).To(Succeed())
	runtime := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "echo"}}
	runtime.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
	s.Expect(s.client.Create(t.Context(), runtime)).To(Succeed())

	_, text := s.ask(http.MethodGet, "/api/sessions/default/x", nil)
	var session struct {
		Row    struct{ Key, State string }
		Story  struct{ Chapters []struct{ Heading string } }
		Events []struct {
			At      int64
			Message string
			Count   int
		}
		History []struct {
			At     int64
			Reason string
		}
		Tasks []struct {
			Name           string
			Seconds, Ended int
		}
	}
	s.Expect(json.Unmarshal([]byte(text), &session)).To(Succeed(), text)
	s.Expect(session.Row.Key).To(Equal("default/x"))
	s.Expect(session.Row.State).To(Equal("Idle"))
	s.Expect(session.Story.Chapters).To(ContainElements(HaveField("Heading", "Now"), HaveField("Heading", "What comes next"), HaveField("Heading", "What to type next")))
	s.Expect(session.Events).To(HaveExactElements(And(HaveField("At", int64(2_000_000)), HaveField("Message", "to and?fro"), HaveField("Count", 3))))
	s.Expect(session.History).To(HaveExactElements(And(HaveField("At", int64(1_000_000)), HaveField("Reason", "IdleTimeout"))))
	s.Expect(session.Tasks).To(HaveExactElements(And(HaveField("Name", "dig?"), HaveField("Seconds", 90), HaveField("Ended", 1))))

	response, text := s.ask(http.MethodGet, "/api/runtimes/default/echo", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusOK), text)
	s.Expect(text).To(And(ContainSubstring(`"key":"default/echo"`), ContainSubstring("It has no session")))
	response, text = s.ask(http.MethodGet, "/api/runtimes/default/none", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusNotFound))
	s.Expect(text).To(ContainSubstring(`there is no AgentRuntime \"none\" in namespace default`))
}

// events reads a stream's events until one is as wanted, and returns its data.
func (s *stand) events(from *bufio.Scanner, wanted func(name, data string) bool) string {
	s.t.Helper()
	name := ""
	for from.Scan() {
		if text, ok := strings.CutPrefix(from.Text(), "event: "); ok {
			name = text
		}
		if data, ok := strings.CutPrefix(from.Text(), "data: "); ok && wanted(name, data) {
			return data
		}
	}
	s.t.Fatalf("the stream has ended: %v", from.Err())
	return ""
}

// stream opens a page's stream, and ends it when what has to come does not.
func (s *stand) stream() *bufio.Scanner {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/api/stream", http.NoBody)
	s.Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultTransport.RoundTrip(r)
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { response.Body.Close() })
	s.Expect(response.StatusCode).To(Equal(http.StatusOK))
	s.Expect(response.Header.Get("Content-Type")).To(Equal("text/event-stream"))
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 4<<20)
	return lines
}

// TestTheStream tells what there is, what changes and what is gone.
func TestTheStream(t *testing.T) {
	s := serve(t, nil)
	x := s.add("x", idle())
	lines := s.stream()
	hello := s.events(lines, func(name, _ string) bool { return name == "hello" })
	s.Expect(hello).To(And(ContainSubstring(`"where":"here"`), ContainSubstring(`"write":true`), ContainSubstring(`"namespaces":"all"`), ContainSubstring(`"windowMs":3600000`)))
	says := func(part string) string {
		return s.events(lines, func(name, data string) bool { return name == "rows" && strings.Contains(data, part) })
	}
	says(`"key":"default/x"`)
	s.get(x).Status.State = v1alpha1.StateActive
	x.Status.PingStatus = "HealthyBusy"
	s.Expect(s.client.Status().Update(t.Context(), x)).To(Succeed())
	s.Expect(says(`"state":"Active"`)).To(And(ContainSubstring(`"ping":"HealthyBusy"`), ContainSubstring(`"reset":false`)))
	s.Expect(s.client.Delete(t.Context(), x)).To(Succeed())
	says(`"gone":["default/x"]`)
}

// TestTheStreamIsCompressed for who takes gzip, and for nobody else.
func TestTheStreamIsCompressed(t *testing.T) {
	s := serve(t, nil)
	for accepts, encoding := range map[string]string{
		"identity": "", "gzip, deflate, br, zstd": "gzip", "br;q=1.0, GZIP; q=0.8": "gzip", "gzip;q=0, deflate": "", "gzip;q=0.000": "", "xgzip": "",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/api/stream", http.NoBody)
		s.Expect(err).NotTo(HaveOccurred())
		r.Header.Set("Authorization", "Bearer "+s.token)
		r.Header.Set("Accept-Encoding", accepts)
		response, err := http.DefaultTransport.RoundTrip(r)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(response.Header.Get("Content-Encoding")).To(Equal(encoding), accepts)
		s.Expect(response.Header.Get("Vary")).To(Equal("Accept-Encoding"))
		var text io.Reader = response.Body
		if encoding == "gzip" {
			text, err = gzip.NewReader(response.Body)
			s.Expect(err).NotTo(HaveOccurred())
		}
		first, err := bufio.NewReader(text).ReadString('\n')
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(first).To(Equal("event: hello\n"))
		cancel()
		s.Expect(response.Body.Close()).To(Succeed())
	}
}

// TestTooManyPages: one more than may be open is told so, and may come when another has gone.
func TestTooManyPages(t *testing.T) {
	s := serve(t, nil)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	open := func(ctx context.Context) (int, string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/api/stream", http.NoBody)
		s.Expect(err).NotTo(HaveOccurred())
		r.Header.Set("Authorization", "Bearer "+s.token)
		response, err := http.DefaultTransport.RoundTrip(r)
		s.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { response.Body.Close() })
		if response.StatusCode == http.StatusOK {
			return response.StatusCode, ""
		}
		text, err := io.ReadAll(response.Body)
		s.Expect(err).NotTo(HaveOccurred())
		return response.StatusCode, string(text)
	}
	for range 32 {
		code, _ := open(ctx)
		s.Expect(code).To(Equal(http.StatusOK))
	}
	code, text := open(t.Context())
	s.Expect(code).To(Equal(http.StatusServiceUnavailable))
	s.Expect(text).To(ContainSubstring("32 pages are open, which is the limit"))
	leave()
	s.Eventually(func() int { code, _ := open(t.Context()); return code }).WithTimeout(patience).Should(Equal(http.StatusOK))
}

// TestTheAPIServerRefuses: what the user may not do is said in words, and what comes back is
// shown.
func TestTheAPIServerRefuses(t *testing.T) {
	refused := apierrors.NewForbidden(schema.GroupResource{Group: "runtime.agentsession.dev", Resource: "agentsessions"}, "", errors.New("not you"))
	forbidden := make(chan bool, 1)
	forbidden <- true
	base := serve(t, nil)
	x := base.add("x", idle())
	check := func(list client.ObjectList) error {
		_, sessions := list.(*v1alpha1.AgentSessionList)
		no := <-forbidden
		forbidden <- no
		if no && sessions {
			return refused
		}
		return nil
	}
	c := interceptor.NewClient(base.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return cmp.Or(check(list), c.List(ctx, list, opts...))
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			if err := check(list); err != nil {
				return nil, err
			}
			return c.Watch(ctx, list, opts...)
		},
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return refused
		},
	})
	s := serveFor(t, c, func(o *dashboard.Options) {
		o.InWords = func(err error) error { return fmt.Errorf("you may not: %w", err) }
	})
	lines := s.stream()
	trouble := s.events(lines, func(name, data string) bool { return name == "trouble" && strings.Contains(data, "AgentSessions") })
	s.Expect(trouble).To(ContainSubstring("AgentSessions cannot be read: you may not: "))
	response, text := s.ask(http.MethodPost, "/api/sessions/default/"+x.Name+"/stop", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
	s.Expect(text).To(HavePrefix(`{"error":"you may not: `))
	<-forbidden
	forbidden <- false
	s.events(lines, func(name, data string) bool { return name == "trouble" && strings.Contains(data, `"text":""`) })
	s.events(lines, func(name, data string) bool { return name == "rows" && strings.Contains(data, `"default/x"`) })
}
