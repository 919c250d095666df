package controllers_test

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
	"github.com/agentsession/agentsession/test/ontime"
)

// patience is how long a spec waits for what has to come, on a busy machine.
const patience = time.Minute

// scale makes 60 s of the rules 3 s of the test, and a period 100 ms.
const scale = 20

var (
	environment *envtest.Environment
	config      *rest.Config
	api         client.WithWatch
	kubelet     *node.Node
	canary      func() time.Duration
)

func TestControllers(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to what `go run ./hack/cluster assets` prints")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(patience)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "controllers")
}

var _ = BeforeSuite(func() {
	ctrl.SetLogger(GinkgoLogr)
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{"../config/crd/bases"},
		ErrorIfCRDPathMissing: true,
		CRDInstallOptions:     envtest.CRDInstallOptions{MaxTime: 2 * time.Minute},
		// Machines of tests are slow at times, and the defaults are 20 s.
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 2 * time.Minute,
	}
	var err error
	config, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	config.QPS = -1

	api, err = client.NewWithWatch(config, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.Background())
	DeferCleanup(stop)
	canary, err = ontime.Canary(running, api)
	Expect(err).NotTo(HaveOccurred())
	kubelet, err = node.New(running, api)
	Expect(err).NotTo(HaveOccurred())
	kubelet.Prepare, kubelet.Place = prepare, place
	kubelet.Initializing = func(pod *corev1.Pod) bool { return pod.Annotations["initializing"] != "" }
	go kubelet.Run(running)
})

// firstMoments has the agents' ways that must stand before anybody asks them, by
// session.
var firstMoments sync.Map

// fromItsFirstMoment has the agents of a session that is made later behave so
// from before their first ping.
func fromItsFirstMoment(namespace, session string, behave func(*node.Agent)) {
	firstMoments.Store(client.ObjectKey{Namespace: namespace, Name: session}, behave)
}

// programs are what agents serve besides pings, by what their pods' annotation serve says.
var programs sync.Map

// busy is an agent with work.
func busy(agent *node.Agent) { agent.Say(contract.HealthyBusy) }

// absent is an agent that has no ping.
func absent(agent *node.Agent) {
	agent.Answer(func() (int, string) { return http.StatusNotFound, "" })
}

// prepare leaves pods Pending whose session wants it so.
func prepare(pod *corev1.Pod) *node.Agent {
	if pod.Annotations["pending"] != "" {
		return nil
	}
	agent := node.NewAgent()
	if program, ok := programs.Load(pod.Annotations["serve"]); ok {
		agent.Serve(program.(http.HandlerFunc))
	}
	if behave, ok := firstMoments.Load(client.ObjectKey{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelSession]}); ok {
		behave.(func(*node.Agent))(agent)
	}
	return agent
}

// place is the node that a pod's session wants, or the only one.
func place(pod *corev1.Pod) string {
	return cmp.Or(pod.Annotations["node"], node.Name)
}

// operator is one run of the operator.
type operator struct {
	prober *prober.Prober
	stop   context.CancelFunc
	ended  chan struct{}
}

// startOperator runs the operator for the namespace; adjust may change the
// reconciler, for faults.
func startOperator(namespace string, adjust ...func(*controllers.AgentSessionReconciler)) *operator {
	GinkgoHelper()
	return start(config, controllers.ManagerOptions(), namespace, adjust...)
}

func start(config *rest.Config, opts ctrl.Options, namespace string, adjust ...func(*controllers.AgentSessionReconciler)) *operator {
	GinkgoHelper()
	return startBy(apiserver.NewClock(clock.RealClock{}, GinkgoLogr), config, opts, namespace, adjust...)
}

// startBy runs it by a clock that hears what the API server answers.
func startBy(now *apiserver.Clock, config *rest.Config, opts ctrl.Options, namespace string, adjust ...func(*controllers.AgentSessionReconciler)) *operator {
	GinkgoHelper()
	config = now.Listen(config)
	opts.Metrics = metricsserver.Options{BindAddress: "0"}
	opts.Cache.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	opts.Controller.SkipNameValidation = new(true) // one name, many runs
	mgr, err := ctrl.NewManager(config, opts)
	Expect(err).NotTo(HaveOccurred())
	reconciler := &controllers.AgentSessionReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("agentsession"),
		TimeScale: scale, AllowLoopback: true, Clock: now,
		Prober: prober.New(prober.Options{Period: lifecycle.Period(scale), Observe: controllers.ObservePing}),
	}
	for _, change := range adjust {
		change(reconciler)
	}
	Expect(reconciler.SetupWithManager(mgr)).To(Succeed())
	if reconciler.Node == "" {
		Expect((&controllers.AgentRuntimeReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Selector: reconciler.Selector, AllowLoopback: reconciler.AllowLoopback}).SetupWithManager(mgr)).To(Succeed())
	}
	ctx, stop := context.WithCancel(context.Background())
	o := &operator{prober: reconciler.Prober, stop: stop, ended: make(chan struct{})}
	go func() {
		defer GinkgoRecover()
		defer close(o.ended)
		Expect(mgr.Start(ctx)).To(Succeed())
	}()
	DeferCleanup(o.end)
	return o
}

func (o *operator) end() {
	o.stop()
	<-o.ended
}

func newNamespace(ctx context.Context, labels ...string) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: map[string]string{}}}
	for i := 0; i+1 < len(labels); i += 2 {
		ns.Labels[labels[i]] = labels[i+1]
	}
	Expect(api.Create(ctx, ns)).To(Succeed())
	watching, stop := context.WithCancel(context.Background())
	DeferCleanup(stop)
	seen.watchSessions(watching, ns.Name)
	return ns.Name
}

// neverIdle is for sessions whose idle timeout is no matter: that of AgentCore is 45 s here.
func neverIdle(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration = nil }

// newSession makes a session with the shortest timeouts unless change says
// otherwise.
func newSession(namespace, name string, change ...func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.AgentSessionSpec{
			Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}},
			LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 28800},
			Ping:                   v1alpha1.PingSpec{Port: kubelet.Port()},
		},
	}
	for _, f := range change {
		f(session)
	}
	return session
}

// reading returns a function for Eventually that reads the session anew.
func reading(ctx context.Context, session *v1alpha1.AgentSession) func() (v1alpha1.AgentSessionStatus, error) {
	return func() (v1alpha1.AgentSessionStatus, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(session), session)
		return session.Status, err
	}
}

// agentOf is the stand-in agent of the session's compute.
func agentOf(ctx context.Context, session *v1alpha1.AgentSession) *node.Agent {
	GinkgoHelper()
	Eventually(reading(ctx, session)).Should(HaveField("Pod", Not(BeNil())))
	var agent *node.Agent
	Eventually(func() *node.Agent {
		agent = kubelet.Agent(session.Status.Pod.UID)
		return agent
	}).ShouldNot(BeNil())
	return agent
}

func podsOf(ctx context.Context, session *v1alpha1.AgentSession) []corev1.Pod {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(api.List(ctx, &pods, client.InNamespace(session.Namespace))).To(Succeed())
	return pods.Items
}
