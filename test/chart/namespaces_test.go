package chart

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/echo"
)

const accessKey, secretKey = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

// TestWatchNamespaces: somebody who is the administrator of three namespaces, and nobody in
// the cluster, installs the chart there. Operator, node prober and gateway, each with the
// token of its own service account and with the flags of its Deployment, serve two of them,
// and ask for nothing that they may not have.
func TestWatchNamespaces(t *testing.T) {
	t.Parallel()
	g, p := NewWithT(t), startPlane(t, agentsessiontest.CRDs()...)
	for _, name := range []string{namespace, "team-a", "team-b", "other"} {
		p.createNamespace(t, name)
	}
	p.installAsTeam(t, namespace, "team-a", "team-b")
	port := p.startKubelet(t)
	p.leaveLease(t)
	key := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "key", Labels: map[string]string{"runtime.agentsession.dev/access-key": ""}},
		StringData: map[string]string{"accessKeyId": accessKey, "secretAccessKey": secretKey, "namespaces": "*"},
	}
	g.Expect(p.api.Create(t.Context(), key)).To(Succeed())
	for _, in := range []string{"other", "team-a"} { // the others' first
		g.Expect(p.api.Create(t.Context(), &v1alpha1.AgentRuntime{
			ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: "echo"},
			Spec:       v1alpha1.AgentRuntimeSpec{Template: agentTemplate(), ProtocolConfiguration: v1alpha1.ProtocolConfiguration{Port: port}},
		})).To(Succeed())
	}
	ignored, err := p.session(t.Context(), "other", "ignored", port)
	g.Expect(err).NotTo(HaveOccurred())

	operator, gateway := build(t, "operator"), build(t, "gateway")
	p.startProcess(t, operator, "agentsession-operator", &appsv1.Deployment{}, "--time-scale=20", "--allow-loopback-agents")
	p.startProcess(t, operator, "agentsession-node-prober", &appsv1.DaemonSet{}, "--time-scale=20", "--allow-loopback-agents")
	address := freeAddress(g)
	p.startProcess(t, gateway, "agentsession-gateway", &appsv1.Deployment{}, "--allow-loopback-agents", "--bind-address="+address)

	for _, in := range []string{"team-a", "team-b"} {
		session, err := p.session(t.Context(), in, "life", port)
		g.Expect(err).NotTo(HaveOccurred())
		g.Eventually(func() (*v1alpha1.Termination, error) {
			err := p.api.Get(t.Context(), client.ObjectKeyFromObject(session), session)
			return session.Status.LastTermination, err
		}, patience).Should(HaveField("Reason", v1alpha1.StopIdleTimeout), "in %s", in)
		g.Eventually(func() error {
			return p.api.Get(t.Context(), client.ObjectKey{Namespace: in, Name: "agentsession-agents"}, &networkingv1.NetworkPolicy{})
		}, patience).Should(Succeed())
	}
	invoke := func(runtime string) func() (int, error) {
		return func() (int, error) { return invoke(t.Context(), "http://"+address+"/runtimes/"+runtime+"/invocations") }
	}
	g.Eventually(invoke("team-a%2Fecho"), patience).Should(Equal(http.StatusOK))
	var agent v1alpha1.AgentRuntime
	g.Expect(p.api.Get(t.Context(), client.ObjectKey{Namespace: "team-a", Name: "echo"}, &agent)).To(Succeed())
	g.Expect(invoke(strings.NewReplacer(":", "%3A", "/", "%2F").Replace(agent.Status.AgentRuntimeArn))()).To(Equal(http.StatusOK))
	g.Expect(invoke("other%2Fecho")()).To(Equal(http.StatusNotFound))

	g.Expect(p.api.Get(t.Context(), client.ObjectKeyFromObject(ignored), ignored)).To(Succeed())
	g.Expect(ignored.Status).To(BeZero())
	var pods corev1.PodList
	g.Expect(p.api.List(t.Context(), &pods, client.InNamespace("other"))).To(Succeed())
	g.Expect(pods.Items).To(BeEmpty())
	p.expectAudit(t)
}

