package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	stockImage = "agentsession/stock-agents:dev"
	// stockScale leaves many agents that start at once 60 s to answer their first
	// pings, and makes an idle timeout of 30 s.
	stockScale = 2
)

// stock is an agent that nobody here wrote, and how its users call it.
type stock struct {
	name     string
	protocol v1alpha1.ServerProtocol
	agent    string // its program in the image
	client   string // the program that calls it, with %s for the runtime's ARN
	before   []turn // said to it before it idles out
	after    []turn // and then
	contract string // the reason of its condition PingContract
}

// turn is a line for the client, and what it prints then.
type turn struct {
	say    string
	answer types.GomegaMatcher
}

// Clients, as their users have them. The ids of sessions are as long as AWS wants them.
const (
	botoClient = "python boto.py %s a-session-of-somebody-who-calls-with-boto3"
	jsClient   = "node aws_client.js %s a-session-of-somebody-who-calls-with-javascript"
	a2aClient  = "python a2a_client.py %s a-session-of-somebody-who-speaks-a2a"
	mcpClient  = "python mcp_client.py %s "
	aguiClient = "node agui_client.js %s a-session-of-somebody-who-speaks-ag-ui"
)

func says(say, answer string) []turn { return []turn{{say, ContainSubstring(answer)}} }

// forgotten is what a server with state says of a session after its stop: it knows
// nothing of it any more. The client begins another.
func forgotten(say string) []turn {
	return []turn{{say, MatchRegexp(`\{"errors": \["Session (terminated|not found)"\]\}`)}}
}

var stocks = []stock{
	{
		name: "Strands on AWS's SDK for Python", protocol: v1alpha1.ProtocolHTTP,
		agent: "python aws_strands.py", client: botoClient,
		before:   append(says(`{"prompt":"hello"}`, "heard 1"), says(`{"prompt":"hello"}`, "heard 2")...),
		after:    says(`{"prompt":"hello"}`, "heard 1"),
		contract: "Conforms",
	}, {
		name: "AWS's SDK for TypeScript", protocol: v1alpha1.ProtocolHTTP,
		agent: "node aws_typescript.js", client: jsClient,
		before:   says(`{"prompt":"hello"}`, `{"text":"hello"}`),
		after:    says(`{"prompt":"hello"}`, `{"text":"hello"}`),
		contract: "Conforms",
	}, {
		name: "Strands, as its guide serves it with FastAPI: deaf while it works", protocol: v1alpha1.ProtocolHTTP,
		agent: "python strands_fastapi.py", client: botoClient,
		// Longer than the idle timeout, and than an agent may fail its pings.
		before: append(says(`{"input":{"prompt":"hello"}}`, "heard 1"),
			says(`{"input":{"prompt":"think for 35 seconds"}}`, "heard 2")...),
		after:    says(`{"input":{"prompt":"hello"}}`, "heard 1"),
		contract: "StatusUnknown",
	}, {
		name: "LangGraph", protocol: v1alpha1.ProtocolHTTP,
		agent: "python langgraph_aws.py", client: botoClient,
		before:   append(says(`{"prompt":"hello"}`, "one of 2"), says(`{"prompt":"hello"}`, "two of 4")...),
		after:    says(`{"prompt":"hello"}`, "one of 2"),
		contract: "Conforms",
	}, {
		name: "FastMCP without state", protocol: v1alpha1.ProtocolMCP,
		agent: "python mcp_stateless.py", client: mcpClient + "auto add",
		before:   append(says(`{"a":1,"b":2}`, `{"tools": ["add"], "result": {"result": 3}}`), says(`{"a":2,"b":2}`, `{"result": 4}`)...),
		after:    says(`{"a":3,"b":2}`, `{"result": 5}`),
		contract: "MCPPing",
	}, {
		name: "FastMCP with state", protocol: v1alpha1.ProtocolMCP,
		agent: "python mcp_stateful.py", client: mcpClient + "legacy note",
		before:   append(says(`{"text":"a"}`, `{"tools": ["note"], "result": {"result": ["a"]}}`), says(`{"text":"b"}`, `["a", "b"]`)...),
		after:    append(forgotten(`{"text":"c"}`), says(`{"text":"d"}`, `["d"]`)...),
		contract: "MCPPing",
	}, {
		name: "MCP's own SDK behind uvicorn", protocol: v1alpha1.ProtocolMCP,
		agent: "python mcp_uvicorn.py", client: mcpClient + "legacy add",
		before:   says(`{"a":1,"b":2}`, `{"tools": ["add"], "result": {"result": 3}}`),
		after:    append(forgotten(`{"a":2,"b":2}`), says(`{"a":3,"b":2}`, `{"result": 5}`)...),
		contract: "MCPPing",
	}, {
		name: "A2A's SDK, with a card that its author left as it was", protocol: v1alpha1.ProtocolA2A,
		agent: "python a2a_server.py", client: a2aClient,
		before:   says("world", "Hello, world"),
		after:    says("again", "Hello, again"),
		contract: "StatusUnknown",
	}, {
		name: "A2A's SDK, served by AWS's", protocol: v1alpha1.ProtocolA2A,
		agent: "python a2a_aws.py", client: a2aClient,
		before:   says("world", "Hello, world"),
		after:    says("again", "Hello, again"),
		contract: "TimestampMissing",
	}, {
		name: "AG-UI's own server for Strands", protocol: v1alpha1.ProtocolAGUI,
		agent: "python agui_strands.py", client: aguiClient,
		before:   append(says("hello", "heard 1"), says("again", "heard 2")...),
		after:    says("hello", "heard"),
		contract: "StatusUnknown",
	}, {
		name: "a web server by hand in Express", protocol: v1alpha1.ProtocolHTTP,
		agent: "node express.js", client: botoClient,
		before:   says(`{"prompt":"hello"}`, `{"heard":"hello"}`),
		after:    says(`{"prompt":"again"}`, `{"heard":"again"}`),
		contract: "NotJSON",
	}, {
		name: "a web server by hand with one thread", protocol: v1alpha1.ProtocolHTTP,
		agent: "python one_thread.py", client: botoClient,
		before:   says(`{"prompt":"hello"}`, `{"heard": "hello"}`),
		after:    says(`{"prompt":"again"}`, `{"heard": "again"}`),
		contract: "TimestampMissing",
	},
}

