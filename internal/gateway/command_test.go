package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// unread is a caller who is cut as he takes nothing.
type unread struct{ *httptest.ResponseRecorder }

func (unread) Write([]byte) (int, error) { return 0, errors.New("i/o timeout") }

// What a command still writes while it is killed comes after its call has ended,
// when the connection may serve another.
func TestNothingIsWrittenAfterACommandsEnd(t *testing.T) {
	e := NewWithT(t)
	events := &commandEvents{kill: func(error) {}, w: unread{httptest.NewRecorder()}, encoder: eventstream.NewEncoder(), left: 100, begun: true}
	e.Expect(events.stop(t.Context(), context.Canceled)).To(MatchError(ContainSubstring("i/o timeout")))
	e.Expect(events.send(commandChunk{Delta: commandDelta{Stdout: "late"}})).To(MatchError(io.ErrClosedPipe))
}

// Whoever injects a sidecar may put it before the agent.
func TestACommandRunsInTheAgent(t *testing.T) {
	e := NewWithT(t)
	asked := make(chan url.Values, 10)
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query()
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(cluster.Close)
	session := sessionNo(1, func(s *v1alpha1.AgentSession) { s.Status.Pod.Name, s.Status.Pod.UID = "pod", "pod-uid" })
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: "pod", UID: "pod-uid"}}
	pod.Spec.Containers = []corev1.Container{{Name: "sidecar"}, {Name: "agent", Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "x"}}}}
	one := New(Options{
		Live:    fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(pod).Build(),
		Cluster: &rest.Config{Host: cluster.URL},
	})
	exec, err := one.executor(t.Context(), session, &corev1.PodExecOptions{Command: []string{"true"}, Stdout: true})
	e.Expect(err).NotTo(HaveOccurred())
	e.Expect(exec.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})).NotTo(Succeed())
	e.Expect(asked).To(Receive(HaveKeyWithValue("container", []string{"agent"})))
}