// TestANamespaceWithoutItsRole: a tenant deletes what lets the platform read his namespace, and
// operator, node prober and gateway are started anew. They are ready, and serve the other namespace; his is
// served again when the binding is back.
func TestANamespaceWithoutItsRole(t *testing.T) {
	t.Parallel()
	g, p := NewWithT(t), startPlane(t, agentsessiontest.CRDs()...)
	for _, name := range []string{namespace, "team-a", "team-b"} {
		p.createNamespace(t, name)
	}
	p.installAsTeam(t, namespace, "team-a", "team-b")
	port := p.startKubelet(t)
	key := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "key", Labels: map[string]string{"runtime.agentsession.dev/access-key": ""}},
		StringData: map[string]string{"accessKeyId": accessKey, "secretAccessKey": secretKey, "namespaces": "*"},
	}
	g.Expect(p.api.Create(t.Context(), key)).To(Succeed())
	for _, in := range []string{"team-a", "team-b"} {
		g.Expect(p.api.Create(t.Context(), &v1alpha1.AgentRuntime{
			ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: "echo"},
			Spec:       v1alpha1.AgentRuntimeSpec{Template: agentTemplate(), ProtocolConfiguration: v1alpha1.ProtocolConfiguration{Port: port}},
		})).To(Succeed())
	}
	var bindings rbacv1.RoleBindingList
	g.Expect(p.api.List(t.Context(), &bindings, client.InNamespace("team-b"))).To(Succeed())
	for i := range bindings.Items {
		g.Expect(p.api.Delete(t.Context(), &bindings.Items[i])).To(Succeed())
	}

	address := freeAddress(g)
	operator := build(t, "operator")
	p.startProcess(t, operator, "agentsession-operator", &appsv1.Deployment{}, "--time-scale=20", "--allow-loopback-agents")
	p.startProcess(t, operator, "agentsession-node-prober", &appsv1.DaemonSet{}, "--time-scale=20", "--allow-loopback-agents")
	p.startProcess(t, build(t, "gateway"), "agentsession-gateway", &appsv1.Deployment{}, "--allow-loopback-agents", "--bind-address="+address)
	invoke := func(runtime string) func() (int, error) {
		return func() (int, error) { return invoke(t.Context(), "http://"+address+"/runtimes/"+runtime+"/invocations") }
	}
	g.Eventually(invoke("team-a%2Fecho"), patience).Should(Equal(http.StatusOK))
	g.Expect(invoke("team-b%2Fecho")()).To(Equal(http.StatusNotFound))

	for i := range bindings.Items {
		bindings.Items[i].ResourceVersion, bindings.Items[i].UID = "", ""
		g.Expect(p.api.Create(t.Context(), &bindings.Items[i])).To(Succeed())
	}
	g.Eventually(invoke("team-b%2Fecho"), 2*time.Minute+patience).Should(Equal(http.StatusOK))
}

// installAsTeam installs the chart as a user who may do everything in some namespaces, and
// nothing outside of them.
func (p *plane) installAsTeam(t *testing.T, namespaces ...string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(p.api.Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "everything"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	})).To(Succeed())
	for _, name := range namespaces {
		g.Expect(p.api.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "team"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "everything"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "team"}},
		})).To(Succeed())
	}
	out, err := helm(t, "install", release, dir, "--kubeconfig", p.user(t, "team"), "--namespace", namespace,
		"--values", dir+"/ci/namespaces-values.yaml", "--set", "networkPolicy.enabled=true")
	g.Expect(err).NotTo(HaveOccurred(), out)
}

// startKubelet has the pods of sessions run, by agents that echo.
func (p *plane) startKubelet(t *testing.T) (port int32) {
	t.Helper()
	g := NewWithT(t)
	running, stop := context.WithCancel(context.Background())
	kubelet, err := node.New(running, p.api)
	g.Expect(err).NotTo(HaveOccurred())
	kubelet.Prepare = func(pod *corev1.Pod) *node.Agent {
		agent := node.NewAgent()
		agent.Serve(&echo.Agent{Pod: pod.Name, Gone: make(chan string, 10), Hang: agent.Hang, Resume: agent.Resume, Exit: func() {}})
		return agent
	}
	ended := make(chan error, 1)
	go func() { ended <- kubelet.Run(running) }()
	t.Cleanup(func() {
		stop()
		g.Expect(<-ended).To(Succeed())
	})
	return kubelet.Port()
}

// leaveLease leaves the lease of an operator that is gone: whose pod is asked for.
func (p *plane) leaveLease(t *testing.T) {
	t.Helper()
	now := metav1.NowMicro()
	NewWithT(t).Expect(p.api.Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agentsession-operator"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("agentsession-operator-gone_" + string(uuid.NewUUID()) + "_" + string(uuid.NewUUID())),
			AcquireTime:    &now, RenewTime: &now, LeaseDurationSeconds: new(int32(3600)),
		},
	})).To(Succeed())
}

// builds build a command each, once.
var builds = map[string]func() (string, error){"operator": buildOf("operator"), "gateway": buildOf("gateway")}

func buildOf(command string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		return gexec.BuildWithEnvironment("github.com/agentsession/agentsession/cmd/"+command, []string{"CGO_ENABLED=0"}, "-trimpath") // as make test has compiled it
	})
}

