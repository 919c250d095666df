//go:debug x509usefallbackroots=1

// Command operator runs the controller of AgentSessions.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/buildinfo"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
	"github.com/agentsession/agentsession/internal/roots"
	"github.com/agentsession/agentsession/internal/traces/otlp"
)

// maxTimeScale leaves the shortest timeout, 60 s, three ping periods.
const maxTimeScale = 200

// gcPercent is the target of the garbage collector, unless $GOGC says another:
// most of the heap are sessions and pods in the cache, which live long and of
// which there is little garbage, so that half of Go's default costs little time.
const gcPercent = 50

// probe says who asks the agents.
type probe string

const (
	probeCentral probe = "central" // this operator
	probeNode    probe = "node"    // this process asks those on its own node, and does nothing else
	probeNone    probe = "none"    // processes on the nodes; this operator does the rest
)

// regions is what names of AWS's regions look like.
var regions = regexp.MustCompile(`^[a-z]{2}(-[a-z]{2,16}){1,3}-[1-9][0-9]?$`)

type options struct {
	metricsAddress, healthAddress             string
	leaderElect                               bool
	leaderNamespace                           string
	podNamespace, podName, podUID             string // empty: it runs in none
	isolateAgents                             bool
	watchNamespaces                           apiserver.Namespaces
	selector                                  apiserver.Selector
	leaseDuration, renewDeadline, retryPeriod time.Duration
	probe                                     probe
	nodeName                                  string
	timeScale                                 int
	allowLoopback                             bool
	region                                    string
	gatewayURL                                string
	log                                       zap.Options
}

func main() {
	o := options{podNamespace: os.Getenv("POD_NAMESPACE"), podName: os.Getenv("POD_NAME"), podUID: os.Getenv("POD_UID")}
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443",
		"Address of the metrics, served over HTTPS to callers that may get the path /metrics. 0 turns them off.")
	flag.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz.")
	flag.BoolVar(&o.leaderElect, "leader-elect", false, "Work only while holding the lease: for more than one replica, and for restarts that keep the idle clocks.")
	flag.StringVar(&o.leaderNamespace, "leader-election-namespace", o.podNamespace,
		"Namespace of the lease. Default: $POD_NAMESPACE.")
	flag.DurationVar(&o.leaseDuration, "leader-election-lease-duration", 15*time.Second, "How long others wait for a leader that went silent with its node. One that has ended, as its pod says ($POD_NAME and $POD_UID), is not waited for.")
	flag.DurationVar(&o.renewDeadline, "leader-election-renew-deadline", 10*time.Second, "How long a leader tries to renew before it gives up.")
	flag.DurationVar(&o.retryPeriod, "leader-election-retry-period", time.Second, "Time between two renewals by the leader, and between two tries of others (which take up to 2.2 times as long).")
	flag.StringVar((*string)(&o.probe), "probe", string(probeCentral),
		"Who asks the agents: central (this operator), node (this process asks those on its own node and reports what they say, as a DaemonSet), "+
			"or none (processes with --probe=node do; this operator does the rest).")
	flag.StringVar(&o.nodeName, "node-name", os.Getenv("NODE_NAME"), "The node of --probe=node. Default: $NODE_NAME.")
	flag.IntVar(&o.timeScale, "time-scale", 1,
		fmt.Sprintf("Divide every duration of the rules by this, 1 to %d: to rehearse hours in seconds. Not for production.", maxTimeScale))
	flag.BoolVar(&o.allowLoopback, "allow-loopback-agents", false,
		"Ask agents on loopback addresses too: for tests on an API server without nodes.")
	flag.StringVar(&o.region, "region", controllers.DefaultRegion,
		"The region in the ARNs of runtimes, by the pattern of AWS's. Clients may sign for any. A change changes all ARNs, and callers must be told.")
	flag.StringVar(&o.gatewayURL, "gateway-url", "",
		"Where callers reach the gateway, as https://agents.example: agents that speak A2A are told their own URL there (AGENTCORE_RUNTIME_URL). Default: they are not told.")
	flag.BoolVar(&o.isolateAgents, "isolate-agents", true,
		"Make a NetworkPolicy in each namespace with sessions, by which agents take connections from the operator, the processes of --probe=node and the gateway only. "+
			"It needs $POD_NAMESPACE, where all of these are, and a network that enforces policies. Policies that stand already are left when this is false.")
	flag.Var(&o.watchNamespaces, "watch-namespaces",
		"Namespaces whose sessions and runtimes this operator looks after, a list with commas. It needs a Role in each of them, and sees nothing of others. Default: all.")
	flag.Var(&o.selector, "watch-label-selector",
		"Label selector of the sessions and runtimes that this operator looks after, as shard=a or shard!=a: several operators share a cluster. "+
			"It needs --leader-elect; each selector has a lease of its own. No object may match two, and one that matches none is nobody's. Default: all.")
	said := flag.Bool("version", false, "Print the version, and end.")
	o.log.BindFlags(flag.CommandLine)
	flag.Parse()
	if *said {
		fmt.Fprintln(os.Stdout, "agentsession-operator "+buildinfo.Version()) //nolint:errcheck // nobody could be told
		return
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.log)))
	ctrl.Log.Info("The operator starts", "version", buildinfo.Version())
	if err := run(o); err != nil {
		ctrl.Log.Error(err, "The operator ends")
		os.Exit(1)
	}
}

