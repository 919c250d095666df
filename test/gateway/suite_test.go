// Package gateway plays calls through gateways.
package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/echo"
	"github.com/agentsession/agentsession/test/front"
)

const (
	idle = front.Idle
	// patience is how many pings an agent may fail: a busy machine leaves it without one for
	// more than the 1.5 s of the usual threshold at the test's scale, and has 6 s for a lease.
	patience = 100
)

var (
	plane *front.Front
	api   client.Client
)

type (
	ask  = echo.Ask
	told = echo.Told
)

func TestGateway(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to what `go run ./hack/cluster assets` prints")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(2 * time.Minute) // of a busy machine
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "gateway")
}

var _ = BeforeSuite(func() {
	ctrl.SetLogger(GinkgoLogr)
	var err error
	plane, err = front.Start("../../config/crd/bases", GinkgoLogr)
	DeferCleanup(plane.Stop)
	Expect(err).NotTo(HaveOccurred())
	api = plane.API
})

// door is one gateway.
type door struct {
	url  string
	shut func() error // at once for new calls; those that are there it lets end
}

// openDoor starts a gateway.
func openDoor(change ...func(*gateway.Options)) *door {
	GinkgoHelper()
	url, shut, err := plane.Door(change...)
	Expect(err).NotTo(HaveOccurred())
	return newDoor(url, shut)
}

// newDoor is a gateway that is shut at the end of the spec.
func newDoor(url string, shut func() error) *door {
	GinkgoHelper()
	shut = sync.OnceValue(shut)
	DeferCleanup(func() {
		ended := make(chan error, 1)
		go func() { ended <- shut() }()
		Eventually(ended).Should(Receive(BeNil()), "the calls of a spec that has failed may last for an hour")
	})
	return &door{url, shut}
}

// waiting has calls wait while a session starts or stops.
func waiting(o *gateway.Options) { o.Conflict = gateway.ConflictWait }

// answer is what a caller gets.
type answer struct {
	came   time.Time // the call
	took   time.Duration
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

func send(r *http.Request) answer {
	GinkgoHelper()
	a := fetch(r)
	expectAsDocumented(r, a)
	return a
}

func fetch(r *http.Request) (a answer) {
	a.came = time.Now()
	defer func() { a.took = time.Since(a.came) }()
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

// atOnce makes many calls of one session at once, through the gateways in turn.
func atOnce(ctx context.Context, calls int, agent *v1alpha1.AgentRuntime, session string, doors ...*door) []answer {
	GinkgoHelper()
	requests, answers := make([]*http.Request, calls), make([]answer, calls)
	for i := range requests {
		requests[i] = doors[i%len(doors)].request(ctx, path(agent, "invocations"), session, ask{})
	}
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() { answers[i] = fetch(r) })
	}
	all.Wait()
	for i, r := range requests { // when nobody waits for the machine any more
		expectAsDocumented(r, answers[i])
	}
	return answers
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

// newRuntime makes a runtime that all gateways know.
func newRuntime(ctx context.Context, namespace string, change ...func(*v1alpha1.AgentRuntimeSpec)) *v1alpha1.AgentRuntime {
	GinkgoHelper()
	agent := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "echo-", Labels: map[string]string{"shard": "a"}},
		Spec: v1alpha1.AgentRuntimeSpec{
			Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "echo"}}}},
			Ping:                   v1alpha1.RuntimePing{FailureThreshold: patience},
			ProtocolConfiguration:  v1alpha1.ProtocolConfiguration{Port: plane.Port},
			LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 28800},
		},
	}
	for _, f := range change {
		f(&agent.Spec)
	}
	Expect(plane.Runtime(ctx, agent)).To(Succeed())
	return agent
}

// inline is a session with a pod of its own and no runtime.
func inline(namespace string) *v1alpha1.AgentSession {
	return &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "inline"},
		Spec: v1alpha1.AgentSessionSpec{
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "echo"}}}},
			Ping:     v1alpha1.PingSpec{Port: plane.Port, FailureThreshold: patience},
		},
	}
}

// idles has a runtime's sessions idle out after the shortest time.
func idles(s *v1alpha1.AgentRuntimeSpec) { s.LifecycleConfiguration.IdleRuntimeSessionTimeout = 60 }

// idlesIn has a runtime's sessions idle out after a time of the test's. In a call a gateway
// has about that long for the write that keeps the session: a busy machine needs seconds.
func idlesIn(timeout time.Duration) func(*v1alpha1.AgentRuntimeSpec) {
	return func(s *v1alpha1.AgentRuntimeSpec) { s.LifecycleConfiguration = idleTimeout(timeout) }
}

func idleTimeout(timeout time.Duration) *v1alpha1.LifecycleConfiguration {
	return &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: int32(timeout * front.Scale / time.Second)}
}

// held keeps the pods of a runtime from being scheduled until letGo. Their start has
// minutes.
func held(s *v1alpha1.AgentRuntimeSpec) {
	s.ProvisioningTimeoutSeconds = 7200
	s.Template.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "agentsession.dev/held"}}
}

// letGo has the pod of a runtime scheduled, as soon as it is there.
func letGo(ctx context.Context, agent *v1alpha1.AgentRuntime) {
	GinkgoHelper()
	Eventually(func() []corev1.Pod { return podsOf(ctx, agent) }).Should(HaveLen(1))
	pod := podsOf(ctx, agent)[0]
	base := pod.DeepCopy()
	pod.Spec.SchedulingGates = nil
	Expect(api.Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
}

// linger has the pod of a runtime take its time to go, until it is buried. Its agent
// serves on meanwhile.
func linger(ctx context.Context, agent *v1alpha1.AgentRuntime) (bury func()) {
	GinkgoHelper()
	pod := podsOf(ctx, agent)[0]
	base := pod.DeepCopy()
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, node.Deaf, "yes")
	Expect(api.Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
	return func() {
		GinkgoHelper()
		Expect(api.Delete(ctx, &pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})).To(Succeed())
	}
}

// id is a session id that nobody else has.
func id() string { return string(uuid.NewUUID()) }

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

// eventuallyStopped waits until every gateway sees the session stopped, which is
// a moment after the API server knows it.
func eventuallyStopped(ctx context.Context, agent *v1alpha1.AgentRuntime, session string, doors ...*door) (a answer) {
	GinkgoHelper()
	for _, d := range doors {
		Eventually(func() int {
			a = d.stop(ctx, agent, session, "")
			return a.code
		}).Should(Equal(http.StatusNotFound))
	}
	return a
}

// lateness adds up by how much this process is run too late, from now on.
func lateness(ctx context.Context) (sum func() time.Duration) {
	const step = 50 * time.Millisecond
	var late atomic.Int64
	ctx, stop := context.WithCancel(ctx)
	DeferCleanup(stop)
	go func() {
		for ctx.Err() == nil {
			due := time.Now().Add(step)
			time.Sleep(step)
			late.Add(int64(time.Since(due)))
		}
	}()
	return func() time.Duration { return time.Duration(late.Load()) }
}