func TestMain(m *testing.M) {
	code := m.Run()
	gexec.CleanupBuildArtifacts()
	os.Exit(code)
}

// build returns the path of a command's binary.
func build(t *testing.T, command string) string {
	t.Helper()
	binary, err := builds[command]()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return binary
}

// startProcess starts the binary of a workload as its service account, with the workload's
// flags and others, and waits until it is ready.
func (p *plane) startProcess(t *testing.T, binary, name string, workload client.Object, args ...string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(p.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, workload)).To(Succeed())
	var spec corev1.PodSpec
	switch w := workload.(type) {
	case *appsv1.Deployment:
		spec = w.Spec.Template.Spec
	case *appsv1.DaemonSet:
		spec = w.Spec.Template.Spec
	}
	g.Expect(spec.Containers[0].Args).To(ContainElement("--watch-namespaces=team-a,team-b"))
	health := freeAddress(g)
	process := exec.Command(binary, append(append(spec.Containers[0].Args, "--health-probe-bind-address="+health), args...)...)
	process.Env = append(os.Environ(), "KUBECONFIG="+p.accountKubeconfig(t, spec.ServiceAccountName), "POD_NAMESPACE="+namespace,
		"POD_NAME="+name+"-0", "POD_UID="+string(uuid.NewUUID()), "NODE_NAME="+node.Name)
	var output bytes.Buffer
	session, err := gexec.Start(process, &output, &output)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		g.Eventually(session.Terminate(), patience).Should(gexec.Exit())
		if t.Failed() {
			t.Logf("%s:\n%s", name, output.String())
		}
	})
	g.Eventually(func() (int, error) {
		answer, err := http.Get("http://" + health + "/readyz")
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}, patience).Should(Equal(http.StatusOK), name)
}

// accountKubeconfig is a kubeconfig with a token of a service account.
func (p *plane) accountKubeconfig(t *testing.T, name string) string {
	t.Helper()
	g := NewWithT(t)
	account, token := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, &authenticationv1.TokenRequest{}
	g.Expect(p.api.SubResource("token").Create(t.Context(), account, token)).To(Succeed())
	config := clientcmdapi.NewConfig()
	config.Clusters["it"] = &clientcmdapi.Cluster{Server: "https://" + p.environment.ControlPlane.APIServer.HostPort(), CertificateAuthorityData: p.config.CAData}
	config.AuthInfos["it"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "it", AuthInfo: "it"}
	config.CurrentContext = "it"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(clientcmd.WriteToFile(*config, path)).To(Succeed())
	return path
}

// freeAddress is one on which nobody listens, and which no system gives to one who asks for
// any: before it is listened on, it would be another's.
func freeAddress(g *WithT) string {
	var listener net.Listener
	g.Eventually(func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		return err
	}, patience).Should(Succeed())
	defer listener.Close()
	return listener.Addr().String()
}

// invoke calls a runtime in a new session.
func invoke(ctx context.Context, url string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte("{}")))
	if err != nil {
		return 0, err
	}
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "a-session-of-the-test-of-the-chart-0001")
	if err := caller.Sign(r, accessKey, secretKey); err != nil {
		return 0, err
	}
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// expectAudit expects that no request was refused, and that all were for what is in the
// namespaces of the Roles.
func (p *plane) expectAudit(t *testing.T) {
	t.Helper()
	g, asked := NewWithT(t), map[string]bool{}
	text, err := os.ReadFile(p.auditLog)
	g.Expect(err).NotTo(HaveOccurred())
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb, RequestURI string
			User             struct{ Username string }
			ObjectRef        struct{ Namespace, Resource string }
			ResponseStatus   struct{ Code int }
		}
		g.Expect(json.Unmarshal(lines.Bytes(), &event)).To(Succeed())
		g.Expect(event.ResponseStatus.Code).NotTo(Equal(http.StatusForbidden), lines.Text())
		g.Expect(event.ObjectRef.Namespace).To(BeElementOf("team-a", "team-b", namespace), lines.Text())
		asked[fmt.Sprintf("%s %s %s", event.User.Username[len("system:serviceaccount:agentsession-system:agentsession-"):], event.Verb, event.ObjectRef.Resource)] = true
	}
	g.Expect(lines.Err()).NotTo(HaveOccurred())
	g.Expect(asked).To(And(HaveKey("operator create pods"), HaveKey("operator get pods"), HaveKey("operator get namespaces"), HaveKey("operator create networkpolicies"),
		HaveKey("node-prober patch agentsessions"), HaveKey("gateway create agentsessions"), HaveKey("gateway watch secrets"), HaveKey("gateway list agentruntimes"),
		HaveKey("operator watch agentsessions"), HaveKey("node-prober watch pods"), HaveKey("gateway watch agentsessions")))
}
