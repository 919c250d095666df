// Package gateway plays calls through gateways: a real API server, the operator,
// the stand-in node, and as many gateways as a spec wants, each with a cache of
// its own.
package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
	"github.com/agentsession/agentsession/test/node"
)

const (
	// scale makes 60 s of the rules 3 s of the test, and a period 100 ms.
	scale = 20
	// idle is the idle timeout of the runtimes, on the test's clock.
	idle = 60 * time.Second / scale
)

var (
	config  *rest.Config
	api     client.Client
	kubelet *node.Node
)

func TestGateway(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to what `go run ./hack/cluster assets` prints")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "gateway")
}

var _ = BeforeSuite(func() {
	ctrl.SetLogger(GinkgoLogr)
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	var err error
	config, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	config.QPS = -1
	opts := controllers.ManagerOptions()
	watching, err := client.NewWithWatch(config, client.Options{Scheme: opts.Scheme})
	Expect(err).NotTo(HaveOccurred())
	api = watching

	running, stop := context.WithCancel(context.Background())
	kubelet, err = node.New(running, watching)
	Expect(err).NotTo(HaveOccurred())
	kubelet.Prepare = func(pod *corev1.Pod) *node.Agent {
		agent := node.NewAgent()
		agent.Serve(&echo{pod: pod.Name})
		return agent
	}
	go kubelet.Run(running)

	opts.Metrics = metricsserver.Options{BindAddress: "0"}
	mgr, err := ctrl.NewManager(config, opts)
	Expect(err).NotTo(HaveOccurred())
	Expect((&controllers.AgentSessionReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("agentsession"),
		TimeScale: scale, AllowLoopback: true,
		Prober: prober.New(prober.Options{Period: lifecycle.Period(scale), Observe: controllers.ObservePing}),
	}).SetupWithManager(mgr)).To(Succeed())
	Expect((&controllers.AgentRuntimeReconciler{Client: mgr.GetClient()}).SetupWithManager(mgr)).To(Succeed())
	ended := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(ended)
		Expect(mgr.Start(running)).To(Succeed())
	}()
	DeferCleanup(func() { stop(); <-ended })
})

// echo is an agent with a memory: how often it was called.
type echo struct {
	pod   string
	calls atomic.Int64
}

// ask is what the agent is told to do, and told is what it answers.
type (
	ask struct {
		Sleep  string `json:"sleep,omitempty"`  // how long it takes
		Code   int    `json:"code,omitempty"`   // what it fails with
		Chunks int    `json:"chunks,omitempty"` // of a stream, one each `sleep`
		Die    bool   `json:"die,omitempty"`    // in mid-answer
	}
	told struct {
		Pod     string      `json:"pod"`
		Calls   int64       `json:"calls"`
		Path    string      `json:"path"`
		Header  http.Header `json:"header"`
		Payload []byte      `json:"payload"`
	}
)

// gone counts invocations whose caller had gone, by session id.
var gone = make(chan string, 1000)

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	calls := e.calls.Add(1)
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var do ask
	_ = json.Unmarshal(raw, &do) // or it is something else to echo
	wait, _ := time.ParseDuration(do.Sleep)
	pause := func() bool {
		select {
		case <-time.After(wait):
			return true
		case <-r.Context().Done():
			gone <- r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")
			return false
		}
	}
	if do.Chunks > 0 {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range do.Chunks {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			if do.Die {
				panic(http.ErrAbortHandler)
			}
			if !pause() {
				return
			}
		}
		return
	}
	if !pause() {
		return
	}
	if do.Code != 0 {
		http.Error(w, "a secret of the agent", do.Code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "a=b")
	_ = json.NewEncoder(w).Encode(told{e.pod, calls, r.URL.Path, r.Header, raw})
}

// door is one gateway.
type door struct {
	url     string
	gateway *gateway.Gateway
}

// openDoor starts a gateway.
func openDoor(change ...func(*gateway.Options)) *door {
	GinkgoHelper()
	c, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = api.Scheme()
		o.Client.Cache = &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}
	})
	Expect(err).NotTo(HaveOccurred())
	o := gateway.Options{Client: c.GetClient(), Live: c.GetAPIReader(), Log: GinkgoLogr}
	for _, f := range change {
		f(&o)
	}
	if o.Authenticate != nil {
		Expect(gateway.IndexAccessKeys(c.GetCache())).To(Succeed())
		o.Authenticate = gateway.SigV4(c.GetClient())
	}
	g := gateway.New(o)
	Expect(g.Watch(c.GetCache())).To(Succeed())
	caching, stopCache := context.WithCancel(context.Background())
	go c.Start(caching)
	Expect(c.GetCache().WaitForCacheSync(caching)).To(BeTrue())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- g.Serve(running, listener) }()
	DeferCleanup(func() {
		stop()
		Expect(<-ended).To(Succeed())
		stopCache()
	})
	return &door{"http://" + listener.Addr().String(), g}
}

