package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/test/caller"
)

// installGateway installs the gateway and an access key, until the specs that want
// them are over.
func installGateway(ctx context.Context) {
	GinkgoHelper()
	install(ctx, "install-gateway.yaml")
	DeferCleanup(func(ctx context.Context) {
		for _, object := range manifest("install-gateway.yaml") {
			Expect(client.IgnoreNotFound(api.Delete(ctx, object))).To(Succeed())
		}
		Expect(api.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(systemNamespace),
			client.MatchingLabels{"app.kubernetes.io/component": "gateway"}, client.GracePeriodSeconds(0))).To(Succeed())
	})
	key := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "e2e", Labels: map[string]string{authn.LabelAccessKey: ""}},
		StringData: map[string]string{"accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "example", "namespaces": "*", "rights": "*"},
	}
	Expect(api.Create(ctx, key)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, key)).To(Succeed()) })
}

// gateways are the pods of the gateway, when all are ready.
func gateways(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	var pods corev1.PodList
	Eventually(func(g Gomega) {
		var deployment appsv1.Deployment
		g.Expect(api.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: "agentsession-gateway"}, &deployment)).To(Succeed())
		g.Expect(deployment.Status.AvailableReplicas).To(BeEquivalentTo(2))
		g.Expect(api.List(ctx, &pods, client.InNamespace(systemNamespace), client.MatchingLabels{"app.kubernetes.io/component": "gateway"})).To(Succeed())
		g.Expect(pods.Items).To(HaveLen(2))
	}).Should(Succeed())
	return pods.Items
}

// runtimeOf makes the runtime of examples/ with an agent of examples/agents, and
// waits for its ARN.
func runtimeOf(ctx context.Context, namespace string, args ...string) *v1alpha1.AgentRuntime {
	GinkgoHelper()
	raw, err := os.ReadFile("../../examples/runtime.yaml")
	Expect(err).NotTo(HaveOccurred())
	agent := &v1alpha1.AgentRuntime{}
	Expect(yaml.UnmarshalStrict(raw, agent)).To(Succeed())
	agent.Namespace = namespace
	agent.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
	agent.Spec.Template.Spec.Containers[0].Args = args
	create(ctx, agent)
	return agent
}

func create(ctx context.Context, agent *v1alpha1.AgentRuntime) {
	GinkgoHelper()
	Expect(api.Create(ctx, agent)).To(Succeed())
	Eventually(func() (string, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
		return agent.Status.AgentRuntimeArn, err
	}).ShouldNot(BeEmpty())
}

// sessionOf is the session of a runtime by its id there.
func sessionOf(ctx context.Context, agent *v1alpha1.AgentRuntime, id string) *v1alpha1.AgentSession {
	GinkgoHelper()
	var list v1alpha1.AgentSessionList
	Expect(api.List(ctx, &list, client.InNamespace(agent.Namespace), client.MatchingFields{"spec.runtimeSessionId": id})).To(Succeed())
	Expect(list.Items).To(HaveLen(1))
	return &list.Items[0]
}

// commandRun is what the events of a command say.
type commandRun struct {
	Stdout, Stderr, Status string
	ExitCode               int
}