// All live at once, since their lives are mostly waiting.
var _ = Describe("An agent that nobody here wrote, unchanged", Ordered, ContinueOnFailure, func() {
	lives := map[string]chan string{}

	BeforeAll(func(ctx context.Context) {
		runOperator(ctx, fmt.Sprintf("--time-scale=%d", stockScale))
		installGateway(ctx)
		gateways(ctx)
		clients := clientsPod(ctx, newNamespace(ctx))
		living, end := context.WithCancel(context.Background())
		DeferCleanup(end)
		for i, kind := range stocks {
			agent := stockRuntime(ctx, clients.Namespace, fmt.Sprintf("stock-%d", i), &kind)
			lived := make(chan string, 1)
			lives[kind.name] = lived
			go func() { lived <- kind.live(living, clients, agent) }()
		}
	})

	for _, kind := range stocks {
		It("is called, idle, stopped for it and woken: "+kind.name, func(ctx context.Context) {
			var wrong string
			Eventually(ctx, lives[kind.name]).WithTimeout(6 * time.Minute).Should(Receive(&wrong))
			Expect(wrong).To(BeEmpty())
		})
	}
})

// stockRuntime makes the runtime of examples/ with another image, and nothing for
// our sake.
func stockRuntime(ctx context.Context, namespace, name string, kind *stock) *v1alpha1.AgentRuntime {
	GinkgoHelper()
	raw, err := os.ReadFile("../../examples/runtime.yaml")
	Expect(err).NotTo(HaveOccurred())
	agent := &v1alpha1.AgentRuntime{}
	Expect(yaml.UnmarshalStrict(raw, agent)).To(Succeed())
	agent.Namespace, agent.Name = namespace, name
	agent.Spec.ProtocolConfiguration.ServerProtocol = kind.protocol
	agent.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
	container := &agent.Spec.Template.Spec.Containers[0]
	container.Image, container.Args, container.Ports = stockImage, strings.Fields(kind.agent), nil
	container.Resources = corev1.ResourceRequirements{}
	create(ctx, agent)
	return agent
}

