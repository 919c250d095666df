package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/test/forward"
	"github.com/agentsession/agentsession/test/ontime"
)

var _ = Describe("The operator's pod", Ordered, func() {
	BeforeAll(func(ctx context.Context) { runOperator(ctx, "--time-scale=12") })

	It("serves its metrics only to whom may read them", func(ctx context.Context) {
		code, _ := scrape(ctx, "")
		Expect(code).To(Equal(http.StatusUnauthorized))
		code, body := scrape(ctx, metricsToken(ctx))
		Expect(code).To(Equal(http.StatusOK))
		Expect(body).To(ContainSubstring("agentsession_ping_cadence_error_seconds_count"))
		Expect(body).To(ContainSubstring(`agentsession_sessions{state="Idle"}`))
	})

	It("has another beside it, which stops what is due when it is killed", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		sessions := make([]*v1alpha1.AgentSession, 5)
		for i := range sessions {
			sessions[i] = example(namespace, "echo")
			sessions[i].Name = fmt.Sprintf("due-%d", i)
			sessions[i].Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{MaxLifetime: 480} // 40 s
			Expect(api.Create(ctx, sessions[i])).To(Succeed())
		}
		due := make([]time.Time, len(sessions))
		for i, session := range sessions {
			next := eventuallyState(ctx, session, v1alpha1.StateIdle).NextStop
			Expect(next.Reason).To(Equal(v1alpha1.StopMaxLifetime))
			due[i] = next.At.Time
		}
		killed, err := leader(ctx)()
		Expect(err).NotTo(HaveOccurred())
		pod := leadingOperator(ctx)
		Eventually(func() time.Duration { return time.Until(slices.MinFunc(due, time.Time.Compare)) }).WithPolling(10 * time.Millisecond).Should(BeNumerically("<", 500*time.Millisecond))
		kill(ctx, "/operator", &pod)
		began := time.Now()
		Eventually(leader(ctx)).WithPolling(100 * time.Millisecond).ShouldNot(BeElementOf(killed, ""))
		took := time.Since(began)
		var latest time.Duration
		for i, session := range sessions {
			Eventually(reading(ctx, session)).WithPolling(100 * time.Millisecond).Should(HaveField("State", BeElementOf(v1alpha1.StateStopping, v1alpha1.StateStopped)))
			latest = max(latest, min(time.Since(due[i]), time.Since(began)))
		}
		AddReportEntry("takeover", fmt.Sprintf("another leads %.1f s after the leader was killed; the last of %d sessions that were due then was stopped %.1f s late",
			took.Seconds(), len(sessions), latest.Seconds()), ReportEntryVisibilityAlways)
		for i, session := range sessions {
			Expect(eventuallyState(ctx, session, v1alpha1.StateStopped)).To(And(HaveField("History", HaveLen(1)), HaveField("LastTermination", And(
				HaveField("Reason", v1alpha1.StopMaxLifetime), HaveField("DueAt.Time", BeTemporally("==", due[i]))))))
		}
		Expect(took).To(BeNumerically("<", 5*time.Second+3*canary()))
		Expect(latest).To(BeNumerically("<", 5*time.Second+3*canary()))
	})

	It("lets nobody have a pod through a session who may not have one himself", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		eve := editor(ctx, namespace)
		Eventually(func() error { return eve.Create(ctx, example(namespace, "echo")) }).Should(
			And(Satisfy(apierrors.IsForbidden), MatchError(ContainSubstring("must be allowed to create pods"))))
	})
})

// editor is somebody who may make sessions and runtimes in a namespace, and no
// pods.
func editor(ctx context.Context, namespace string) client.Client {
	GinkgoHelper()
	Expect(api.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eve"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "agentsession-editor"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "eve"}},
	})).To(Succeed())
	as := rest.CopyConfig(config)
	as.Impersonate.UserName = "eve"
	eve, err := client.New(as, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	Expect(err).NotTo(HaveOccurred())
	return eve
}

