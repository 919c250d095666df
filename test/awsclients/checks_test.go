package awsclients

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/echo"
)

// patience is how long a check waits for what has to come, on a busy machine.
const patience = 3 * time.Minute

var update = flag.Bool("update", false, "write the table of results")

const table = "../../docs/conformance.md"

// check is one of the sheet of facts, by its number.
type check struct {
	number int
	what   string
	see    func(s *subject)
}

// subject is a client, and a gateway that it calls.
type subject struct {
	*WithT
	t      *testing.T
	place  *place
	client client
	name   string
	prints string // what the client says that is worth telling
}

func (s *subject) do(in invocation) outcome {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	out, err := s.client.call(ctx, in)
	s.Expect(err).NotTo(HaveOccurred())
	return out
}

// ownNames are what Java's client, which is older than the others, calls exceptions.
var ownNames = map[string]string{
	"RuntimeClientError":         "RuntimeClientErrorException",
	"RetryableConflictException": "untyped RetryableConflictException", // it does not know that one
}

// named is what the client calls an exception.
func (s *subject) named(kind string) string {
	own, ok := ownNames[kind]
	if s.name != "Java" || !ok {
		return kind
	}
	s.prints = own
	return own
}

// invoke calls the agent, which must answer.
func (s *subject) invoke(agent *v1alpha1.AgentRuntime, session string) echo.Told {
	s.t.Helper()
	out := s.do(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Payload: "{}"})
	s.Expect(out.Error).To(BeEmpty(), out.Message)
	var told echo.Told
	s.Expect(json.Unmarshal([]byte(out.Body), &told)).To(Succeed())
	return told
}

func (s *subject) failing(in invocation, kind string, says ...string) outcome {
	s.t.Helper()
	out := s.do(in)
	s.Expect(out.Error).To(Equal(s.named(kind)), out.Message)
	for _, words := range says {
		s.Expect(out.Message).To(ContainSubstring(words))
	}
	return out
}

// runtime makes one, in a namespace of its own.
func (s *subject) runtime(change ...func(*v1alpha1.AgentRuntimeSpec)) *v1alpha1.AgentRuntime {
	s.t.Helper()
	ctx := s.t.Context()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "check-"}}
	s.Expect(s.place.api.Create(ctx, ns)).To(Succeed())
	s.t.Cleanup(func() { _ = s.place.api.Delete(context.Background(), ns) }) // the whole cluster goes soon
	agent := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "echo"},
		Spec: v1alpha1.AgentRuntimeSpec{
			Template:              corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{s.place.agent}}},
			ProtocolConfiguration: v1alpha1.ProtocolConfiguration{Port: s.place.port},
		},
	}
	for _, f := range change {
		f(&agent.Spec)
	}
	s.Expect(s.place.api.Create(ctx, agent)).To(Succeed())
	s.Eventually(func() error { return s.place.knows(ctx, agent) }).WithTimeout(patience).Should(Succeed())
	return agent
}

// version waits until the operator has recorded it.
func (s *subject) version(agent *v1alpha1.AgentRuntime, n int64) {
	s.t.Helper()
	s.Eventually(func() (int64, error) {
		err := s.place.api.Get(s.t.Context(), kube.ObjectKeyFromObject(agent), agent)
		return agent.Status.AgentRuntimeVersion, err
	}).WithTimeout(patience).Should(Equal(n))
}

// stop stops a session, and waits until it has.
func (s *subject) stop(agent *v1alpha1.AgentRuntime, session, token string) outcome {
	s.t.Helper()
	out := s.do(invocation{Op: "stop", Runtime: agent.Status.AgentRuntimeArn, Session: session, Token: token})
	s.Eventually(func() string {
		return s.do(invocation{Op: "stop", Runtime: agent.Status.AgentRuntimeArn, Session: session}).Error
	}).WithTimeout(patience).Should(Equal("ResourceNotFoundException"))
	return out
}

func newID() string { return string(uuid.NewUUID()) }

