package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
	"github.com/agentsession/agentsession/test/node"
)

// operatorUser is whom the audit log names. It has the operator's own rights,
// so that a request that they do not cover is counted, and fails.
const operatorUser = "operator-under-test"

// bench is a control plane with a node that runs agents, and no operator yet.
type bench struct {
	dir      string // of all files
	audit    audit
	api      client.WithWatch
	operator *rest.Config // of operatorUser
	node     *node.Node
	fail     context.CancelCauseFunc // ends the run: something ended that should not
	stops    []func() error          // what was started, in that order
	broken   []string                // bounds, each with what broke it
}

// start may fail half way: stop is to be called in any case.
func (b *bench) start(ctx context.Context) error {
	policy := filepath.Join(b.dir, "policy.yaml")
	b.audit = audit{filepath.Join(b.dir, "audit.log")}
	environment := &envtest.Environment{
		CRDDirectoryPaths: []string{"config/crd/bases"}, ErrorIfCRDPathMissing: true,
		UseExistingCluster: new(false), // whatever the environment says
	}
	b.stops = append(b.stops, environment.Stop)
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("write the audit policy: %w", err)
	}
	environment.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policy).Set("audit-log-path", b.audit.file)
	config, err := environment.Start()
	if err != nil {
		return fmt.Errorf("start the API server (run this at the top of the repository, with KUBEBUILDER_ASSETS set): %w", err)
	}
	user, err := environment.AddUser(envtest.User{Name: operatorUser}, nil)
	if err != nil {
		return fmt.Errorf("add the operator's user: %w", err)
	}
	b.operator = user.Config()
	b.operator.QPS, config.QPS = -1, -1
	if b.api, err = client.NewWithWatch(config, client.Options{Scheme: controllers.ManagerOptions().Scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := b.grant(ctx, "config/rbac/role.yaml"); err != nil {
		return err
	}
	if b.node, err = node.New(ctx, b.api); err != nil {
		return err
	}
	b.node.Prepare = agentFor
	b.stops = append(b.stops, b.run(ctx, "the stand-in node", b.node.Run))
	return nil
}

func (b *bench) stop() (err error) {
	for _, stop := range slices.Backward(b.stops) {
		err = errors.Join(err, stop())
	}
	return err
}

// grant gives the operator's user the operator's role.
func (b *bench) grant(ctx context.Context, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the operator's role: %w", err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(raw, &role); err != nil {
		return fmt.Errorf("read the operator's role: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operatorUser}},
	}
	for _, object := range []client.Object{&role, binding} {
		if err := b.api.Create(ctx, object); err != nil {
			return fmt.Errorf("grant the operator its rights: %w", err)
		}
	}
	return nil
}

// operate runs the operator for one namespace until stop.
func (b *bench) operate(ctx context.Context, namespace string, scale int) (stop func() error, err error) {
	if err := b.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, fmt.Errorf("create the namespace %s: %w", namespace, err)
	}
	opts := controllers.ManagerOptions()
	opts.Metrics = metricsserver.Options{BindAddress: "0"}
	opts.Cache.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	opts.Controller.SkipNameValidation = new(true) // two operators in one process, one after the other
	mgr, err := ctrl.NewManager(b.operator, opts)
	if err != nil {
		return nil, fmt.Errorf("make the operator: %w", err)
	}
	reconciler := &controllers.AgentSessionReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("agentsession"),
		Prober:    prober.New(prober.Options{Period: lifecycle.Period(scale)}),
		TimeScale: scale, AllowLoopback: true,
	}
	if err := reconciler.SetupWithManager(mgr); err != nil { //nolint:contextcheck // the manager brings its own
		return nil, fmt.Errorf("set up the operator: %w", err)
	}
	return b.run(ctx, "the operator", mgr.Start), nil
}

// run runs a part until stop. One that ends before ends the bench.
func (b *bench) run(ctx context.Context, name string, part func(context.Context) error) (stop func() error) {
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		err := part(running)
		if running.Err() == nil {
			b.fail(errors.Join(errors.New(name+" ended too early"), err))
			err = nil
		}
		ended <- err
	}()
	return func() error {
		end()
		return <-ended
	}
}