// clientsPod is where clients run: they have the gateway's address, a token of the
// cluster and an access key, and know nothing of ours.
func clientsPod(ctx context.Context, namespace string) *corev1.Pod {
	GinkgoHelper()
	var service corev1.Service
	Expect(api.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: "agentsession-gateway"}, &service)).To(Succeed())
	gateway := "http://" + service.Spec.ClusterIP
	Expect(api.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "clients"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "agentsession-invoker"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "default"}},
	})).To(Succeed())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "clients"},
		Spec:       *example(namespace, "echo").Spec.Template.Spec.DeepCopy(),
	}
	pod.Spec.TerminationGracePeriodSeconds = new(int64)
	container := &pod.Spec.Containers[0]
	container.Image, container.Args, container.Ports = stockImage, []string{"sleep", "infinity"}, nil
	container.Resources = corev1.ResourceRequirements{}
	container.Env = []corev1.EnvVar{
		{Name: "GATEWAY", Value: gateway},
		{Name: "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", Value: gateway},
		{Name: "AWS_DEFAULT_REGION", Value: "us-east-1"}, // boto3
		{Name: "AWS_REGION", Value: "us-east-1"},         // JavaScript
		{Name: "AWS_ACCESS_KEY_ID", Value: "AKIDEXAMPLE"},
		{Name: "AWS_SECRET_ACCESS_KEY", Value: "example"},
	}
	Expect(api.Create(ctx, pod)).To(Succeed())
	Eventually(func() (corev1.PodPhase, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return pod.Status.Phase, err
	}).Should(Equal(corev1.PodRunning))
	return pod
}

// live plays a session's life and returns what was not as it should be.
func (k *stock) live(ctx context.Context, clients *corev1.Pod, agent *v1alpha1.AgentRuntime) (wrong string) {
	type failure string
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case failure:
			wrong = string(failed)
		default:
			panic(failed)
		}
	}()
	g := NewGomega(func(message string, _ ...int) { panic(failure(message)) })
	g.SetDefaultEventuallyTimeout(3 * time.Minute)
	g.SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	session := &v1alpha1.AgentSession{}
	now := func(g Gomega) *v1alpha1.AgentSessionStatus {
		g.Expect(api.Get(ctx, client.ObjectKeyFromObject(session), session)).To(Succeed())
		return &session.Status
	}

	talk := converse(ctx, clients, fmt.Sprintf(k.client, agent.Status.AgentRuntimeArn))
	defer talk.in.Close() // which ends the client
	for _, turn := range k.before {
		g.Expect(talk.say(turn.say)).To(turn.answer, "to %s", turn.say)
	}
	var list v1alpha1.AgentSessionList
	g.Expect(api.List(ctx, &list, client.InNamespace(agent.Namespace), client.MatchingLabels{v1alpha1.LabelRuntime: agent.Name})).To(Succeed())
	for i := range list.Items { // the youngest: what MCP's client asks before it initializes gets a session too
		if !list.Items[i].CreationTimestamp.Before(&session.CreationTimestamp) {
			list.Items[i].DeepCopyInto(session)
		}
	}
	g.Eventually(func(g Gomega) {
		status := now(g)
		g.Expect(status.State).To(Equal(v1alpha1.StateIdle))
		g.Expect(status.Activation).To(BeEquivalentTo(1), "one compute had all calls")
		g.Expect(meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPingContract)).To(HaveField("Reason", k.contract))
	}).WithTimeout(15 * time.Second).Should(Succeed())
	g.Eventually(func(g Gomega) {
		status := now(g)
		g.Expect(status.State).To(Equal(v1alpha1.StateStopped))
		g.Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	}).Should(Succeed())
	for _, turn := range k.after {
		g.Expect(talk.say(turn.say)).To(turn.answer, "to %s, after the stop", turn.say)
	}
	g.Expect(now(g).Activation).To(BeEquivalentTo(2), "woken")
	return ""
}

// conversation is a client that runs: it answers each line with one.
type conversation struct {
	in     *io.PipeWriter
	out    *bufio.Scanner
	errors bytes.Buffer
	ended  chan error
}

// converse starts a program where clients run.
func converse(ctx context.Context, clients *corev1.Pod, program string) *conversation {
	in, toClient := io.Pipe()
	fromClient, out := io.Pipe()
	c := &conversation{in: toClient, out: bufio.NewScanner(fromClient), ended: make(chan error, 1)}
	go func() {
		err := execute(ctx, clients, strings.Fields(program), remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: &c.errors})
		c.ended <- err
		_ = in.Close()
		_ = out.Close()
	}()
	return c
}

func execute(ctx context.Context, pod *corev1.Pod, program []string, streams remotecommand.StreamOptions) error {
	cluster, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	url := cluster.CoreV1().RESTClient().Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: program, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	exec, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, url.String())
	if err != nil {
		return err
	}
	return exec.StreamWithContext(ctx, streams)
}

// say tells the client a line and returns the one that it answers.
func (c *conversation) say(line string) string {
	if _, err := io.WriteString(c.in, line+"\n"); err == nil && c.out.Scan() {
		return c.out.Text()
	}
	return fmt.Sprintf("the client ended: %v: %s", <-c.ended, c.errors.String())
}
