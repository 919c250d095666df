package kubeapi_test

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = time.Minute

var scheme = controllers.ManagerOptions().Scheme

func start(t *testing.T) *kubeapi.Server {
	t.Helper()
	g := NewWithT(t)
	server, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(server.Stop()).To(Succeed()) })
	return server
}

// TestItIsAsKubernetes: the same steps come to the same end, word by word, as on a
// real kube-apiserver.
func TestItIsAsKubernetes(t *testing.T) {
	g := NewWithT(t)
	environment := &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true,
		CRDInstallOptions:  envtest.CRDInstallOptions{MaxTime: 2 * patience},
		UseExistingCluster: new(false), ControlPlaneStartTimeout: 2 * patience, ControlPlaneStopTimeout: 2 * patience,
	}
	real, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(environment.Stop()).To(Succeed()) })
	real.QPS = -1
	want, got := perform(t, real), perform(t, start(t).Config())
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(want[step.name]).NotTo(BeEmpty())
			g.Expect(got[step.name]).To(HaveLen(len(want[step.name])))
			for i, line := range want[step.name] {
				g.Expect(got[step.name][i]).To(Equal(line))
			}
		})
	}
}

// TestWhatIsOwnedGoes: with its last owner, and where it never had one.
func TestWhatIsOwnedGoes(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	c, err := client.New(start(t).Config(), client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	owner := session("owner")
	g.Expect(c.Create(ctx, owner)).To(Succeed())
	of := []metav1.OwnerReference{*metav1.NewControllerRef(owner, v1alpha1.GroupVersion.WithKind("AgentSession"))}
	child := pod("child")
	child.OwnerReferences = of
	g.Expect(c.Create(ctx, child)).To(Succeed())
	revision := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "child", Namespace: "default", OwnerReferences: of}, Revision: 1}
	g.Expect(c.Create(ctx, revision)).To(Succeed())
	other := pod("other")
	g.Expect(c.Create(ctx, other)).To(Succeed())

	g.Expect(c.Delete(ctx, owner)).To(Succeed())
	gone := func(object client.Object) func() bool {
		return func() bool { return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(object), object)) }
	}
	g.Eventually(gone(child), patience).Should(BeTrue())
	g.Eventually(gone(revision), patience).Should(BeTrue())
	late := pod("late")
	late.OwnerReferences = of
	g.Expect(c.Create(ctx, late)).To(Succeed())
	g.Eventually(gone(late), patience).Should(BeTrue())
	g.Expect(gone(other)()).To(BeFalse())
}

// TestNobodyElseIsLetIn: a browser, or another user of the machine, has no token.
func TestNobodyElseIsLetIn(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	server := start(t)
	for _, token := range []string{"", "guess"} {
		config := server.Config()
		config.BearerToken = token
		c, err := client.New(config, client.Options{Scheme: scheme})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(apierrors.IsUnauthorized(c.List(ctx, &corev1.PodList{}))).To(BeTrue())
	}
	insecure := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.Config().Host+"/apis", http.NoBody)
	g.Expect(err).NotTo(HaveOccurred())
	answer, err := insecure.Do(r)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(answer.StatusCode).To(Equal(http.StatusUnauthorized))
	g.Expect(answer.Header.Get("Date")).NotTo(BeEmpty(), "the rules go by it")

	kubeconfig, err := server.Kubeconfig()
	g.Expect(err).NotTo(HaveOccurred())
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	c, err := client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.List(ctx, &corev1.PodList{})).To(Succeed())
}

// BenchmarkStart measures the time until the first session is there, and the memory.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		server, err := kubeapi.Start(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c, err := client.New(rest.CopyConfig(server.Config()), client.Options{Scheme: scheme})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Create(b.Context(), session("first")); err != nil {
			b.Fatal(err)
		}
		var memory runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(memory.HeapAlloc)/(1<<20), "MiB-heap")
		if err := server.Stop(); err != nil {
			b.Fatal(err)
		}
	}
}