func (o *options) validate() error {
	if o.timeScale < 1 || o.timeScale > maxTimeScale {
		return fmt.Errorf("--time-scale is %d: it must be from 1 to %d", o.timeScale, maxTimeScale)
	}
	if !regions.MatchString(o.region) {
		return fmt.Errorf("--region is %q: it must be as AWS's are, for example %s", o.region, controllers.DefaultRegion)
	}
	if err := lifecycle.CheckGatewayURL(o.gatewayURL); o.gatewayURL != "" && err != nil {
		return fmt.Errorf("--gateway-url is %q: %w", o.gatewayURL, err)
	}
	switch o.probe {
	case probeCentral, probeNone:
	case probeNode:
		if o.nodeName == "" {
			return errors.New("--probe=node needs --node-name, or $NODE_NAME")
		}
		if o.leaderElect {
			return errors.New("--leader-elect is not for --probe=node: each node has one, and all of them work")
		}
	default:
		return fmt.Errorf("--probe is %q: it must be central, node or none", o.probe)
	}
	if o.leaderElect && o.leaderNamespace == "" {
		return errors.New("--leader-elect needs --leader-election-namespace, or $POD_NAMESPACE")
	}
	return o.validateSelector()
}

func (o *options) validateSelector() error {
	switch {
	case o.selector.Selector == nil:
	case o.probe == probeNode:
		return fmt.Errorf("--watch-label-selector is %q: it is not for --probe=node, whose processes ask the agents of all operators' sessions", o.selector.String())
	case !o.leaderElect:
		return fmt.Errorf("--watch-label-selector is %q: it needs --leader-elect, since operators tell by their leases whether another looks after a session", o.selector.String())
	}
	return nil
}