func ask(a echo.Ask) string {
	raw, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

var checks = []check{
	{39, "a new id makes one pod, the same id finds it with its memory", func(s *subject) {
		agent, session := s.runtime(), newID()
		first, second := s.invoke(agent, session), s.invoke(agent, session)
		s.Expect(first.Calls).To(BeEquivalentTo(1))
		s.Expect(second.Calls).To(BeEquivalentTo(2))
		s.Expect(second.Pod).To(Equal(first.Pod))
	}},
	{40, "two ids are two pods", func(s *subject) {
		agent := s.runtime()
		one, other := s.invoke(agent, newID()), s.invoke(agent, newID())
		s.Expect(other.Pod).NotTo(Equal(one.Pod))
		s.Expect(other.Calls).To(BeEquivalentTo(1))
	}},
	{51, "after a stop the same id has a new pod and a fresh memory", func(s *subject) {
		agent, session := s.runtime(), newID()
		before := s.invoke(agent, session)
		s.stop(agent, session, "")
		after := s.invoke(agent, session)
		s.Expect(after.Calls).To(BeEquivalentTo(1))
		s.Expect(after.Pod).NotTo(Equal(before.Pod))
	}},
	{52, "a session that lives keeps its version, a new id gets the new one", func(s *subject) {
		agent, session := s.runtime(), newID()
		s.Expect(s.invoke(agent, session).Path).To(Equal("/invocations"))
		base := agent.DeepCopy()
		agent.Spec.ProtocolConfiguration.Path = "/second"
		s.Expect(s.place.api.Patch(s.t.Context(), agent, kube.MergeFrom(base))).To(Succeed())
		s.version(agent, 2)
		s.Expect(s.invoke(agent, session).Path).To(Equal("/invocations"))
		s.Expect(s.invoke(agent, newID()).Path).To(Equal("/second"))
	}},
	{56, "a call to a session that another one starts is RetryableConflictException, and good later", func(s *subject) {
		agent, session := s.runtime(func(spec *v1alpha1.AgentRuntimeSpec) {
			spec.Template.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "agentsession.dev/held"}}
		}), newID()
		in := invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Payload: "{}"}
		first := make(chan outcome, 1)
		ctx := s.t.Context()
		go func() {
			out, _ := goClient{s.place.door}.call(ctx, in) // its error is in out, or the check waits for ever
			first <- out
		}()
		var pods corev1.PodList
		s.Eventually(func() ([]corev1.Pod, error) {
			err := s.place.api.List(ctx, &pods, kube.InNamespace(agent.Namespace))
			return pods.Items, err
		}).WithTimeout(patience).Should(HaveLen(1))
		once := in
		once.Once = true
		s.failing(once, "RetryableConflictException", "Session operation in progress, please retry")
		pod := &pods.Items[0]
		base := pod.DeepCopy()
		pod.Spec.SchedulingGates = nil
		s.Expect(s.place.api.Patch(ctx, pod, kube.MergeFrom(base))).To(Succeed())
		s.Expect((<-first).Code).To(Equal(200))
		s.Eventually(func() string { return s.do(in).Error }).WithTimeout(patience).Should(BeEmpty(), "it answers through each gateway")
	}},
	{58, "one session more than maxSessions is refused: ServiceQuotaExceededException", func(s *subject) {
		agent := s.runtime(func(spec *v1alpha1.AgentRuntimeSpec) { spec.MaxSessions = new(int32(1)) })
		s.invoke(agent, newID())
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: newID()}, "ServiceQuotaExceededException", "limit exceeded")
	}},
	{59, "a runtime is found by its ARN and by its id with the account; one that is not there is ResourceNotFoundException", func(s *subject) {
		agent := s.runtime()
		parts := strings.Split(agent.Status.AgentRuntimeArn, ":")
		out := s.do(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeID, Account: parts[4], Session: newID(), Payload: "{}"})
		s.Expect(out.Error).To(BeEmpty(), out.Message)
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeID, Account: "000000000000", Session: newID()}, "ResourceNotFoundException")
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn + "x", Session: newID()}, "ResourceNotFoundException")
	}},
	{60, "a session id has 33 to 256 characters: ValidationException with reason and fieldList", func(s *subject) {
		agent := s.runtime()
		for _, n := range []int{33, 256} {
			s.invoke(agent, strings.Repeat("s", n))
		}
		long := s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: strings.Repeat("s", 257)},
			"ValidationException", "Value at 'runtimeSessionId' failed to satisfy constraint: Member must have length less than or equal to 256")
		if s.name != "Go" {
			s.Expect(long.Reason).To(Equal("FieldValidationFailed"))
			s.Expect(long.Fields).To(Equal([]string{"runtimeSessionId"}))
		}
		if s.name == "boto3" {
			return // it looks for the lower bound itself
		}
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: strings.Repeat("s", 32)},
			"ValidationException", "Member must have length greater than or equal to 33")
	}},
	{62, "an answer has the session id, the agent's Content-Type, 200, and the body byte for byte", func(s *subject) {
		agent, session := s.runtime(), newID()
		payload := `{"text":"h\u00e9llo <&> ` + strings.Repeat("x", 300<<10) + `"}`
		out := s.do(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Payload: payload})
		s.Expect(out.Error).To(BeEmpty(), out.Message)
		s.Expect([]any{out.Code, out.Session, out.ContentType}).To(Equal([]any{200, session, "application/json"}))
		var told echo.Told
		s.Expect(json.Unmarshal([]byte(out.Body), &told)).To(Succeed())
		s.Expect(string(told.Payload)).To(Equal(payload))
	}},
	{63, "a stream arrives as it is made", func(s *subject) {
		agent := s.runtime()
		out := s.do(invocation{Op: "first", Runtime: agent.Status.AgentRuntimeArn, Session: newID(), Payload: ask(echo.Ask{Chunks: 2, Sleep: "1h"})})
		s.Expect(out.Error).To(BeEmpty(), out.Message)
		s.Expect(out.ContentType).To(HavePrefix("text/event-stream"))
		s.Expect(out.Body).To(Equal("data: 0\n"), "the second comes in an hour")
	}},
	{64, "an agent's error is RuntimeClientError with its code, and says nothing of the agent", func(s *subject) {
		agent, session := s.runtime(), newID()
		for _, code := range []int{500, 404, 422} {
			out := s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Payload: ask(echo.Ask{Code: code})},
				"RuntimeClientError", fmt.Sprintf("Received error (%d) from runtime.", code))
			s.Expect(out.Message).NotTo(ContainSubstring(echo.Secret))
		}
	}},
	{65, "100,000,000 bytes reach the agent, 100,000,001 are refused: ValidationException", func(s *subject) {
		agent := s.runtime()
		do := strings.TrimSuffix(ask(echo.Ask{Code: 418}), "}") + `,"x":"`
		do += strings.Repeat("x", 100_000_000-len(do)-len(`"}`)) + `"}`
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: newID(), Payload: do}, "RuntimeClientError", "Received error (418)")
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: newID(), Payload: strings.Repeat("x", 100_000_001)}, "ValidationException", "payload")
		s.prints = "" // row 64 says what the client calls the first
	}},
	{66, "a stop is 200 with the id, and a second one ResourceNotFoundException", func(s *subject) {
		agent, session := s.runtime(), newID()
		s.invoke(agent, session)
		out := s.stop(agent, session, "")
		s.Expect([]any{out.Code, out.Session}).To(Equal([]any{200, session}))
		s.failing(invocation{Op: "stop", Runtime: agent.Status.AgentRuntimeArn, Session: session}, "ResourceNotFoundException", "Session not found or already terminated")
	}},
	{67, "the same clientToken has the same answer", func(s *subject) {
		agent, session, token := s.runtime(), newID(), newID()
		s.invoke(agent, session)
		first := s.stop(agent, session, token)
		s.Expect(s.stop(agent, session, token)).To(Equal(first))
	}},
	{69, "errors are the client's own typed exceptions, in all these checks; here AccessDeniedException", func(s *subject) {
		agent := s.runtime()
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: newID(), Secret: "another"}, "AccessDeniedException", "signature")
		if s.name == "Java" {
			s.prints = "all but RetryableConflictException"
		}
	}},
	{70, "the same id under another endpoint is another session, with its version", func(s *subject) {
		agent, session := s.runtime(func(spec *v1alpha1.AgentRuntimeSpec) {
			spec.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
			spec.ProtocolConfiguration.Path = "/first"
		}), newID()
		base := agent.DeepCopy()
		agent.Spec.ProtocolConfiguration.Path = "/second"
		s.Expect(s.place.api.Patch(s.t.Context(), agent, kube.MergeFrom(base))).To(Succeed())
		s.version(agent, 2)
		s.Expect(s.invoke(agent, session).Path).To(Equal("/second"))
		out := s.do(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Qualifier: "PROD", Payload: "{}"})
		s.Expect(out.Error).To(BeEmpty(), out.Message)
		s.Expect(out.Body).To(And(ContainSubstring(`"path":"/first"`), ContainSubstring(`"calls":1`)))
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Qualifier: "TEST"}, "ResourceNotFoundException")
	}},
	{101, "stop, and call at once, 50 times: each call is answered by a new pod", func(s *subject) {
		agent, session := s.runtime(), newID()
		times := 50
		if s.place.slow {
			times = 3
		}
		before := s.invoke(agent, session)
		for range times {
			out := s.do(invocation{Op: "stop", Runtime: agent.Status.AgentRuntimeArn, Session: session})
			s.Expect(out.Error).To(BeEmpty(), out.Message)
			after := s.invoke(agent, session)
			s.Expect(after.Pod).NotTo(Equal(before.Pod))
			before = after
		}
	}},
	{102, "an agent that exits, and calls at once: RuntimeClientError until its end is known, then a new pod answers", func(s *subject) {
		agent, session := s.runtime(), newID()
		before := s.invoke(agent, session)
		s.failing(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Payload: ask(echo.Ask{Exit: true})}, "RuntimeClientError")
		s.Eventually(func(g Gomega) {
			out := s.do(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: session, Payload: "{}"})
			s.Expect(out.Error).To(Or(BeEmpty(), Equal(s.named("RuntimeClientError"))), out.Message)
			var told echo.Told
			g.Expect(json.Unmarshal([]byte(out.Body), &told)).To(Succeed())
			g.Expect(told.Pod).NotTo(Equal(before.Pod))
		}).WithTimeout(patience).Should(Succeed())
	}},
	{103, "eight first calls at once: all are answered, by one pod", func(s *subject) {
		agent, session := s.runtime(), newID()
		out := s.do(invocation{Op: "invoke", Times: 8, Runtime: agent.Status.AgentRuntimeArn, Session: session, Payload: "{}"})
		if s.name == "Go" || s.name == "Java" { // they try a conflict only once, there as here
			s.Expect(out.Error).To(Equal(s.named("RetryableConflictException")), out.Message)
			s.prints = out.Error + " for all but one"
			return
		}
		s.Expect(out.Error).To(BeEmpty(), out.Message)
		s.Expect(s.invoke(agent, session).Calls).To(BeEquivalentTo(9))
	}},
	{104, "an empty payload reaches the agent", func(s *subject) {
		agent := s.runtime()
		out := s.do(invocation{Op: "invoke", Runtime: agent.Status.AgentRuntimeArn, Session: newID()})
		s.Expect(out.Error).To(BeEmpty(), out.Message)
		var told echo.Told
		s.Expect(json.Unmarshal([]byte(out.Body), &told)).To(Succeed())
		s.Expect(told.Payload).To(BeEmpty())
	}},
	{105, "a session that is stopped during a stream: the stream ends, and looks cut", func(s *subject) {
		agent := s.runtime()
		out := s.do(invocation{Op: "stopped", Runtime: agent.Status.AgentRuntimeArn, Session: newID(), Payload: ask(echo.Ask{Chunks: 2, Sleep: "1h"})})
		s.Expect(out.Error).NotTo(BeEmpty(), out.Body)
		s.prints = out.Error
	}},
}

