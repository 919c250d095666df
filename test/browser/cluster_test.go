package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// cluster is an API in memory without an operator: the tests write what one would.
type cluster struct {
	*WithT
	t          *testing.T
	api        kube.Client
	kubeconfig string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{WithT: NewWithT(t), t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	server, err := kubeapi.Start(t.Context())
	c.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = server.Stop() }) // it is thrown away
	text, err := server.Kubeconfig()
	c.Expect(err).NotTo(HaveOccurred())
	c.Expect(os.WriteFile(c.kubeconfig, []byte(strings.ReplaceAll(string(text), "agentsession-local", "kind-agents")), 0o600)).To(Succeed())
	c.api, err = kube.New(server.Config(), kube.Options{Scheme: controllers.ManagerOptions().Scheme})
	c.Expect(err).NotTo(HaveOccurred())
	return c
}

// dashboard is the address of its page.
func (c *cluster) dashboard(flags ...string) string {
	c.t.Helper()
	first := start(c.t, append([]string{"dashboard", "--kubeconfig", c.kubeconfig}, flags...)...)
	_, page, found := strings.Cut(strings.TrimSpace(first), "http://")
	c.Expect(found).To(BeTrue(), first)
	return "http://" + page
}

func (c *cluster) runtime(name string) {
	c.t.Helper()
	r := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeapi.Namespace, Name: name},
		Spec:       v1alpha1.AgentRuntimeSpec{Template: template(), Endpoints: []v1alpha1.RuntimeEndpoint{{Name: "prod", Version: 2}}},
	}
	c.Expect(c.api.Create(c.t.Context(), r)).To(Succeed())
	r.Status.AgentRuntimeVersion = 3
	r.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVersionRecorded, "Sessions start with version 3.")}
	c.Expect(c.api.Status().Update(c.t.Context(), r)).To(Succeed())
}

func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent:1"}}}}
}

// session makes a session of a runtime, without a status.
func (c *cluster) session(ctx context.Context, name, runtime string) (*v1alpha1.AgentSession, error) {
	s := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeapi.Namespace, Name: name},
		Spec: v1alpha1.AgentSessionSpec{
			RuntimeRef: &v1alpha1.RuntimeRef{Name: runtime}, RuntimeSessionID: name + strings.Repeat("0", 33), DesiredState: v1alpha1.DesiredRunning,
		},
	}
	return s, c.api.Create(ctx, s)
}

// event says something of a session, so many seconds ago.
func (c *cluster) event(s *v1alpha1.AgentSession, ago int, kind, reason, message string) {
	c.t.Helper()
	at := metav1.NewTime(time.Now().Add(-time.Duration(ago) * time.Second))
	c.Expect(c.api.Create(c.t.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: s.Namespace, GenerateName: s.Name + "."},
		InvolvedObject: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AgentSession", Namespace: s.Namespace, Name: s.Name, UID: s.UID},
		Type:           kind, Reason: reason, Message: message, FirstTimestamp: at, LastTimestamp: at, Count: 1,
	})).To(Succeed())
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
}

// become has a session be in a state since a moment, as an operator would write it.
func (c *cluster) become(ctx context.Context, s *v1alpha1.AgentSession, state v1alpha1.SessionState, at time.Time, changes ...func(*v1alpha1.AgentSessionStatus)) error {
	since, old := metav1.NewTime(at), s.Status
	s.Status.State, s.Status.ObservedGeneration = state, s.Generation
	s.Status.Runtime = &v1alpha1.ActivationRuntime{AgentRuntimeVersion: 3}
	s.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionFalse, string(state), "It is so.")}
	s.Status.NextStop = nil
	switch state {
	case v1alpha1.StateStarting:
		s.Status.Activation++
		s.Status.Pod = &v1alpha1.PodStatus{Name: fmt.Sprintf("%s-%d", s.Name, s.Status.Activation), UID: "p", IP: "10.0.0.7", Node: "node-1", CreatedAt: since}
		s.Status.HealthyAt, s.Status.Usage, s.Status.LastTermination, s.Status.PingStatus = nil, nil, nil, ""
		s.Status.NextStop = &v1alpha1.NextStop{At: metav1.NewTime(at.Add(10 * time.Minute)), Reason: v1alpha1.StopStartFailed}
	case v1alpha1.StateActive, v1alpha1.StateIdle:
		ofWork(&s.Status, old, state, since)
	case v1alpha1.StateStopping, v1alpha1.StateStopped:
		ofEnd(&s.Status, old, state, since)
	}
	for _, change := range changes {
		change(&s.Status)
	}
	return c.api.Status().Update(ctx, s)
}

