package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// workers are the nodes that take pods.
func workers(ctx context.Context) []corev1.Node {
	GinkgoHelper()
	var nodes corev1.NodeList
	Expect(api.List(ctx, &nodes)).To(Succeed())
	return slices.DeleteFunc(nodes.Items, func(node corev1.Node) bool { return len(node.Spec.Taints) > 0 || !ready(&node) })
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// cordon has a node take no other pods until the spec is over.
func cordon(ctx context.Context, name string) {
	GinkgoHelper()
	set := func(ctx context.Context, unschedulable bool) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		patch := fmt.Appendf(nil, `{"spec": {"unschedulable": %t}}`, unschedulable)
		Expect(api.Patch(ctx, node, client.RawPatch(types.MergePatchType, patch))).To(Succeed())
	}
	set(ctx, true)
	DeferCleanup(set, false)
}

// docker runs a command of Docker's, whose containers are kind's nodes.
func docker(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "docker %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// nodePort is an address of the gateway's for those outside of the cluster, who come to
// any gateway that is ready.
func nodePort(ctx context.Context) string {
	GinkgoHelper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "e2e-gateway"},
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeNodePort,
			Selector: map[string]string{"app.kubernetes.io/component": "gateway"},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}},
		},
	}
	Expect(api.Create(ctx, service)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, service)).To(Succeed()) })
	addresses := workers(ctx)[0].Status.Addresses
	at := slices.IndexFunc(addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeInternalIP })
	return net.JoinHostPort(addresses[at].Address, strconv.Itoa(int(service.Spec.Ports[0].NodePort)))
}

// gatewayBeside is a port that leads to a gateway on another node.
func gatewayBeside(ctx context.Context, node string) uint16 {
	GinkgoHelper()
	pods := gateways(ctx)
	at := slices.IndexFunc(pods, func(pod corev1.Pod) bool { return pod.Spec.NodeName != node })
	Expect(at).NotTo(Equal(-1), "all gateways are on %s", node)
	return reach(&pods[at], 8080)
}

