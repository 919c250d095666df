package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// TestTasksOfAnAgent: it is asked with the token of the very pod that runs it, and nobody else is.
func TestTasksOfAnAgent(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != contract.TasksPath || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"active_count":1,"running_jobs":[{"name":"dig","duration":3}]}`))
	}))
	t.Cleanup(agent.Close)
	at := netip.MustParseAddrPort(agent.Listener.Addr().String())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x-1", UID: "this"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "secret"}}}}},
	}
	reader := TaskReader{Client: fake.NewClientBuilder().WithObjects(pod).Build(), AllowLoopback: true}
	for name, row := range map[string]struct {
		reader TaskReader
		change func(*v1alpha1.AgentSessionStatus)
		says   string
	}{
		"it works":                         {reader: reader},
		"no compute":                       {reader, func(s *v1alpha1.AgentSessionStatus) { s.Pod = nil }, "AgentSession x has no compute"},
		"a pod that is gone, or forbidden": {reader, func(s *v1alpha1.AgentSessionStatus) { s.Pod.Name = "x-2" }, `pods "x-2" not found`},
		"another pod of that name":         {reader, func(s *v1alpha1.AgentSessionStatus) { s.Pod.UID = "other" }, "is another by now"},
		"no address":                       {reader, func(s *v1alpha1.AgentSessionStatus) { s.Pod.IP = "" }, "the address of pod x-1"},
		"the gateway's own machine":        {reader: TaskReader{Client: reader.Client}, says: "127.0.0.1 is loopback"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x"}}
			session.Spec.Ping.Port = int32(at.Port())
			session.Status.Pod = &v1alpha1.PodStatus{Name: pod.Name, UID: pod.UID, IP: at.Addr().String()}
			if row.change != nil {
				row.change(&session.Status)
			}
			tasks, err := row.reader.Tasks(t.Context(), session)
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(tasks).To(HaveExactElements(HaveField("Name", "dig")))
		})
	}
}