// onNode are checks that need one.
var onNode = []check{
	{71, "a command's output and exit code come as events", func(s *subject) {
		agent := s.runtime(func(spec *v1alpha1.AgentRuntimeSpec) { spec.Template.Spec.Containers[0].Image = shellImage })
		s.place.allowCommands(s.t, agent.Namespace)
		in := invocation{Op: "command", Runtime: agent.Status.AgentRuntimeArn, Session: newID(), Payload: "echo out; echo err >&2; exit 7"}
		var out outcome
		s.Eventually(func() string {
			out = s.do(in)
			return out.Error
		}).WithTimeout(patience).Should(BeEmpty())
		s.Expect(out.Body).To(And(HavePrefix("start;"), ContainSubstring("stdout out\n;"), ContainSubstring("stderr err\n;"), HaveSuffix("stop 7 COMPLETED;")))
	}},
}

// withoutJava are the clients that every machine for tests has.
var withoutJava = []string{"Go", "boto3", "JavaScript"}

// clients are those of AWS that are asked for, and why Java's is not among them, if it is
// not: a machine for tests need have no Java.
func clients(t *testing.T, here *place, names ...string) (all map[string]client, noJava error) {
	t.Helper()
	all = map[string]client{}
	starts := map[string]func(context.Context, door) (*piped, error){"boto3": startBoto, "JavaScript": startJavaScript, "Java": startJava}
	for _, name := range names {
		if name == "Go" {
			all[name] = goClient{here.door}
			continue
		}
		one, err := starts[name](context.Background(), here.door)
		if name == "Java" && err != nil {
			noJava = err
			continue
		}
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = one.stop() })
		all[name] = one
	}
	return all, noJava
}

