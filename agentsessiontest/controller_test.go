package agentsessiontest_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// desk is a platform team's own controller: a ConfigMap with the label desk gets an agent,
// and says in its data whether that works.
type desk struct{ client.Client }

func (d desk) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var paper corev1.ConfigMap
	if err := d.Get(ctx, request.NamespacedName, &paper); err != nil || paper.Labels["desk"] == "" {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	session := newSession(paper.Namespace, paper.Name)
	if err := controllerutil.SetControllerReference(&paper, session, d.Scheme()); err != nil {
		return reconcile.Result{}, err
	}
	if err := d.Create(ctx, session); err != nil && !apierrors.IsAlreadyExists(err) {
		return reconcile.Result{}, err
	}
	if err := d.Get(ctx, request.NamespacedName, session); err != nil {
		return reconcile.Result{}, err
	}
	if paper.Data["agent"] == string(session.Status.State) {
		return reconcile.Result{}, nil
	}
	paper.Data = map[string]string{"agent": string(session.Status.State)}
	return reconcile.Result{}, d.Update(ctx, &paper)
}

// TestADesk is a test of a platform team's controller: its sessions run, work, and are
// stopped, and it shows that.
func TestADesk(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	platform, namespace := start(t, agentsessiontest.Options{})
	mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: platform.API.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ctrl.NewControllerManagedBy(mgr).Named(namespace).For(&corev1.ConfigMap{}).Owns(&v1alpha1.AgentSession{}).Complete(desk{mgr.GetClient()})).To(Succeed())
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(running) }()
	defer func() {
		stop()
		g.Expect(<-ended).To(Succeed())
	}()

	paper := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: namespace, Labels: map[string]string{"desk": "yes"}}}
	g.Expect(platform.API.Create(ctx, paper)).To(Succeed())
	shows := func(state v1alpha1.SessionState) {
		g.Eventually(func() string {
			_ = platform.API.Get(ctx, client.ObjectKeyFromObject(paper), paper)
			return paper.Data["agent"]
		}).WithTimeout(patience).WithPolling(50 * time.Millisecond).Should(Equal(string(state)))
	}
	shows(v1alpha1.StateIdle)

	session := newSession(paper.Namespace, paper.Name)
	g.Expect(platform.API.Get(ctx, client.ObjectKeyFromObject(session), session)).To(Succeed())
	platform.Agent(session).Say(contract.HealthyBusy)
	shows(v1alpha1.StateActive)
	platform.Agent(session).Say(contract.Healthy)
	shows(v1alpha1.StateIdle)
	g.Expect(platform.Move(ctx, 15*time.Minute)).To(Succeed())
	shows(v1alpha1.StateStopped)
}
