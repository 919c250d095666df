// Package monitoring_test shows the alerts and the dashboard of config/monitoring with a real
// Prometheus, which finds operator and gateway by the job of docs/operating.md.
package monitoring_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	top    = "../.."
	system = "agentsession-system"
	// patience is how long a test waits for what has to come, on a busy machine.
	patience = 3 * time.Minute
)

// platform is an API server with what is installed, a node that plays along, and a user
// who may do everything.
type platform struct {
	t           *testing.T
	g           *WithT
	environment *envtest.Environment
	api         client.WithWatch
	kubeconfig  string // of the user
	port        int32  // of the agents
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, g: NewWithT(t), environment: &envtest.Environment{
		UseExistingCluster: new(false), ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
	}}
	config, err := p.environment.Start()
	p.g.Expect(err).NotTo(HaveOccurred(), "make monitoring sets KUBEBUILDER_ASSETS")
	t.Cleanup(func() { p.g.Expect(p.environment.Stop()).To(Succeed()) })
	config.QPS = -1
	admin, err := p.environment.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	p.g.Expect(err).NotTo(HaveOccurred())
	content, err := admin.KubeConfig()
	p.g.Expect(err).NotTo(HaveOccurred())
	p.kubeconfig = p.file("kubeconfig", content)
	for _, install := range []string{"install.yaml", "install-gateway.yaml"} {
		p.kubectl("apply", "--server-side", "-f", filepath.Join(top, "dist", install))
	}
	scheme := runtime.NewScheme()
	p.g.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))).To(Succeed())
	p.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	p.g.Expect(err).NotTo(HaveOccurred())
	p.playNode()
	return p
}

// playNode plays the kubelet. Agents do what the names of their sessions, or runtimes, say.
func (p *platform) playNode() {
	ctx, stop := context.WithCancel(context.Background())
	kubelet, err := node.New(ctx, p.api)
	p.g.Expect(err).NotTo(HaveOccurred())
	p.port = kubelet.Port()
	kubelet.Prepare = func(pod *corev1.Pod) *node.Agent {
		agent := node.NewAgent()
		switch cmp.Or(pod.Labels[v1alpha1.LabelRuntime], pod.Labels[v1alpha1.LabelSession]) {
		case "answers": // any other answers calls with 404
			agent.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
		case "stuck":
			agent.Say(contract.HealthyBusy)
		case "breaking":
			agent.Answer(func() (int, string) { return http.StatusOK, `{"status":"fine"}` })
		}
		return agent
	}
	ended := make(chan error, 1)
	go func() { ended <- kubelet.Run(ctx) }()
	p.t.Cleanup(func() {
		stop()
		p.g.Expect(<-ended).To(Succeed())
	})
}

func (p *platform) file(name string, content []byte) string {
	path := filepath.Join(p.t.TempDir(), name)
	p.g.Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
	return path
}

func (p *platform) kubectl(args ...string) string {
	p.t.Helper()
	command := exec.CommandContext(p.t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
	out, err := command.CombinedOutput()
	p.g.Expect(err).NotTo(HaveOccurred(), "kubectl %s: %s", strings.Join(args, " "), out)
	return string(out)
}

// unused is a port of loopback on which nobody listens.
func (p *platform) unused() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	p.g.Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of TCP
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// run runs one of our programs as the pod of its install, and returns its process.
func (p *platform) run(name string, args ...string) *gexec.Session {
	p.t.Helper()
	binary, err := gexec.Build("github.com/agentsession/agentsession/cmd/" + name)
	p.g.Expect(err).NotTo(HaveOccurred())
	metrics, health := p.unused(), p.unused()
	command := exec.Command(binary, append(args, "--metrics-bind-address="+loopback(metrics), "--health-probe-bind-address="+loopback(health), "--allow-loopback-agents")...)
	command.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
	process := p.start(command)
	p.g.Eventually(func(g Gomega) {
		answer, err := http.Get("http://" + loopback(health) + "/readyz")
		g.Expect(err).NotTo(HaveOccurred())
		defer answer.Body.Close()
		g.Expect(answer.StatusCode).To(Equal(http.StatusOK))
	}).WithTimeout(patience).Should(Succeed())
	p.podOf(name, int32(metrics))
	return process
}

func (p *platform) start(command *exec.Cmd) *gexec.Session {
	p.t.Helper()
	process, err := gexec.Start(command, p.t.Output(), p.t.Output())
	p.g.Expect(err).NotTo(HaveOccurred())
	p.t.Cleanup(func() { p.g.Eventually(process.Kill()).WithTimeout(patience).Should(gexec.Exit()) })
	return process
}

// podOf makes the pod that a Deployment would, and says that it runs here, with its
// metrics at a port.
func (p *platform) podOf(name string, metrics int32) {
	var deployment appsv1.Deployment
	p.g.Expect(yaml.Unmarshal([]byte(p.kubectl("get", "-n", system, "-o", "yaml", "deployment", "agentsession-"+name)), &deployment)).To(Succeed())
	template := deployment.Spec.Template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: system, Labels: template.Labels}, Spec: template.Spec}
	pod.Spec.TopologySpreadConstraints = nil
	ports := pod.Spec.Containers[0].Ports
	for i := range ports {
		if ports[i].Name == "metrics" {
			ports[i].ContainerPort = metrics
		}
	}
	p.g.Expect(p.api.Create(p.t.Context(), pod)).To(Succeed())
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, "127.0.0.1", []corev1.PodIP{{IP: "127.0.0.1"}}
	p.g.Expect(p.api.Status().Update(p.t.Context(), pod)).To(Succeed())
}

