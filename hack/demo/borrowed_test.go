package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// patient is how long a test waits for what has to come, on a busy machine.
const patient = 2 * time.Minute

// borrow starts an API server, and has it be the user's own cluster.
func borrow(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to what `go run ./hack/cluster assets` prints")
	}
	ctrl.SetLogger(logr.Discard())
	environment := &envtest.Environment{
		UseExistingCluster:       new(false), // whatever the environment says
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 2 * time.Minute,
	}
	t.Cleanup(func() { g.Expect(environment.Stop()).To(Succeed()) })
	_, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	admin, err := environment.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	text, err := admin.KubeConfig()
	g.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
	t.Setenv("KUBECONFIG", file)
	t.Setenv("USE_CLUSTER", "current")
}

// demonstrate does to a cluster what a whole demo does, and is interrupted then.
func demonstrate(ctx context.Context, g *WithT, scale int) (*cluster, context.Context) {
	c, err := connect(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.spare(ctx, scale)).To(Succeed())
	g.Expect(c.apply(ctx, "dist/install.yaml", withTimeScale(scale))).To(Succeed())
	g.Expect((&caller{cluster: c}).install(ctx)).To(Succeed())
	interrupted, stop := context.WithCancel(ctx)
	stop()
	return c, interrupted
}

// given is what giveBack says.
func given(ctx context.Context, c *cluster) (says string, err error) {
	var out bytes.Buffer
	err = c.giveBack(ctx, &screen{out: &out, width: 80, height: 24})
	return out.String(), err
}

func TestABorrowedClusterIsGivenBack(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	borrow(t)

	// Nothing of ours is there, not even the types that spare asks for.
	c, interrupted := demonstrate(ctx, g, 12)
	deployment, key := &appsv1.Deployment{}, &corev1.Secret{}
	args := func() []string {
		g.Expect(c.api.Get(ctx, operator, deployment)).To(Succeed())
		return deployment.Spec.Template.Spec.Containers[0].Args
	}
	keyOfDemo := client.ObjectKey{Namespace: operator.Namespace, Name: accessKey}
	g.Expect(args()).To(ContainElement("--time-scale=12"))
	g.Expect(c.api.Get(ctx, keyOfDemo, key)).To(Succeed())
	g.Expect(given(interrupted, c)).To(And(
		ContainSubstring("agentsession-operator is new, and stays, without --time-scale"), ContainSubstring("make undeploy"), Not(ContainSubstring("networkpolicy"))))
	g.Expect(args()).NotTo(ContainElement(HavePrefix("--time-scale")))
	g.Expect(args()).NotTo(BeEmpty())
	g.Expect(c.api.Get(ctx, keyOfDemo, key)).To(MatchError(apierrors.IsNotFound, "IsNotFound"))

	// An operator of theirs, by kubectl and with flags of theirs, and a namespace with its policy.
	deployment.Spec.Replicas = new(int32(1))
	deployment.Spec.Template.Spec.Containers[0].Args = []string{"--leader-elect", "--isolate-agents=false"}
	deployment.Annotations[corev1.LastAppliedConfigAnnotation] = `{"theirs":true}`
	g.Expect(c.api.Update(ctx, deployment)).To(Succeed())
	found := deployment.DeepCopy()
	for _, name := range []string{"theirs", "new"} {
		g.Expect(c.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
	policy := func(namespace string) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controllers.NetworkPolicyName}}
	}
	g.Expect(c.api.Create(ctx, policy("theirs"))).To(Succeed())
	c, interrupted = demonstrate(ctx, g, 12)
	g.Expect(args()).To(ContainElement("--time-scale=12"))
	g.Expect(c.api.Create(ctx, policy("new"))).To(Succeed()) // the demo's operator does
	g.Expect(given(interrupted, c)).To(And(
		ContainSubstring("agentsession-operator is as it was found"), ContainSubstring("agentsession-gateway is as it was found"),
		ContainSubstring("kubectl delete networkpolicy -n new "), Not(ContainSubstring("networkpolicy -n theirs "))))
	args()
	g.Expect(deployment.Spec).To(Equal(found.Spec))
	g.Expect(deployment.Annotations).To(Equal(found.Annotations))
	g.Expect(c.api.Get(ctx, keyOfDemo, key)).To(MatchError(apierrors.IsNotFound, "IsNotFound"))

	// What cannot be given back is told, and the rest is.
	c, interrupted = demonstrate(ctx, g, 12)
	g.Expect(c.api.Delete(ctx, deployment)).To(Succeed())
	says, err := given(interrupted, c)
	g.Expect(err).To(MatchError(ContainSubstring("give back the deployment agentsession-operator: ")))
	g.Expect(says).To(ContainSubstring("The cluster is not as it was found: "))
	g.Expect(c.api.Get(ctx, keyOfDemo, key)).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
}

func TestOthersSessionsAreSparedOnACluster(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	borrow(t)
	c, _ := demonstrate(ctx, g, 12)
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "theirs"}}
	session.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
	g.Eventually(func() error { return c.api.Create(ctx, session.DeepCopy()) }).WithTimeout(patient).Should(Succeed()) // the API server takes the type up
	g.Eventually(func() error { return c.spare(ctx, 12) }).WithTimeout(patient).Should(MatchError("the session default/theirs lives in this cluster, " +
		"and its time would be divided by 12 too: stop it first, or use another cluster"))
	g.Expect(c.spare(ctx, 1)).To(Succeed(), "nobody's time is divided")
	g.Expect(c.api.Get(ctx, client.ObjectKeyFromObject(session), session)).To(Succeed())
	session.Status.State = v1alpha1.StateStopped
	g.Expect(c.api.Status().Update(ctx, session)).To(Succeed())
	g.Expect(c.spare(ctx, 12)).To(Succeed(), "it is stopped")
	t.Setenv("USE_CLUSTER", "")
	session.Status.State = v1alpha1.StateIdle
	g.Expect(c.api.Status().Update(ctx, session)).To(Succeed())
	g.Expect(c.spare(ctx, 12)).To(Succeed(), "a cluster that the demo has made is its own")
}