func ranBy(response *http.Response) (ran commandRun) {
	GinkgoHelper()
	Expect(response.Header.Get("Content-Type")).To(Equal("application/vnd.amazon.eventstream"))
	decoder := eventstream.NewDecoder()
	for first := true; ; first = false {
		message, err := decoder.Decode(response.Body, nil)
		if errors.Is(err, io.EOF) {
			return ran
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(message.Headers.Get(":event-type").String()).To(Equal("chunk"))
		var chunk struct {
			ContentStart *struct{}
			ContentDelta struct{ Stdout, Stderr string }
			ContentStop  struct {
				ExitCode int
				Status   string
			}
		}
		Expect(json.Unmarshal(message.Payload, &chunk)).To(Succeed())
		Expect(chunk.ContentStart != nil).To(Equal(first))
		Expect(ran.Status).To(BeEmpty(), "nothing comes after the stop")
		ran.Stdout += chunk.ContentDelta.Stdout
		ran.Stderr += chunk.ContentDelta.Stderr
		ran.Status, ran.ExitCode = chunk.ContentStop.Status, chunk.ContentStop.ExitCode
	}
}

// call asks a gateway that is reached on a local port.
func call(ctx context.Context, port uint16, agent *v1alpha1.AgentRuntime, operation, session string, payload any) *http.Response {
	GinkgoHelper()
	response, err := try(ctx, fmt.Sprintf("127.0.0.1:%d", port), agent, operation, session, payload)
	Expect(err).NotTo(HaveOccurred())
	return response
}

// try asks a gateway at an address, on a connection of its own.
func try(ctx context.Context, address string, agent *v1alpha1.AgentRuntime, operation, session string, payload any) (*http.Response, error) {
	GinkgoHelper()
	raw, err := json.Marshal(payload)
	Expect(err).NotTo(HaveOccurred())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		fmt.Sprintf("http://%s/runtimes/%s/%s", address, url.PathEscape(agent.Status.AgentRuntimeArn), operation), bytes.NewReader(raw))
	Expect(err).NotTo(HaveOccurred())
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	Expect(caller.Sign(r, "AKIDEXAMPLE", "example")).To(Succeed())
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err == nil {
		DeferCleanup(response.Body.Close)
	}
	return response, err
}

func text(response *http.Response) string {
	GinkgoHelper()
	raw, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return string(raw)
}

