package agentsessiontest_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = time.Minute

var config *rest.Config

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	environment := &envtest.Environment{
		CRDs:                     agentsessiontest.CRDs(),
		CRDInstallOptions:        envtest.CRDInstallOptions{MaxTime: 2 * time.Minute},
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 2 * time.Minute,
	}
	var err error
	if config, err = environment.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "start the API server (make test sets KUBEBUILDER_ASSETS):", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := environment.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the API server:", err)
		code = 1
	}
	os.Exit(code)
}

// start runs a platform until the test ends, and makes a namespace for the test.
func start(t *testing.T, o agentsessiontest.Options) (platform *agentsessiontest.Platform, namespace string) {
	t.Helper()
	platform = startOn(t, config, o)
	return platform, newNamespace(t, platform)
}

// startOn runs a platform on an API server until the test ends.
func startOn(t *testing.T, config *rest.Config, o agentsessiontest.Options) *agentsessiontest.Platform {
	t.Helper()
	g := NewWithT(t)
	platform, err := agentsessiontest.Start(config, o)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(platform.Stop()).To(Succeed()) })
	return platform
}

// newNamespace makes a namespace whose sessions go when the test ends.
func newNamespace(t *testing.T, platform *agentsessiontest.Platform) string {
	t.Helper()
	g := NewWithT(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	g.Expect(platform.API.Create(t.Context(), ns)).To(Succeed())
	t.Cleanup(func() {
		g.Expect(platform.API.DeleteAllOf(context.Background(), &v1alpha1.AgentSession{}, client.InNamespace(ns.Name))).To(Succeed())
	})
	return ns.Name
}

func agentTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}}
}

func newSession(namespace, name string) *v1alpha1.AgentSession {
	return &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       v1alpha1.AgentSessionSpec{Template: agentTemplate()},
	}
}

// reaches waits until a session is in a state, and leaves it as it is then.
func reaches(ctx context.Context, g Gomega, platform *agentsessiontest.Platform, session *v1alpha1.AgentSession, state v1alpha1.SessionState) {
	g.Eventually(func(g Gomega) {
		g.Expect(platform.API.Get(ctx, client.ObjectKeyFromObject(session), session)).To(Succeed())
		g.Expect(session.Status.State).To(Equal(state))
	}).WithTimeout(patience).WithPolling(50*time.Millisecond).Should(Succeed(), "%s should be %s", session.Name, state)
}