// columns are the clients in the table's order, with their versions.
var columns = []struct{ name, heading string }{
	{"Go", "Go, bedrockagentcore 1.56.3"}, {"boto3", "boto3 1.44.5"}, {"JavaScript", "JavaScript 3.1141.0"}, {"Java", "Java 2.40.3"},
}

// notSeen is what the last line of a run says.
var notSeen string

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	if notSeen != "" {
		line, _, _ := strings.Cut(notSeen, "\n")
		fmt.Println(line)
	}
	os.Exit(code)
}

func TestChecks(t *testing.T) {
	t.Parallel()
	here := newPlace(t)
	saw := map[string]string{}
	seen, names := checks, append(slices.Clone(withoutJava), "Java")
	if here.node {
		seen, names = append(slices.Clone(checks), onNode...), withoutJava
	}
	all, noJava := clients(t, here, names...)
	var mu sync.Mutex // of saw
	t.Run("clients", func(t *testing.T) {
		for name, c := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for _, check := range seen {
					cell := "**no**"
					t.Run(fmt.Sprintf("%d %s", check.number, check.what), func(t *testing.T) {
						s := &subject{NewWithT(t), t, here, c, name, ""}
						check.see(s)
						cell = "yes"
						if s.prints != "" {
							cell += ": " + s.prints
						}
					})
					mu.Lock()
					saw[fmt.Sprint(check.number, name)] = cell
					mu.Unlock()
				}
			})
		}
	})
	if noJava != nil {
		notSeen = fmt.Sprintf("Java's column of the table was NOT SEEN, the others were: %v", noJava)
		t.Log(notSeen)
	}
	if !here.node {
		compare(t, saw, noJava)
	}
}

