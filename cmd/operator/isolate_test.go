package main

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
)

// TestIsolateAgents: without --isolate-agents no network policy is made, and one that
// stands is left as it is; with it both are as they should be, for the same sessions.
func TestIsolateAgents(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	g.SetDefaultEventuallyTimeout(2 * time.Minute)
	ctrl.SetLogger(logr.Discard())
	environment := &envtest.Environment{
		CRDs: agentsessiontest.CRDs(), UseExistingCluster: new(false),
		CRDInstallOptions:        envtest.CRDInstallOptions{MaxTime: 2 * time.Minute},
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 2 * time.Minute,
	}
	config, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(environment.Stop()).To(Succeed()) })
	api, err := client.New(config, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())

	const none, open = "none", "open"
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: open, Name: controllers.NetworkPolicyName}}
	policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} // from everywhere
	for _, namespace := range []string{none, open} {
		g.Expect(api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
	}
	g.Expect(api.Create(ctx, policy)).To(Succeed())
	made := func() error {
		return api.Get(ctx, client.ObjectKey{Namespace: none, Name: controllers.NetworkPolicyName}, &networkingv1.NetworkPolicy{})
	}
	changes := func() (int64, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(policy), policy)
		return policy.Generation - 1, err
	}

	o := options{probe: probeNone, podNamespace: metav1.NamespacePublic, region: controllers.DefaultRegion}
	stop := startOperator(g, config, o)
	for _, key := range []client.ObjectKey{{Namespace: none, Name: "a"}, {Namespace: open, Name: "a"}, {Namespace: none, Name: "b"}, {Namespace: open, Name: "b"}} {
		startSession(ctx, g, api, key) // what would have a policy made has the session started
	}
	g.Expect(made()).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
	g.Expect(changes()).To(BeZero())
	stop()

	o.isolateAgents = true
	defer startOperator(g, config, o)()
	g.Eventually(made).Should(Succeed())
	g.Eventually(changes).Should(BeEquivalentTo(1))
}

// startOperator runs the controllers of an operator, and returns what ends it.
func startOperator(g *WithT, config *rest.Config, o options) (stop func()) {
	opts := controllers.ManagerOptions()
	opts.Metrics = metricsserver.Options{BindAddress: "0"}
	opts.Controller.SkipNameValidation = new(true)
	mgr, err := ctrl.NewManager(config, opts)
	g.Expect(err).NotTo(HaveOccurred())
	clusterTime := apiserver.NewClock(clock.RealClock{}, logr.Discard())
	g.Expect(newReconciler(mgr, o, clusterTime, nil).SetupWithManager(mgr)).To(Succeed())
	g.Expect(addOthers(mgr, o, clusterTime)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	return func() {
		cancel()
		g.Eventually(ended).Should(Receive(Succeed()))
		metrics.Registry.Unregister(controllers.SessionCollector{})
	}
}

// startSession makes a session, and waits for its pod.
func startSession(ctx context.Context, g *WithT, api client.Client, key client.ObjectKey) {
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	session.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent"}}
	g.Expect(api.Create(ctx, session)).To(Succeed())
	g.Eventually(func() (*v1alpha1.PodStatus, error) {
		err := api.Get(ctx, key, session)
		return session.Status.Pod, err
	}).ShouldNot(BeNil())
}