func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "agent", Image: "agent",
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}},
	}}}}
}

// newSession makes a session by its name.
func (p *platform) newSession(name string, change ...func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
	p.t.Helper()
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	session.Spec.Template = template()
	session.Spec.Ping.Port = p.port
	for _, c := range change {
		c(session)
	}
	p.g.Expect(p.api.Create(p.t.Context(), session)).To(Succeed())
	return session
}

// newRuntime makes a runtime by its name, and waits until it can be called.
func (p *platform) newRuntime(namespace, name string) *v1alpha1.AgentRuntime {
	p.t.Helper()
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	agent.Spec.Template, agent.Spec.ProtocolConfiguration.Port = template(), p.port
	p.g.Expect(p.api.Create(p.t.Context(), agent)).To(Succeed())
	p.g.Eventually(func(g Gomega) {
		g.Expect(p.api.Get(p.t.Context(), client.ObjectKeyFromObject(agent), agent)).To(Succeed())
		g.Expect(agent.Status.AgentRuntimeArn).NotTo(BeEmpty())
	}).WithTimeout(patience).Should(Succeed())
	return agent
}

// call invokes a runtime at a gateway, always in the same session, and returns the status.
func call(g Gomega, door string, agent *v1alpha1.AgentRuntime) int {
	r, err := http.NewRequest(http.MethodPost, "http://"+door+"/runtimes/"+url.PathEscape(agent.Status.AgentRuntimeArn)+"/invocations", strings.NewReader("{}"))
	g.Expect(err).NotTo(HaveOccurred())
	r.Header.Set(contract.HeaderSessionID, strings.Repeat("a", 40))
	answer, err := http.DefaultClient.Do(r)
	g.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	return answer.StatusCode
}

// guard makes a namespace in which the API server fails to make sessions, since a webhook
// that has to be asked is not there.
func (p *platform) guard() (namespace string) {
	p.t.Helper()
	namespace, ctx := "guarded", p.t.Context()
	p.kubectl("create", "namespace", namespace)
	p.g.Expect(p.api.Create(ctx, &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "sessions.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNone),
			ClientConfig:      admissionv1.WebhookClientConfig{URL: new("https://" + loopback(p.unused()))},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"agentsessions"}},
			}},
		}},
	})).To(Succeed())
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: namespace}, Spec: v1alpha1.AgentSessionSpec{Template: template()}}
	p.g.Eventually(func() error {
		return client.NewDryRunClient(p.api).Create(ctx, session.DeepCopy())
	}).WithTimeout(patience).Should(MatchError(apierrors.IsInternalError, "IsInternalError"))
	return namespace
}

// crash ends the agent of a session, and wakes it again, a few times.
func (p *platform) crash(session *v1alpha1.AgentSession, times int32) {
	p.t.Helper()
	ctx, key := p.t.Context(), client.ObjectKeyFromObject(session)
	for i := range times {
		p.reaches(session, i+1, v1alpha1.StateIdle)
		pod := &corev1.Pod{}
		p.g.Expect(p.api.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: session.Status.Pod.Name}, pod)).To(Succeed())
		pod.Status.Phase = corev1.PodFailed
		p.g.Expect(p.api.Status().Update(ctx, pod)).To(Succeed())
		p.reaches(session, i+1, v1alpha1.StateStopped)
		if i+1 < times {
			p.g.Expect(p.api.Patch(ctx, session, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"activation":%d}}`, i+2)))).To(Succeed())
		}
	}
}

func (p *platform) reaches(session *v1alpha1.AgentSession, activation int32, state v1alpha1.SessionState) {
	p.t.Helper()
	p.g.Eventually(func(g Gomega) {
		g.Expect(p.api.Get(p.t.Context(), client.ObjectKeyFromObject(session), session)).To(Succeed())
		g.Expect(session.Status.Activation).To(Equal(activation))
		g.Expect(session.Status.State).To(Equal(state))
	}).WithTimeout(patience).Should(Succeed())
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	gexec.CleanupBuildArtifacts()
	os.Exit(code)
}