var _ = Describe("On several nodes", Ordered, func() {
	const session = "a-session-whose-node-does-not-stay-for-ever"

	BeforeAll(func(ctx context.Context) {
		if len(workers(ctx)) < 2 {
			lacks("the cluster has one node for pods: make e2e makes three where Docker and kind are")
		}
		runOperator(ctx)
		installGateway(ctx)
	})

	// With the defaults of Kubernetes and of the operator.
	It("a session of a node that dies is served on another, and nothing is left over when it is back", func(ctx context.Context) {
		agent := runtimeOf(ctx, newNamespace(ctx), "echo")
		Expect(text(call(ctx, reach(&gateways(ctx)[0], 8080), agent, "invocations", session, struct{}{}))).To(ContainSubstring(`"invocations":1`))
		old := sessionOf(ctx, agent, session).Status.Pod
		port, nodes := gatewayBeside(ctx, old.Node), len(workers(ctx))
		led := operatorPod(ctx).Spec.NodeName == old.Node

		docker(ctx, "pause", old.Node)
		died := time.Now()
		DeferCleanup(func(ctx context.Context) { // unless the spec has done it
			if docker(ctx, "inspect", "--format={{.State.Paused}}", old.Node) == "true" {
				docker(ctx, "unpause", old.Node)
			}
		})
		var answer string
		var calls []string
		Eventually(func() (int, error) {
			patient, leave := context.WithTimeout(ctx, 5*time.Second)
			defer leave()
			response, err := try(patient, fmt.Sprintf("127.0.0.1:%d", port), agent, "invocations", session, struct{}{})
			if err != nil {
				calls = append(calls, "none")
				return 0, err
			}
			calls = append(calls, response.Status)
			answer = text(response)
			return response.StatusCode, nil
		}).Should(Equal(http.StatusOK))
		served := time.Since(died)
		AddReportEntry("death to a served call", fmt.Sprintf("%.1f s (the leader of the operators was there: %t; calls until then: %s)",
			served.Seconds(), led, strings.Join(calls, ", ")), ReportEntryVisibilityAlways)
		Expect(served).To(BeNumerically("<", time.Minute+3*canary()))
		Expect(answer).To(ContainSubstring(`"invocations":1`), "a fresh memory")
		now := sessionOf(ctx, agent, session).Status.Pod
		Expect(now.Node).NotTo(Equal(old.Node))
		Expect(now.UID).NotTo(Equal(old.UID))

		docker(ctx, "unpause", old.Node)
		Eventually(func() []corev1.Pod { return podsOf(ctx, sessionOf(ctx, agent, session)) }).Should(
			HaveExactElements(HaveField("UID", now.UID)), "the old pod goes when its node is back")
		Eventually(func() []corev1.Node { return workers(ctx) }).Should(HaveLen(nodes))
		Expect(text(call(ctx, port, agent, "invocations", session, struct{}{}))).To(ContainSubstring(`"invocations":2`), "the same compute")
		awaitOperator(ctx)
		gateways(ctx)
	})

	It("a session of a node whose object is deleted is served on another, and by a node that comes back", func(ctx context.Context) {
		agent := runtimeOf(ctx, newNamespace(ctx), "echo")
		port := reach(&gateways(ctx)[0], 8080)
		Expect(text(call(ctx, port, agent, "invocations", session, struct{}{}))).To(ContainSubstring(`"invocations":1`))
		old, nodes := sessionOf(ctx, agent, session).Status.Pod, len(workers(ctx))

		Expect(api.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: old.Node}})).To(Succeed())
		DeferCleanup(func(ctx context.Context) {
			docker(ctx, "exec", old.Node, "systemctl", "restart", "kubelet") // which registers it again
			Eventually(func() []corev1.Node { return workers(ctx) }).Should(HaveLen(nodes))
			awaitOperator(ctx)
			gateways(ctx)
		})
		port = gatewayBeside(ctx, old.Node)
		deleted, calls := time.Now(), map[string]int{}
		Eventually(func() (string, error) { // the API server's own collector of pods waits for 40 s and more
			response, err := try(ctx, fmt.Sprintf("127.0.0.1:%d", port), agent, "invocations", session, struct{}{})
			if err != nil {
				return "", err
			}
			calls[response.Status]++
			return text(response), nil
		}).WithPolling(time.Second).Should(MatchRegexp(`"invocations":1\b`), "a fresh memory")
		AddReportEntry("deletion to a fresh compute", fmt.Sprintf("%.0f s; calls meanwhile: %v", time.Since(deleted).Seconds(), calls), ReportEntryVisibilityAlways)
		status := sessionOf(ctx, agent, session).Status
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopComputeLost))
		Expect(status.Pod.Node).NotTo(Equal(old.Node))
	})

	It("a drain ends an idle session at once, and one in use when its call is over", func(ctx context.Context) {
		agent := runtimeOf(ctx, newNamespace(ctx), "stream")
		base := agent.DeepCopy()
		agent.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(120))
		Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
		Eventually(func() (int64, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.AgentRuntimeVersion, err
		}).Should(BeEquivalentTo(2))
		const idle = "a-session-that-nobody-calls-when-the-node-goes"
		port := reach(&gateways(ctx)[0], 8080)
		for _, id := range []string{idle, session} {
			Expect(text(call(ctx, port, agent, "invocations", id, map[string]any{"text": "hello"}))).To(ContainSubstring("hello"))
		}
		evict := func(id string) error { // as kubectl drain does
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: sessionOf(ctx, agent, id).Status.Pod.Name}}
			return api.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{})
		}
		drained := sessionOf(ctx, agent, session).Status.Pod.Node
		cordon(ctx, drained)
		By("the PodDisruptionBudget of docs/operating.md, which has a drain wait")
		budget := &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: "sessions"},
			Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1_000_000)), Selector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: v1alpha1.LabelSession, Operator: metav1.LabelSelectorOpExists}},
			}},
		}
		Expect(api.Create(ctx, budget)).To(Succeed())
		Eventually(func() (policyv1.PodDisruptionBudgetStatus, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(budget), budget)
			return budget.Status, err
		}).Should(And(HaveField("ObservedGeneration", BeNumerically(">", 0)), HaveField("CurrentHealthy", BeEquivalentTo(2))))
		for _, id := range []string{idle, session} {
			Expect(evict(id)).To(Satisfy(apierrors.IsTooManyRequests))
			Expect(lifecycle.Living(sessionOf(ctx, agent, id).Status.State)).To(BeTrue())
		}
		Expect(api.Delete(ctx, budget)).To(Succeed())
		By("the drain")
		response := call(ctx, port, agent, "invocations", session, map[string]any{"text": string(bytes.Repeat([]byte("word "), 20)), "pause": 1})
		for _, id := range []string{idle, session} {
			Eventually(func() error { return evict(id) }).Should(Succeed())
		}
		Eventually(reading(ctx, sessionOf(ctx, agent, idle))).WithTimeout(time.Minute).Should(And( // half of its grace
			HaveField("State", v1alpha1.StateStopped), HaveField("LastTermination.Reason", v1alpha1.StopComputeLost)))
		Expect(strings.Count(text(response), "word")).To(BeNumerically(">=", 2*20), "the call ended well")
		Expect(eventuallyState(ctx, sessionOf(ctx, agent, session), v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopComputeLost))
		Expect(text(call(ctx, port, agent, "invocations", session, map[string]any{"text": "hello"}))).To(ContainSubstring("hello"))
		Expect(sessionOf(ctx, agent, session).Status.Pod.Node).NotTo(Equal(drained), "it is woken elsewhere")
	})

	It("a gateway that is updated loses no call of fifty streams and of those who come meanwhile", func(ctx context.Context) {
		agent := runtimeOf(ctx, newNamespace(ctx), "stream")
		address := nodePort(ctx)
		const sessions, streams, words = 5, 50, 30
		id := func(i int) string {
			return fmt.Sprintf("a-session-with-many-streams-while-a-gateway-goes-%d", i%sessions)
		}
		ask := func(i, words int) *http.Response {
			GinkgoHelper()
			response, err := try(ctx, address, agent, "invocations", id(i), map[string]any{"text": strings.Repeat("hello ", words), "pause": 1})
			Expect(err).NotTo(HaveOccurred())
			Expect(response.StatusCode).To(Equal(http.StatusOK))
			return response
		}
		hellos := func(response *http.Response) int {
			GinkgoHelper()
			return strings.Count(text(response), "hello")
		}
		for i := range sessions {
			Eventually(func() error { // the node's proxy learns the port
				response, err := try(ctx, address, agent, "invocations", id(i), map[string]any{"text": "hello"})
				if err == nil && response.StatusCode != http.StatusOK {
					err = errors.New(response.Status)
				}
				return err
			}).Should(Succeed())
		}
		heard := make(chan int, streams)
		for i := range streams {
			response := ask(i, words)
			go func() {
				defer GinkgoRecover()
				heard <- hellos(response)
			}()
		}

		old := gateways(ctx)
		var deployment appsv1.Deployment
		key := client.ObjectKey{Namespace: systemNamespace, Name: "agentsession-gateway"}
		Expect(api.Get(ctx, key, &deployment)).To(Succeed())
		before := deployment.DeepCopy()
		deployment.Spec.Template.Annotations["e2e"] = "another"
		Expect(api.Patch(ctx, &deployment, client.MergeFrom(before))).To(Succeed())
		calls := 0
		Eventually(func(g Gomega) { // the old ones go when their streams have ended
			Expect(hellos(ask(calls, 1))).To(Equal(1))
			calls++
			var pods corev1.PodList
			g.Expect(api.List(ctx, &pods, client.InNamespace(systemNamespace), client.MatchingLabels{"app.kubernetes.io/component": "gateway"})).To(Succeed())
			g.Expect(pods.Items).NotTo(ContainElement(HaveField("UID", BeElementOf(old[0].UID, old[1].UID))))
		}).Should(Succeed())
		for range streams {
			Eventually(heard).Should(Receive(Equal(words)))
		}
		AddReportEntry("rolling update", fmt.Sprintf("%d streams whole, and %d calls answered meanwhile", streams, calls), ReportEntryVisibilityAlways)
	})
})