// operatorPod is the pod of the operator that leads.
func operatorPod(ctx context.Context) (leader corev1.Pod) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		var pods corev1.PodList
		g.Expect(api.List(ctx, &pods, client.InNamespace(systemNamespace), client.MatchingLabels{"app.kubernetes.io/component": "operator"})).To(Succeed())
		at := slices.IndexFunc(pods.Items, leads(ctx, g))
		g.Expect(at).NotTo(Equal(-1), "nobody leads")
		leader = pods.Items[at]
	}).Should(Succeed())
	return leader
}

// leadingOperator is the leader's pod, which is made anew when the spec is over.
func leadingOperator(ctx context.Context) corev1.Pod {
	GinkgoHelper()
	pod := operatorPod(ctx)
	DeferCleanup(func(ctx context.Context) { // a new pod: the kubelet starts an old one ever more slowly
		Expect(client.IgnoreNotFound(api.Delete(ctx, &pod))).To(Succeed())
		awaitOperator(ctx)
	})
	return pod
}

// killOperator kills the leader's process.
func killOperator(ctx context.Context) {
	GinkgoHelper()
	pod := leadingOperator(ctx)
	kill(ctx, "/operator", &pod)
}

// kill kills a pod's process with SIGKILL where the node's processes are ours to see,
// and else has the API server force the pod out.
func kill(ctx context.Context, program string, pod *corev1.Pod) {
	GinkgoHelper()
	if pid := processOf(program, string(pod.UID)); pid != 0 {
		By(fmt.Sprintf("killing process %d of %s with SIGKILL", pid, pod.Name))
		Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
		return
	}
	By(fmt.Sprintf("deleting %s with grace 0", pod.Name))
	Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
}

// processOf finds a program's process by the pod's UID in its cgroup.
func processOf(program, uid string) int {
	GinkgoHelper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	Expect(err).NotTo(HaveOccurred())
	for _, file := range commands {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.HasPrefix(line, []byte(program+"\x00")) {
			continue
		}
		cgroup, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		if err != nil || !strings.Contains(strings.ReplaceAll(string(cgroup), "_", "-"), uid) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		Expect(err).NotTo(HaveOccurred())
		return pid
	}
	return 0
}

// expectOnTime reads the lateness of all stops of this run of the operator
// from its metrics.
func expectOnTime(ctx context.Context) {
	GinkgoHelper()
	_, body := scrape(ctx, metricsToken(ctx))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	Expect(ontime.Check(nil, families, canary())).To(Succeed())
}

// metricsToken is the token of a service account that may read the metrics.
func metricsToken(ctx context.Context) string {
	GinkgoHelper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "e2e-metrics"}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-metrics"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "agentsession-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: account.Name}},
	}
	for _, object := range []client.Object{account, binding} {
		Expect(client.IgnoreAlreadyExists(api.Create(ctx, object))).To(Succeed())
	}
	request := &authenticationv1.TokenRequest{}
	Expect(api.SubResource("token").Create(ctx, account, request)).To(Succeed())
	return request.Status.Token
}

// reach returns a local port that leads to a pod's, while the spec runs.
func reach(pod *corev1.Pod, port int) uint16 {
	GinkgoHelper()
	stop := make(chan struct{})
	DeferCleanup(func() { close(stop) })
	local, err := forward.To(config, pod, port, stop, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	return local
}

// scrape reads the operator's metrics through a forwarded port. A pod is ready
// once it tells its health; its metrics are served a moment later, since their
// certificate is made first.
func scrape(ctx context.Context, token string) (code int, body string) {
	GinkgoHelper()
	pod := operatorPod(ctx)
	Eventually(func(g Gomega) {
		port := reach(&pod, 8443)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/metrics", port), nil)
		g.Expect(err).NotTo(HaveOccurred())
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // self-signed
		defer insecure.CloseIdleConnections()
		response, err := insecure.Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		raw, err := io.ReadAll(response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		code, body = response.StatusCode, string(raw)
	}).Should(Succeed())
	return code, body
}