func run(o options) error {
	if err := errors.Join(o.validate(), roots.Trust()); err != nil {
		return err
	}
	if o.timeScale > 1 {
		ctrl.Log.Info("TIME IS SCALED: every duration of the rules is divided. This is for rehearsals, not for production",
			"timeScale", o.timeScale, "pingPeriod", lifecycle.Period(o.timeScale))
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	clusterTime := apiserver.NewClock(clock.RealClock{}, ctrl.Log)
	config = clusterTime.Listen(apiserver.Watched(config, ctrl.Log))
	config.QPS = -1 // the API server's priority and fairness decides
	config, access := o.watchNamespaces.Follow(config, ctrl.Log)
	mgr, election, err := newManager(config, o)
	if err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("namespaces", access.Check); err != nil {
		return fmt.Errorf("add the check of the namespaces: %w", err)
	}
	spans, err := otlp.Provider(context.Background(), "agentsession-operator")
	if err != nil {
		return err
	}
	if spans != nil {
		defer otlp.Flush(spans)
	}
	metrics.Registry.MustRegister(append(clusterTime.Series(), access.Series()...)...)
	reconciler := newReconciler(mgr, o, clusterTime, spans)
	if err := followLeaders(reconciler, election, config, o); err != nil {
		return err
	}
	if err := reconciler.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	if o.probe != probeNode { // which knows only its own sessions
		if err := addOthers(mgr, o, clusterTime); err != nil {
			return err
		}
	}
	return apiserver.Start(ctrl.SetupSignalHandler(), mgr)
}

// newReconciler makes the controller of sessions; spans is nil if there are none.
func newReconciler(mgr ctrl.Manager, o options, clusterTime *apiserver.Clock, spans *trace.TracerProvider) *controllers.AgentSessionReconciler {
	reconciler := &controllers.AgentSessionReconciler{
		Client:        mgr.GetClient(),
		Live:          mgr.GetAPIReader(),
		Recorder:      mgr.GetEventRecorder("agentsession"),
		TimeScale:     o.timeScale,
		AllowLoopback: o.allowLoopback,
		GatewayURL:    o.gatewayURL,
		Selector:      o.selector.Selector,
		Clock:         clusterTime,
	}
	if spans != nil {
		reconciler.Traces = spans
	}
	if o.probe == probeNode {
		reconciler.Node = o.nodeName
	}
	if o.probe != probeNone {
		reconciler.Prober = prober.New(prober.Options{Period: lifecycle.Period(o.timeScale), Observe: controllers.ObservePing})
		metrics.Registry.MustRegister(controllers.NewOutageGauge(reconciler.Prober))
	}
	return reconciler
}

// followLeaders tells the controller of those who led before, and of those who lead with other
// selectors; election is nil if there is none.
func followLeaders(reconciler *controllers.AgentSessionReconciler, election *lock, config *rest.Config, o options) error {
	if election == nil {
		return nil
	}
	others, err := newLeaders(config, o)
	if err != nil {
		return err
	}
	reconciler.LastLeader, reconciler.Leader = election.predecessorSeen, others.leader
	return nil
}

// addOthers adds what an operator does that is not for one node only.
func addOthers(mgr ctrl.Manager, o options, clusterTime *apiserver.Clock) error {
	if err := (&controllers.AgentRuntimeReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Region: o.region, Selector: o.selector.Selector, AllowLoopback: o.allowLoopback}).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the controller of runtimes: %w", err)
	}
	switch {
	case o.isolateAgents && o.podNamespace == "":
		ctrl.Log.Info("No network policies are made: $POD_NAMESPACE does not say where operator and gateway are")
	case o.isolateAgents:
		if err := (&controllers.NetworkPolicyReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("agentsession"), Namespace: o.podNamespace}).SetupWithManager(mgr); err != nil {
			return fmt.Errorf("set up the controller of network policies: %w", err)
		}
	}
	// Of several operators the one that leads tells of the sessions.
	if err := mgr.Add(manager.RunnableFunc(func(context.Context) error {
		return metrics.Registry.Register(controllers.SessionCollector{Reader: mgr.GetCache(), Now: clusterTime.Now})
	})); err != nil {
		return fmt.Errorf("add the sessions' metrics: %w", err)
	}
	return nil
}

func newManager(config *rest.Config, o options) (ctrl.Manager, *lock, error) {
	opts := controllers.SelectedManagerOptions(o.selector.Selector)
	if o.probe == probeNode {
		opts = controllers.NodeManagerOptions(o.nodeName)
	}
	o.watchNamespaces.Restrict(&opts.Cache)
	opts.HealthProbeBindAddress = o.healthAddress
	opts.Metrics = metricsserver.Options{
		BindAddress:    o.metricsAddress,
		SecureServing:  true,
		FilterProvider: filters.WithAuthenticationAndAuthorization,
		TLSOpts:        []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }}, // no HTTP/2: rapid reset
	}
	var election *lock
	if o.leaderElect {
		var err error
		if election, err = newLock(config, o); err != nil {
			return nil, nil, err
		}
		opts.LeaderElection = true
		opts.LeaderElectionID = apiserver.LeaseName(o.selector.String()) // the label name of leader_election_master_status
		opts.LeaderElectionResourceLockInterface = election
		opts.LeaderElectionReleaseOnCancel = true
		opts.LeaseDuration, opts.RenewDeadline, opts.RetryPeriod = &o.leaseDuration, &o.renewDeadline, &o.retryPeriod
	}
	mgr, err := ctrl.NewManager(config, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("make the manager: %w", err)
	}
	err = errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not there yet: does the API server answer?")
		}
		return nil
	}))
	if err != nil {
		return nil, nil, fmt.Errorf("add the health checks: %w", err)
	}
	return mgr, election, nil
}