// waiting has calls wait while a session starts or stops.
func waiting(o *gateway.Options) { o.Conflict = gateway.ConflictWait }

// answer is what a caller gets.
type answer struct {
	code   int
	header http.Header
	body   string
	err    error // of reading the body
	failed struct {
		Message   string `json:"message"`
		Reason    string `json:"reason"`
		FieldList []struct{ Name, Message string }
	}
	told told
}

// path is that of an operation of a runtime.
func path(agent *v1alpha1.AgentRuntime, operation string) string {
	return "/runtimes/" + strings.NewReplacer(":", "%3A", "/", "%2F").Replace(agent.Status.AgentRuntimeArn) + "/" + operation
}

func (d *door) request(ctx context.Context, path, session string, body any) *http.Request {
	GinkgoHelper()
	raw, ok := body.([]byte)
	if !ok {
		var err error
		raw, err = json.Marshal(body)
		Expect(err).NotTo(HaveOccurred())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path, bytes.NewReader(raw))
	Expect(err).NotTo(HaveOccurred())
	if session != "" {
		r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	}
	return r
}

func send(r *http.Request) (a answer) {
	GinkgoHelper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		a.err = err
		return a
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	a.code, a.header, a.body, a.err = response.StatusCode, response.Header, string(raw), err
	if a.code == http.StatusOK {
		_ = json.Unmarshal(raw, &a.told)
	} else {
		_ = json.Unmarshal(raw, &a.failed)
	}
	return a
}

func (d *door) invoke(ctx context.Context, agent *v1alpha1.AgentRuntime, session string, body any) answer {
	GinkgoHelper()
	return send(d.request(ctx, path(agent, "invocations"), session, body))
}

func (d *door) stop(ctx context.Context, agent *v1alpha1.AgentRuntime, session, token string) answer {
	GinkgoHelper()
	return send(d.request(ctx, path(agent, "stopruntimesession"), session, map[string]string{"clientToken": token}))
}

func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	Expect(api.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

// newRuntime makes a runtime, and waits until it has an ARN.
func newRuntime(ctx context.Context, namespace string, change ...func(*v1alpha1.AgentRuntimeSpec)) *v1alpha1.AgentRuntime {
	GinkgoHelper()
	agent := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "echo-"},
		Spec: v1alpha1.AgentRuntimeSpec{
			Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "echo"}}}},
			ProtocolConfiguration:  v1alpha1.ProtocolConfiguration{Port: kubelet.Port()},
			LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 28800},
		},
	}
	for _, f := range change {
		f(&agent.Spec)
	}
	Expect(api.Create(ctx, agent)).To(Succeed())
	Eventually(func() (string, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
		return agent.Status.AgentRuntimeArn, err
	}).ShouldNot(BeEmpty())
	return agent
}

// idles has a runtime's sessions idle out after the shortest time.
func idles(s *v1alpha1.AgentRuntimeSpec) { s.LifecycleConfiguration.IdleRuntimeSessionTimeout = 60 }

// id is a session id that nobody else has.
func id() string {
	return "session-" + string(types.UID(metav1.Now().Format("20060102150405.000000"))) + fmt.Sprintf("-%012d", ids.Add(1))
}

var ids atomic.Int64

// sessionOf is the AgentSession of a session id.
func sessionOf(ctx context.Context, agent *v1alpha1.AgentRuntime, id string) *v1alpha1.AgentSession {
	GinkgoHelper()
	var list v1alpha1.AgentSessionList
	Expect(api.List(ctx, &list, client.InNamespace(agent.Namespace), client.MatchingFields{"spec.runtimeSessionId": id})).To(Succeed())
	Expect(list.Items).To(HaveLen(1))
	return &list.Items[0]
}

func stateOf(ctx context.Context, agent *v1alpha1.AgentRuntime, id string) func() v1alpha1.SessionState {
	return func() v1alpha1.SessionState { return sessionOf(ctx, agent, id).Status.State }
}

func podsOf(ctx context.Context, agent *v1alpha1.AgentRuntime) []corev1.Pod {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(api.List(ctx, &pods, client.InNamespace(agent.Namespace), client.MatchingLabels{v1alpha1.LabelRuntime: agent.Name})).To(Succeed())
	return pods.Items
}