var _ = Describe("The gateway", Ordered, func() {
	const session = "a-session-that-somebody-calls-again-and-again"
	found := func(ctx context.Context, agent *v1alpha1.AgentRuntime) *v1alpha1.AgentSession {
		GinkgoHelper()
		return sessionOf(ctx, agent, session)
	}

	BeforeAll(func(ctx context.Context) {
		runOperator(ctx, "--time-scale=12")
		installGateway(ctx)
	})

	It("makes a session at the first call, keeps it, lets it idle out, and wakes it", func(ctx context.Context) {
		agent, pods := runtimeOf(ctx, newNamespace(ctx), "echo"), gateways(ctx)
		first, second := reach(&pods[0], 8080), reach(&pods[1], 8080)
		response := call(ctx, first, agent, "invocations", session, map[string]string{"hello": "world"})
		Expect(text(response)).To(And(ContainSubstring(`"invocations":1`), ContainSubstring(`"hello":"world"`), ContainSubstring(session)))
		Expect(response.StatusCode).To(Equal(http.StatusOK))
		Expect(text(call(ctx, second, agent, "invocations", session, struct{}{}))).To(ContainSubstring(`"invocations":2`), "through the other gateway")

		status := eventuallyState(ctx, found(ctx, agent), v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(status.Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(text(call(ctx, second, agent, "invocations", session, struct{}{}))).To(ContainSubstring(`"invocations":1`), "a fresh memory")

		Expect(call(ctx, first, agent, "stopruntimesession", session, struct{}{}).StatusCode).To(Equal(http.StatusOK))
		Expect(eventuallyState(ctx, found(ctx, agent), v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
	})

	It("wakes a session beside its pod that takes its time to go", func(ctx context.Context) {
		agent, port := runtimeOf(ctx, newNamespace(ctx), "echo"), reach(&gateways(ctx)[0], 8080)
		base := agent.DeepCopy()
		agent.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(600))
		agent.Spec.Template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 600}}}
		Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
		Eventually(func() (int64, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.AgentRuntimeVersion, err
		}).Should(BeEquivalentTo(2))
		Expect(text(call(ctx, port, agent, "invocations", session, struct{}{}))).To(ContainSubstring(`"invocations":1`))
		last := found(ctx, agent).Status.Pod
		Expect(call(ctx, port, agent, "stopruntimesession", session, struct{}{}).StatusCode).To(Equal(http.StatusOK))
		Eventually(func() int { return call(ctx, port, agent, "invocations", session, struct{}{}).StatusCode }).Should(Equal(http.StatusOK))
		Expect(found(ctx, agent).Status.Pod.UID).NotTo(Equal(last.UID))
		var pod corev1.Pod
		Expect(api.Get(ctx, client.ObjectKey{Namespace: agent.Namespace, Name: last.Name}, &pod)).To(Succeed())
		Expect(pod.DeletionTimestamp).NotTo(BeNil())
		Expect(api.Delete(ctx, &pod, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(func() bool { return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(&pod), &pod)) }).Should(BeTrue())
		Expect(found(ctx, agent).Status.Pod.UID).NotTo(Equal(last.UID))
	})

	It("keeps a session while it streams, and leaves it to its clocks when it is killed in mid-call", func(ctx context.Context) {
		agent, pods := runtimeOf(ctx, newNamespace(ctx), "stream"), gateways(ctx)
		port := reach(&pods[0], 8080)
		// Words for a quarter of an hour; the idle timeout is 5 s.
		response := call(ctx, port, agent, "invocations", session, map[string]any{"text": string(bytes.Repeat([]byte("word "), 900)), "pause": 1})
		lines := bufio.NewScanner(response.Body)
		for range 16 { // 8 events, and the empty lines between them
			Expect(lines.Scan()).To(BeTrue())
		}
		Expect(found(ctx, agent).Status.State).To(Equal(v1alpha1.StateActive))
		Expect(found(ctx, agent).Status.Activation).To(BeEquivalentTo(1))

		kill(ctx, "/gateway", &pods[0])
		killed := time.Now()
		for lines.Scan() { // to the end of what had come
		}
		status := eventuallyState(ctx, found(ctx, agent), v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(status.LastTermination.DueAt.Time).To(BeTemporally(">", killed.Add(time.Second)), "not at once")
		response = call(ctx, reach(&pods[1], 8080), agent, "invocations", session, map[string]any{"text": "again"})
		Expect(text(response)).To(ContainSubstring("again"))
	})

	It("runs commands in the container of a session's agent, once that is allowed", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent := runtimeOf(ctx, namespace, "echo")
		python := agent.DeepCopy()
		python.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "python"}
		container := &python.Spec.Template.Spec.Containers[0]
		container.Image, container.Args = stockImage, nil
		container.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}
		create(ctx, python)
		pods := gateways(ctx)
		port := reach(&pods[0], 8080)
		response := call(ctx, port, python, "commands", session, map[string]any{"command": "true"})
		Expect(response.StatusCode).To(Equal(http.StatusForbidden), text(response))
		started := found(ctx, python).Status.Pod.UID

		By("binding the role")
		Expect(api.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "commands"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "agentsession-gateway-commands"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: "agentsession-gateway"}},
		})).To(Succeed())
		run := func(command string, timeout int) (ran commandRun) {
			GinkgoHelper()
			Eventually(func() int {
				response = call(ctx, port, python, "commands", session, map[string]any{"command": command, "timeout": timeout})
				return response.StatusCode
			}).Should(Equal(http.StatusOK))
			return ranBy(response)
		}
		Expect(run("echo héllo; echo $BASH_VERSION | cut -c1 >&2; exit 7", 60)).To(Equal(commandRun{"héllo\n", "5\n", "COMPLETED", 7}))
		Expect(run("head -c 300000 /dev/zero | tr '\\0' x", 60)).To(Equal(commandRun{strings.Repeat("x", 300000), "", "COMPLETED", 0}))
		Expect(run("sleep 8", 60)).To(Equal(commandRun{"", "", "COMPLETED", 0}), "longer than the idle timeout")
		Expect(found(ctx, python).Status.Pod.UID).To(Equal(started))

		By("killing what takes too long, with all that it started, and what nobody waits for")
		Expect(run("echo here; sleep 4711 | cat & sleep 4711", 2)).To(Equal(commandRun{"here\n", "", "TIMED_OUT", -1}))
		leaving, leave := context.WithCancel(ctx)
		left := call(leaving, port, python, "commands", session, map[string]any{"command": "echo here; sleep 4712"})
		_, err := left.Body.Read(make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
		leave()
		Eventually(func() string {
			return run("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 471[12]'", 60).Stdout
		}).Should(BeEmpty())
		Expect(found(ctx, python).Status.Pod.UID).To(Equal(started))

		By("saying what an image without a shell lacks")
		response = call(ctx, port, agent, "commands", "another-session-of-an-agent-that-has-no-shell", map[string]any{"command": "true"})
		Expect(response.StatusCode).To(Equal(http.StatusFailedDependency))
		Expect(text(response)).To(ContainSubstring("/bin/sh"))
	})

	It("lets a call end well while the operator is killed", func(ctx context.Context) {
		agent, pods := runtimeOf(ctx, newNamespace(ctx), "stream"), gateways(ctx)
		// For as long as four idle timeouts.
		response := call(ctx, reach(&pods[0], 8080), agent, "invocations", session,
			map[string]any{"text": string(bytes.Repeat([]byte("word "), 20)), "pause": 1})
		lines := bufio.NewScanner(response.Body)
		heard := func() { // an event, and the empty line behind it
			GinkgoHelper()
			for range 2 {
				Expect(lines.Scan()).To(BeTrue(), "%v", lines.Err())
			}
		}
		heard()
		killOperator(ctx)
		for range 19 {
			heard()
		}
		ended := time.Now()
		for lines.Scan() { // what it says at the end
		}
		Expect(lines.Err()).NotTo(HaveOccurred())
		status := eventuallyState(ctx, found(ctx, agent), v1alpha1.StateStopped)
		Expect(status.Activation).To(BeEquivalentTo(1))
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(status.LastTermination.DueAt.Time).To(BeTemporally(">=", ended.Add(5*time.Second).Truncate(time.Second)))
	})

	It("knows callers by tokens of the cluster", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent, pods := runtimeOf(ctx, namespace, "echo"), gateways(ctx)
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "caller"}}
		Expect(api.Create(ctx, account)).To(Succeed())
		token := &authenticationv1.TokenRequest{}
		Expect(api.SubResource("token").Create(ctx, account, token)).To(Succeed())
		port := reach(&pods[0], 8080)
		code := func() int {
			GinkgoHelper()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost,
				fmt.Sprintf("http://127.0.0.1:%d/runtimes/%s/invocations", port, url.PathEscape(agent.Status.AgentRuntimeArn)), strings.NewReader("{}"))
			Expect(err).NotTo(HaveOccurred())
			r.Header.Set("Authorization", "Bearer "+token.Status.Token)
			response, err := http.DefaultClient.Do(r)
			Expect(err).NotTo(HaveOccurred())
			defer response.Body.Close()
			return response.StatusCode
		}
		Expect(code()).To(Equal(http.StatusNotFound))
		Expect(api.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "caller"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "agentsession-invoker"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account.Name}},
		})).To(Succeed())
		Eventually(code).Should(Equal(http.StatusOK))
	})

	It("is what AWS's clients expect, check by check", func(ctx context.Context) {
		Expect(os.Getenv("AGENTSESSION_PYTHON")).NotTo(BeEmpty(), "make e2e sees to that")
		pods := gateways(ctx)
		checks := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-parallel=1", "-timeout=20m", "-run=^TestChecks$", ".")
		checks.Dir = "../awsclients"
		checks.Env = append(os.Environ(), fmt.Sprintf("AGENTSESSION_GATEWAY=http://127.0.0.1:%d", reach(&pods[0], 8080)))
		checks.Stdout, checks.Stderr = GinkgoWriter, GinkgoWriter
		Expect(checks.Run()).To(Succeed())
	})

	It("lets whoever may make sessions have those of a runtime, and nobody else's pods", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent := runtimeOf(ctx, namespace, "echo")
		eve := editor(ctx, namespace)
		other := agent.DeepCopy()
		other.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "eves"}
		Eventually(func() error { return eve.Create(ctx, other.DeepCopy()) }).Should(
			And(Satisfy(apierrors.IsForbidden), MatchError(ContainSubstring("must be allowed to create pods"))))
		own := &v1alpha1.AgentSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eves"},
			Spec:       v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: agent.Name}},
		}
		Expect(eve.Create(ctx, own)).To(Succeed())
		eventuallyState(ctx, own, v1alpha1.StateIdle)
	})
})
