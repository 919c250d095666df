package agentsessiontest_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// TestTheClock: what was made after the clock was moved is not old.
func TestTheClock(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	platform, namespace := start(t, agentsessiontest.Options{})
	g.Expect(platform.Move(ctx, 24*time.Hour)).To(Succeed())
	session := newSession(namespace, "young")
	g.Expect(platform.API.Create(ctx, session)).To(Succeed())
	reaches(ctx, g, platform, session, v1alpha1.StateIdle)
	g.Expect(session.Status.NextStop.At.Time).To(BeTemporally("~", platform.Now().Add(15*time.Minute), patience))
	g.Expect(session.Status.NextStop.Reason).To(Equal(v1alpha1.StopIdleTimeout))

	g.Expect(platform.Move(ctx, 8*time.Hour)).To(Succeed())
	reaches(ctx, g, platform, session, v1alpha1.StateStopped)
	g.Expect(session.Status.LastTermination.Reason).To(Equal(v1alpha1.StopMaxLifetime))
	g.Expect(platform.Agent(session)).To(BeNil(), "its pod is gone")
	g.Expect(platform.Move(ctx, -time.Second)).To(MatchError(ContainSubstring("forward only")))
}

// TestWithoutCRDs says what is missing.
func TestWithoutCRDs(t *testing.T) {
	g := NewWithT(t)
	bare := httptest.NewServer(http.NotFoundHandler())
	defer bare.Close()
	_, err := agentsessiontest.Start(&rest.Config{Host: bare.URL}, agentsessiontest.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("look whether the API server has the CRDs")))
}

// TestAPodThatIsNotStarted stays Pending, until its start is given up.
func TestAPodThatIsNotStarted(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	platform, namespace := start(t, agentsessiontest.Options{Agent: func(*corev1.Pod) *node.Agent { return nil }})
	session := newSession(namespace, "pending")
	g.Expect(platform.API.Create(ctx, session)).To(Succeed())
	reaches(ctx, g, platform, session, v1alpha1.StateStarting)
	g.Eventually(func() *v1alpha1.PodStatus {
		_ = platform.API.Get(ctx, client.ObjectKeyFromObject(session), session)
		return session.Status.Pod
	}).WithTimeout(patience).ShouldNot(BeNil())
	g.Expect(platform.Move(ctx, 10*time.Minute)).To(Succeed())
	reaches(ctx, g, platform, session, v1alpha1.StateStopped)
	g.Expect(session.Status.LastTermination.Reason).To(Equal(v1alpha1.StopStartFailed))
}

// TestAPortThatIsTaken by a program that listens on all addresses would be asked in the
// agent's place: the session says so instead.
func TestAPortThatIsTaken(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	other, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "0.0.0.0:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer other.Close()
	platform, namespace := start(t, agentsessiontest.Options{})
	session := newSession(namespace, "blocked")
	session.Spec.Template.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: int32(other.Addr().(*net.TCPAddr).Port)}}
	g.Expect(platform.API.Create(ctx, session)).To(Succeed())
	g.Eventually(func() string {
		_ = platform.API.Get(ctx, client.ObjectKeyFromObject(session), session)
		if ready := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			return ready.Message
		}
		return ""
	}).WithTimeout(patience).Should(ContainSubstring("has another program that port on all addresses?"))
}