// compare holds the table in docs against what was seen.
func compare(t *testing.T, saw map[string]string, noJava error) {
	t.Helper()
	there, err := os.ReadFile(table)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	if noJava != nil {
		NewWithT(t).Expect(*update).To(BeFalse(), "the table is written with all clients only")
		for _, check := range checks {
			saw[fmt.Sprint(check.number, "Java")] = lastCell(string(there), check.number)
		}
	}
	page := written(saw)
	if *update {
		NewWithT(t).Expect(os.WriteFile(table, []byte(page), 0o600)).To(Succeed())
		return
	}
	NewWithT(t).Expect(string(there)).To(Equal(page), "go test -update writes it")
}

// lastCell is the last one of a row, which is Java's.
func lastCell(table string, number int) string {
	_, row, _ := strings.Cut(table, fmt.Sprintf("\n| %d |", number))
	row, _, _ = strings.Cut(row, " |\n")
	cells := strings.Split(row, " | ")
	return cells[len(cells)-1]
}

func TestJavasCellsAreKept(t *testing.T) {
	saw := map[string]string{}
	for _, check := range checks {
		saw[fmt.Sprint(check.number, "JavaScript")], saw[fmt.Sprint(check.number, "Java")] = "yes", fmt.Sprintf("yes: what %d prints", check.number)
	}
	for _, check := range checks {
		NewWithT(t).Expect(lastCell(written(saw), check.number)).To(Equal(saw[fmt.Sprint(check.number, "Java")]))
	}
}