func ofWork(now *v1alpha1.AgentSessionStatus, old v1alpha1.AgentSessionStatus, state v1alpha1.SessionState, since metav1.Time) {
	now.Conditions[0].Status, now.Conditions[0].Message = metav1.ConditionTrue, "The agent answers pings."
	if now.HealthyAt == nil {
		now.HealthyAt = &since
	}
	now.Usage = &v1alpha1.Usage{CountedAt: since}
	if old.Usage != nil {
		lasted := int64(since.Sub(old.Usage.CountedAt.Time).Seconds())
		now.Usage.ActiveSeconds, now.Usage.IdleSeconds = old.Usage.ActiveSeconds, old.Usage.IdleSeconds
		if state == v1alpha1.StateIdle {
			now.Usage.ActiveSeconds += lasted
		} else {
			now.Usage.IdleSeconds += lasted
		}
	}
	now.PingStatus, now.PingStatusSince, now.IdleSince = "HealthyBusy", &since, nil
	now.NextStop = &v1alpha1.NextStop{At: metav1.NewTime(now.Pod.CreatedAt.Add(8 * time.Hour)), Reason: v1alpha1.StopMaxLifetime}
	if state == v1alpha1.StateIdle {
		now.PingStatus, now.IdleSince = "Healthy", &since
		now.NextStop = &v1alpha1.NextStop{At: metav1.NewTime(since.Add(15 * time.Minute)), Reason: v1alpha1.StopIdleTimeout}
	}
}

func ofEnd(now *v1alpha1.AgentSessionStatus, old v1alpha1.AgentSessionStatus, state v1alpha1.SessionState, since metav1.Time) {
	const why = "No work for 15m0s: the agent answers Healthy and no invocation is in flight"
	now.PingStatus, now.PingStatusSince, now.IdleSince = "", nil, nil
	now.LastTermination = &v1alpha1.Termination{Reason: v1alpha1.StopIdleTimeout, Message: why, Activation: now.Activation, PingStatus: "Healthy", DueAt: &since}
	if state == v1alpha1.StateStopping {
		return
	}
	now.LastTermination.At = &since
	past := v1alpha1.PastActivation{Reason: v1alpha1.StopIdleTimeout, Message: why, Activation: now.Activation, Until: since}
	if old.Pod != nil {
		past.From = &old.Pod.CreatedAt
	}
	if old.Usage != nil {
		past.ActiveSeconds, past.IdleSeconds = old.Usage.ActiveSeconds, old.Usage.IdleSeconds
	}
	now.History = append([]v1alpha1.PastActivation{past}, now.History[:min(len(now.History), 9)]...)
	now.Pod, now.HealthyAt, now.Usage = nil, nil, nil
}

// each does something n times, some at a time.
func (c *cluster) each(n int, do func(ctx context.Context, i int) error) {
	c.t.Helper()
	next, failed := make(chan int), make(chan error, n)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range next {
				if err := do(c.t.Context(), i); err != nil {
					failed <- err
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	close(failed)
	c.Expect(<-failed).NotTo(HaveOccurred())
}

func (c *cluster) key(name string) kube.ObjectKey {
	return kube.ObjectKey{Namespace: kubeapi.Namespace, Name: name}
}
