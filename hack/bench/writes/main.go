// Command writes counts what the operator writes to the API server: for whole
// lives of sessions (create, start, idle, stop), and for sessions in which
// nothing happens but a ping every 2 seconds.
//
// API server and etcd are real (KUBEBUILDER_ASSETS), the operator is the real
// one, and the node is the stand-in of test/node. Every request is counted that
// the API server's audit log names as the operator's, failed ones too. The
// operator's lease is not counted, since it runs here without: it would be one
// write every two seconds for the whole operator, whatever the sessions.
//
// The last line is JSON:
//
//	{"writes_per_life": 6, "events_per_life": 4, "idle_writes_per_session_minute": 0}
//
// writes_per_life leaves out Events. The program exits with 1 if a life takes
// more than 6 writes or more than one Event for each change of state (Starting,
// Idle, Stopping, Stopped), or if a settled session costs a write.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
	"github.com/agentsession/agentsession/test/node"
)

const (
	lives     = 20
	lifeScale = 20 // 60 s of idleness are 3
	settled   = 100
	quiet     = time.Minute

	maxWrites, maxEvents = 6, 4
)

// result is the last line. What follows the first three fields explains them.
type result struct {
	WritesPerLife  float64 `json:"writes_per_life"`
	EventsPerLife  float64 `json:"events_per_life"`
	IdleWrites     float64 `json:"idle_writes_per_session_minute"`
	Lives          int     `json:"lives"`
	MaxWrites      int     `json:"max_writes_of_a_life"`
	MaxEvents      int     `json:"max_events_of_a_life"`
	SettledSession int     `json:"settled_sessions"`
	PingsPerMinute float64 `json:"pings_per_settled_session_minute"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "writes:", err)
		os.Exit(1)
	}
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers
	}
	fmt.Println(string(line))
}

func run(ctx context.Context) (r result, err error) {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "agentsession-writes-")
	if err != nil {
		return r, fmt.Errorf("make a place for the audit log: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the temporary directory
	b := &bench{audit: audit{filepath.Join(dir, "audit.log")}}
	progress("Starting an API server and etcd")
	stop, err := b.start(ctx, filepath.Join(dir, "policy.yaml"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()

	progress("Phase 1: %d lives, time divided by %d", lives, lifeScale)
	if err := b.playLives(ctx, &r); err != nil {
		return r, err
	}
	progress("Phase 2: %d settled sessions, asked every 2 s, for %s", settled, quiet)
	return r, b.watchSettled(ctx, &r)
}

// bench is a control plane with a node that runs agents, and no operator yet.
type bench struct {
	audit    audit
	api      client.WithWatch
	operator *rest.Config // of a user of its own, whom the audit log names
	node     *node.Node
}

const operatorUser = "operator-under-test"

func (b *bench) start(ctx context.Context, policy string) (stop func() error, err error) {
	rules := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n" +
		"- {level: Metadata, users: [" + operatorUser + "], verbs: [create, update, patch, delete, deletecollection]}\n- {level: None}\n"
	if err := os.WriteFile(policy, []byte(rules), 0o600); err != nil {
		return nil, fmt.Errorf("write the audit policy: %w", err)
	}
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"config/crd/bases"}, ErrorIfCRDPathMissing: true}
	environment.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policy).Set("audit-log-path", b.audit.file)
	config, err := environment.Start()
	if err != nil {
		return nil, fmt.Errorf("start the API server (run this at the top of the repository, with KUBEBUILDER_ASSETS set): %w", err)
	}
	user, err := environment.AddUser(envtest.User{Name: operatorUser, Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("add the operator's user: %w", err), environment.Stop())
	}
	config.QPS = -1
	b.operator = user.Config()
	b.operator.QPS = -1
	b.api, err = client.NewWithWatch(config, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	if err == nil {
		b.node, err = node.New(ctx, b.api)
	}
	if err != nil {
		return nil, errors.Join(err, environment.Stop())
	}
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.node.Run(running) }()
	return func() error {
		end()
		return errors.Join(<-ended, environment.Stop())
	}, nil
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
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(running) }()
	return func() error {
		end()
		return <-ended
	}, nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
