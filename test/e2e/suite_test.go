// Package e2e plays sessions' lives on a real node: real pods, a real kubelet,
// the operator in the cluster as its own pod. `make e2e` runs it on the cluster
// of hack/cluster; any cluster of KUBECONFIG that has the images will do.
package e2e_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/test/ontime"
)

const (
	systemNamespace = "agentsession-system"
	operatorName    = "agentsession-operator"
	agentsImage     = "agentsession/agents:dev"
	// scale makes 60 s of the rules 5 s of the test.
	scale = 12
)

var (
	config *rest.Config
	api    client.Client
	canary func() time.Duration
)

func TestE2E(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(3 * time.Minute)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "e2e")
}

var _ = BeforeSuite(func(ctx context.Context) {
	ctrl.SetLogger(GinkgoLogr)
	var err error
	config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	Expect(err).NotTo(HaveOccurred(), "KUBECONFIG must name a cluster: make e2e sees to that")
	config.QPS = -1
	api, err = client.New(config, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.Background())
	DeferCleanup(stop)
	canary, err = ontime.Canary(running, api)
	Expect(err).NotTo(HaveOccurred())
	install(ctx, "install.yaml")
	awaitOperator(ctx)
})

// lacks skips a spec for which the cluster lacks something; a run that is to be
// complete fails.
func lacks(what string) {
	GinkgoHelper()
	if os.Getenv("AGENTSESSION_E2E") == "complete" {
		Fail(what)
	}
	Skip(what)
}

// install applies a manifest of dist as it stands.
func install(ctx context.Context, name string) {
	GinkgoHelper()
	for _, object := range manifest(name) {
		Eventually(func() error { // what follows the CRD needs it served
			return api.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("e2e"), client.ForceOwnership)
		}).Should(Succeed(), "apply %s %s", object.GetKind(), object.GetName())
	}
}

// manifest reads the objects of a manifest of dist.
func manifest(name string) (objects []*unstructured.Unstructured) {
	GinkgoHelper()
	file, err := os.Open(filepath.Join("../../dist", name))
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	for decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); err != nil {
			Expect(err).To(MatchError(io.EOF))
			return objects
		}
		if object.Object != nil {
			objects = append(objects, object)
		}
	}
}

// runOperator runs the operator with these arguments and waits until it works.
func runOperator(ctx context.Context, args ...string) {
	GinkgoHelper()
	var deployment appsv1.Deployment
	key := client.ObjectKey{Namespace: systemNamespace, Name: operatorName}
	Expect(api.Get(ctx, key, &deployment)).To(Succeed())
	base := deployment.DeepCopy()
	deployment.Spec.Template.Spec.Containers[0].Args = append([]string{"--leader-elect"}, args...)
	deployment.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	Expect(api.Patch(ctx, &deployment, client.MergeFrom(base))).To(Succeed())
	awaitOperator(ctx)
}

// awaitOperator waits until the operator's pods, and no others, are there and ready, and
// one of them leads. The status of the Deployment may still speak of a pod that was
// just deleted, so the pods themselves are looked at too.
func awaitOperator(ctx context.Context) {
	GinkgoHelper()
	var deployment appsv1.Deployment
	Eventually(func(g Gomega) {
		g.Expect(api.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: operatorName}, &deployment)).To(Succeed())
		replicas := deployment.Spec.Replicas
		g.Expect(deployment.Status).To(And(
			HaveField("ObservedGeneration", deployment.Generation), HaveField("UpdatedReplicas", *replicas),
			HaveField("AvailableReplicas", *replicas), HaveField("Replicas", *replicas)))
		var pods corev1.PodList
		g.Expect(api.List(ctx, &pods, client.InNamespace(systemNamespace), client.MatchingLabels{"app.kubernetes.io/component": "operator"})).To(Succeed())
		g.Expect(pods.Items).To(HaveLen(int(*replicas)))
		g.Expect(pods.Items).To(HaveEach(And(
			HaveField("DeletionTimestamp", BeNil()),
			HaveField("Status.Conditions", ContainElement(And(HaveField("Type", corev1.PodReady), HaveField("Status", corev1.ConditionTrue)))))))
		g.Expect(pods.Items).To(ContainElement(Satisfy(leads(ctx, g))))
	}).Should(Succeed())
}

// leads tells whether a pod of the operator holds the lease, as of now.
func leads(ctx context.Context, g Gomega) func(corev1.Pod) bool {
	holder, err := leader(ctx)()
	g.Expect(err).NotTo(HaveOccurred())
	return func(pod corev1.Pod) bool { return strings.HasPrefix(holder, pod.Name+"_"+string(pod.UID)+"_") }
}

// leader is the process that holds the lease; empty if none does.
func leader(ctx context.Context) func() (string, error) {
	return func() (string, error) {
		var lease coordinationv1.Lease
		err := api.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: operatorName}, &lease)
		return ptr.Deref(lease.Spec.HolderIdentity, ""), err
	}
}

// newNamespace makes a namespace as strict as Kubernetes has them.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	Expect(api.Create(ctx, ns)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(client.IgnoreNotFound(api.Delete(ctx, ns))).To(Succeed())
	})
	return ns.Name
}

// example reads a manifest of examples/.
func example(namespace, name string) *v1alpha1.AgentSession {
	GinkgoHelper()
	raw, err := os.ReadFile(filepath.Join("../../examples", name+".yaml"))
	Expect(err).NotTo(HaveOccurred())
	session := &v1alpha1.AgentSession{}
	Expect(yaml.UnmarshalStrict(raw, session)).To(Succeed())
	session.Namespace = namespace
	return session
}

// faulty makes a session of the agent that misbehaves on order.
func faulty(namespace, name string, args ...string) *v1alpha1.AgentSession {
	GinkgoHelper()
	session := example(namespace, "echo")
	session.Name = name
	session.Spec.Template.Spec.Containers[0].Args = append([]string{"faulty"}, args...)
	return session
}

// reading returns a function for Eventually that reads the session anew.
func reading(ctx context.Context, session *v1alpha1.AgentSession) func() (v1alpha1.AgentSessionStatus, error) {
	return func() (v1alpha1.AgentSessionStatus, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(session), session)
		return session.Status, err
	}
}

func eventuallyState(ctx context.Context, session *v1alpha1.AgentSession, state v1alpha1.SessionState) v1alpha1.AgentSessionStatus {
	GinkgoHelper()
	Eventually(reading(ctx, session)).Should(HaveField("State", state), "session %s", session.Name)
	return session.Status
}

func patchSpec(ctx context.Context, session *v1alpha1.AgentSession, change func(*v1alpha1.AgentSessionSpec)) {
	GinkgoHelper()
	base := session.DeepCopy()
	change(&session.Spec)
	Expect(api.Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
}

// podsOf are the pods of the session that are or were not deleted yet.
func podsOf(ctx context.Context, session *v1alpha1.AgentSession) []corev1.Pod {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(api.List(ctx, &pods, client.InNamespace(session.Namespace), client.MatchingLabels{v1alpha1.LabelSession: session.Name})).To(Succeed())
	return pods.Items
}
