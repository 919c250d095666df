// Package plane is a control plane to measure an operator on: a real API server
// and etcd (KUBEBUILDER_ASSETS) with an audit log, a user with the operator's
// rights and no more, and the stand-in node of agentsessiontest/node.
package plane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/controllers"
)

// operatorUser is whom the audit log names. It has the operator's own rights,
// so that a request that they do not cover is counted, and fails.
const operatorUser = "operator-under-test"

// Plane is a control plane with a node that runs agents, and no operator yet.
type Plane struct {
	// API may do everything.
	API client.WithWatch
	// Operator is the operator's user, and Kubeconfig a file that says the same.
	Operator   *rest.Config
	Kubeconfig string
	// Node runs the pods of sessions.
	Node *node.Node
	// Audit knows what the operator wrote.
	Audit Audit

	metrics rest.Interface // the API server's
	fail    context.CancelCauseFunc
	stops   []func() error // what was started, in that order
}

// Start starts it, with its files in dir. It may fail half way: Stop is to be
// called in any case. prepare has the node choose the pods' agents, and places;
// fail is called if a part ends that should not.
func Start(ctx context.Context, dir string, prepare func(*node.Node), fail context.CancelCauseFunc) (*Plane, error) {
	policy := filepath.Join(dir, "policy.yaml")
	p := &Plane{fail: fail, Audit: Audit{filepath.Join(dir, "audit.log")}, Kubeconfig: filepath.Join(dir, "kubeconfig")}
	environment := &envtest.Environment{
		CRDDirectoryPaths: []string{"config/crd/bases"}, ErrorIfCRDPathMissing: true,
		UseExistingCluster: new(false), // whatever the environment says
	}
	p.stops = append(p.stops, environment.Stop)
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return p, fmt.Errorf("write the audit policy: %w", err)
	}
	environment.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policy).Set("audit-log-path", p.Audit.file)
	config, err := environment.Start()
	if err != nil {
		return p, fmt.Errorf("start the API server (run this at the top of the repository, with KUBEBUILDER_ASSETS set): %w", err)
	}
	user, err := environment.AddUser(envtest.User{Name: operatorUser}, nil)
	if err != nil {
		return p, fmt.Errorf("add the operator's user: %w", err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return p, fmt.Errorf("make the operator's kubeconfig: %w", err)
	}
	if err := os.WriteFile(p.Kubeconfig, kubeconfig, 0o600); err != nil {
		return p, fmt.Errorf("write the operator's kubeconfig: %w", err)
	}
	p.Operator = user.Config()
	p.Operator.QPS, config.QPS = -1, -1
	if p.API, err = client.NewWithWatch(config, client.Options{Scheme: controllers.ManagerOptions().Scheme}); err != nil {
		return p, fmt.Errorf("make a client: %w", err)
	}
	all, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return p, fmt.Errorf("make a client: %w", err)
	}
	p.metrics = all.RESTClient()
	if err := p.grant(ctx, "config/rbac/role.yaml"); err != nil {
		return p, err
	}
	if p.Node, err = node.New(ctx, p.API); err != nil {
		return p, err
	}
	prepare(p.Node)
	p.stops = append(p.stops, p.Run(ctx, "the stand-in node", p.Node.Run))
	return p, nil
}

// Stop stops what was started, the last first.
func (p *Plane) Stop() (err error) {
	for _, stop := range slices.Backward(p.stops) {
		err = errors.Join(err, stop())
	}
	return err
}

// grant gives the operator's user the operator's role.
func (p *Plane) grant(ctx context.Context, file string) error {
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
		if err := p.API.Create(ctx, object); err != nil {
			return fmt.Errorf("grant the operator its rights: %w", err)
		}
	}
	return nil
}

// Run runs a part until stop. One that ends before ends the bench.
func (p *Plane) Run(ctx context.Context, name string, part func(context.Context) error) (stop func() error) {
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		err := part(running)
		if running.Err() == nil {
			p.fail(errors.Join(errors.New(name+" ended too early"), err))
			err = nil
		}
		ended <- err
	}()
	return func() error {
		end()
		return <-ended
	}
}
