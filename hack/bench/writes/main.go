// Command writes counts what the operator writes to the API server: for whole
// lives of sessions (create, start, idle, stop), and for sessions in which
// nothing happens but a ping every 2 seconds, whatever the agents answer as long
// as they keep to it.
//
// API server and etcd are real (KUBEBUILDER_ASSETS), the operator is the real
// one with the rights of config/rbac, and the node is the stand-in of
// agentsessiontest/node. Every request is counted that the API server's audit log names as
// the operator's, failed ones too. The operator's lease is not counted, since
// it runs here without: it would be one write every two seconds for the whole
// operator, whatever the sessions.
//
// The last line is JSON:
//
//	{"writes_per_life": 6, "events_per_life": 4, "idle_writes_per_session_minute": 0}
//
// writes_per_life leaves out Events; idle_writes_per_session_minute does not.
// The program exits with 1 if a life takes more than 6 writes or more than one
// Event for each change of state (Starting, Idle, Stopping, Stopped), or if a
// settled session costs a write.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/hack/bench/plane"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

const (
	lives     = 20
	lifeScale = 20 // 60 s of idleness are 3
	settled   = 100
	quiet     = time.Minute

	maxWrites, maxEvents = 6, 4
)

// bench is a control plane on which operators run, one after the other.
type bench struct {
	*plane.Plane
	broken []string // bounds, each with what broke it
}

// result is the last line. What follows the first three fields explains them.
type result struct {
	WritesPerLife   float64 `json:"writes_per_life"`
	EventsPerLife   float64 `json:"events_per_life"`
	IdleWrites      float64 `json:"idle_writes_per_session_minute"`
	Lives           int     `json:"lives"`
	MaxWrites       int     `json:"max_writes_of_a_life"`
	MaxEvents       int     `json:"max_events_of_a_life"`
	SettledSessions int     `json:"settled_sessions"`
	PingsPerMinute  float64 `json:"pings_per_settled_session_minute"`
	FewestPings     int     `json:"fewest_pings_of_a_settled_session"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, broken, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "writes:", err)
		os.Exit(1)
	}
	for _, sentence := range broken {
		fmt.Fprintln(os.Stderr, "writes:", sentence)
	}
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers
	}
	fmt.Println(string(line))
	if len(broken) > 0 {
		os.Exit(1)
	}
}

// run measures, and says what bounds are broken.
func run(ctx context.Context) (r result, broken []string, err error) {
	ctrl.SetLogger(logr.Discard())
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	dir, err := os.MkdirTemp("", "agentsession-writes-")
	if err != nil {
		return r, nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)                          //nolint:errcheck // in the temporary directory
	if err := os.Setenv("TMPDIR", dir); err != nil { // envtest leaves files behind when it fails
		return r, nil, fmt.Errorf("make a place for the API server: %w", err)
	}
	progress("Starting an API server and etcd")
	b := &bench{}
	b.Plane, err = plane.Start(ctx, dir, func(n *node.Node) { n.Prepare = agentFor }, fail)
	defer func() {
		if stopErr := b.Stop(); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stop what was started: %w", stopErr))
		}
	}()
	if err == nil {
		err = b.play(ctx, &r)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // what was interrupted does not matter
	}
	return r, b.broken, err
}

func (b *bench) play(ctx context.Context, r *result) error {
	progress("Phase 1: %d lives, time divided by %d", lives, lifeScale)
	if err := b.playLives(ctx, r); err != nil {
		return err
	}
	progress("Phase 2: %d settled sessions, asked every 2 s, for %s", settled, quiet)
	return b.watchSettled(ctx, r)
}

// operate runs the operator for one namespace until stop.
func (b *bench) operate(ctx context.Context, namespace string, scale int) (stop func() error, err error) {
	if err := b.API.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, fmt.Errorf("create the namespace %s: %w", namespace, err)
	}
	opts := controllers.ManagerOptions()
	opts.Metrics = metricsserver.Options{BindAddress: "0"}
	opts.Cache.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	opts.Controller.SkipNameValidation = new(true) // two operators in one process, one after the other
	mgr, err := ctrl.NewManager(b.Operator, opts)
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
	return b.Run(ctx, "the operator", mgr.Start), nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