// written is the page of docs that says what was seen.
func written(saw map[string]string) string {
	var b strings.Builder
	b.WriteString(`# AWS's own clients against the gateway

` + "`make conformance`" + ` calls a gateway (on a real API server, with the operator, and a
simulated node) with AWS's clients for Go, Python, JavaScript and Java. Only endpoint and
credentials are set: retries and their delays are the clients' defaults. It fails if this table
differs from what was seen (without a JDK, Maven or a registry it reports that Java was not
checked). The numbers are those of the project's list of facts about AgentCore; from 101 on
they are ours. All checks also run against ` + "`agentsession local`" + `, with signed calls, by all clients but Java's.

`)
	row := func(number, what string, cell func(name, heading string) string) {
		fmt.Fprintf(&b, "| %s | %s |", number, what)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", cell(c.name, c.heading))
		}
		b.WriteString("\n")
	}
	row("", "what is seen", func(_, heading string) string { return heading })
	b.WriteString("|---:|---|---|---|---|---|\n")
	for _, check := range checks {
		row(fmt.Sprint(check.number), check.what, func(name, _ string) string { return saw[fmt.Sprint(check.number, name)] })
	}
	for _, check := range onNode {
		row(fmt.Sprint(check.number), check.what, func(name, _ string) string {
			if name == "Java" {
				return "it has no commands"
			}
			return "on a node"
		})
	}
	b.WriteString(`
The end-to-end suite (` + "`make e2e`" + `) has all of them seen by all clients but Java's once
more, of the gateway's own Deployment on a node, with real pods; what needs a node is seen
there only, and the suite fails if it is not. 61, 68, 72, 73 and 74 need requests that
these clients do not make, or their patience: they are in ` + "`test/gateway`" + `, with the ids
that boto3 checks itself. What is of the operator alone (37, 38, 41 to 50, 53 to 55, 57)
is in ` + "`internal/lifecycle`" + `, ` + "`controllers`" + ` and ` + "`test/e2e`" + `, under these numbers where a
row has one. What signers of clients send (JavaScript, Java, Rust, boto3, aws4fetch,
awscurl, requests-aws4auth, curl) is recorded in ` + "`internal/authn/testdata/signed`" + `.

Java's client has another name for RuntimeClientError, and does not know what it prints as
untyped: a BedrockAgentCoreException with that code.

boto3 and JavaScript retry a conflict (409) by themselves, after the 5 s that
the gateway sends in ` + "`x-amz-retry-after`" + `; they try three times.
Go's and Java's clients do not retry it, on AgentCore as here; at a gateway with
` + "`--conflict=wait`" + ` such calls wait instead. Throttling (429) and 503 are retried by Java's,
four times in all, after the delay in ` + "`Retry-After`" + `.

## The control plane

Clients for Go (bedrockagentcorecontrol 1.78.1), Python and JavaScript do all of it, with one story (` + "`TestRuntimeStory`" + `): they
create a runtime, whose agent answers; update it, which the session that is there does not feel and a new one gets; pin the
old version by an endpoint, and move that; tag, list and delete. All 14 operations are asked for by each. Details of members and
refusals are seen by boto3 (` + "`TestControlPlane`" + `). The client of AWS's starter toolkit 0.3.14, with ` + "`BEDROCK_AGENTCORE_CP_ENDPOINT`" + `, makes,
finds, updates, calls and deletes a runtime (` + "`TestToolkit`" + `).

Terraform's calls for ` + "`aws_bedrockagentcore_agent_runtime`" + ` and its endpoint are replayed one by one with Go's client, which its provider
uses (` + "`TestTerraform`" + `): ` + "`READY`" + ` twice in a row, no state that it does not wait through, and no difference in a second plan. The provider itself
comes from Terraform's registry, and is not run.

All that is said in these tests is held against botocore's own model of the operation as it comes over the wire:
required members, types, bounds, patterns, ISO-8601 times, status codes, and the types of errors. What the model forbids is not done, and
what it allows is refused by name only. A fuzzer (` + "`TestControlPlaneFuzz`" + `) sends 300 valid and invalid requests that are made of the model, or as many as
` + "`AGENTSESSION_FUZZ`" + ` says, with the seed ` + "`AGENTSESSION_FUZZ_SEED`" + `: there is no 5xx; a valid request is refused only for what
[control-plane.md](control-plane.md) says; and a runtime gives back what it was given. Wider than the model are images and ports; a runtime that kubectl
made has no role; ResourceNotFoundException is no error of ListAgentRuntimeEndpoints there.

## Shells and ARNs

AWS's SDK for Python opens WebSockets and shells (` + "`TestShells`" + `), and takes our ARNs: ` + "`build_runtime_url`" + `, with which its
A2A agents find out their own URL, refuses a region whose name is not like those of AWS.
`)
	return b.String()
}
