//go:debug x509usefallbackroots=1

// Command gateway serves AgentCore's data plane for the AgentRuntimes of a
// cluster, and its control plane where that is asked for.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/buildinfo"
	"github.com/agentsession/agentsession/internal/controlplane"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/roots"
	"github.com/agentsession/agentsession/internal/traces/otlp"
)

type options struct {
	address, metricsAddress, healthAddress string
	authentication                         string
	keyNamespace                           string
	allowLoopback                          bool
	conflict                               string
	requestTimeout, streamTimeout          time.Duration
	queueLength                            int
	queueTimeout                           time.Duration
	shutdownDelay                          time.Duration
	publicURL                              string
	dashboard                              string
	dashboardWrite                         bool
	controlPlane                           bool
	allowedImages                          string
	maxMemory                              string
	validateVersions                       bool
	watchNamespaces                        apiserver.Namespaces
	log                                    zap.Options
}

func main() {
	var o options
	flag.StringVar(&o.address, "bind-address", ":8080", "Address of AgentCore's data plane, over HTTP: TLS is for what stands before it.")
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443",
		"Address of the metrics, served over HTTPS to callers that may get the path /metrics. 0 turns them off.")
	flag.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz.")
	flag.StringVar(&o.authentication, "authentication", "sigv4,kubernetes",
		"How callers are known, a list with commas: sigv4 (AWS's Signature Version 4, against the access keys in the Secrets with the label "+
			authn.LabelAccessKey+"), kubernetes (bearer tokens of the cluster; who may create agentruntimes/invocations may call). Or none: everybody may call every runtime that has no authorizerConfiguration.")
	flag.StringVar(&o.keyNamespace, "access-key-namespace", os.Getenv("POD_NAMESPACE"), "Namespace of those Secrets. Default: $POD_NAMESPACE.")
	flag.BoolVar(&o.allowLoopback, "allow-loopback-agents", false, "Call agents and issuers on loopback addresses too: for tests on an API server without nodes.")
	flag.StringVar(&o.conflict, "conflict", string(gateway.ConflictFail),
		"What becomes of a call to a session that starts or stops for another one: fail (409 RetryableConflictException, as AgentCore does) or wait.")
	flag.DurationVar(&o.requestTimeout, "request-timeout", gateway.DefaultRequestTimeout, "How long an invocation may take; one that has to start its session too.")
	flag.DurationVar(&o.streamTimeout, "stream-timeout", gateway.DefaultStreamTimeout, "How long a stream (an answer of no known length) or a WebSocket may last.")
	flag.IntVar(&o.queueLength, "queue-length", gateway.DefaultQueueLength,
		"How many calls for any free session (header X-AgentSession-Routing: any) may wait for one endpoint. One more is answered 429.")
	flag.DurationVar(&o.queueTimeout, "queue-timeout", gateway.DefaultQueueTimeout,
		"How long they wait, until they are answered 429; and calls for which there is no room, as too many large payloads are on their way.")
	flag.DurationVar(&o.shutdownDelay, "shutdown-delay", 5*time.Second,
		"How long the gateway goes on taking calls after it was told to end (/readyz says no at once): those who send them learn of it late.")
	flag.StringVar(&o.publicURL, "public-url", "",
		"Where callers reach the gateway, as https://agents.example: what it tells them of itself, in the cards of A2A agents and to those who need a token. "+
			"Default: the Host of each request, and https if it came with X-Forwarded-Proto: https.")
	flag.StringVar(&o.dashboard, "dashboard", "",
		"Address of the page that shows sessions and runtimes, as :8082, over HTTP: TLS is for what stands before it. "+
			"Who opens it signs in with a token of the cluster, and sees what he may list with that. Default: none is served.")
	flag.BoolVar(&o.dashboardWrite, "dashboard-write", false, "Let the page stop, wake and invoke sessions, each caller as far as he may himself.")
	flag.BoolVar(&o.controlPlane, "control-plane", false,
		"Serve AgentCore's control plane too: runtimes are made, shown, changed and deleted by callers with the right to do so. In namespaces where the gateway is bound to the ClusterRole agentsession-gateway-control.")
	flag.StringVar(&o.allowedImages, "allowed-images", "",
		"Prefixes of the images that runtimes may be made of by the control plane, a list with commas, as registry.example/agents/; * allows all. Default: none, so that no runtime is made.")
	flag.StringVar(&o.maxMemory, "max-memory", "",
		"The most that the control plane's callers may ask for as minimumMemoryInMiB, which pods request: a quantity, as 8Gi. Default: what the namespace allows.")
	flag.BoolVar(&o.validateVersions, "validate-versions", true,
		"Have each version that the control plane's callers make be tried before it is READY, as on AgentCore: one session of it is started, and taken away when its agent was healthy.")
	flag.Var(&o.watchNamespaces, "watch-namespaces",
		"Namespaces whose runtimes are served, a list with commas. It needs a Role in each of them, and knows no runtime of others. Default: all.")
	said := flag.Bool("version", false, "Print the version, and end.")
	o.log.BindFlags(flag.CommandLine)
	flag.Parse()
	if *said {
		fmt.Fprintln(os.Stdout, "agentsession-gateway "+buildinfo.Version()) //nolint:errcheck // nobody could be told
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.log)))
	ctrl.Log.Info("The gateway starts", "version", buildinfo.Version())
	if err := run(o); err != nil {
		ctrl.Log.Error(err, "The gateway ends")
		os.Exit(1)
	}
}

func (o *options) validate() error {
	for way := range strings.SplitSeq(o.authentication, ",") {
		switch way {
		case "kubernetes":
		case "none":
			if o.authentication != "none" {
				return fmt.Errorf("--authentication is %q: none goes with nothing else", o.authentication)
			}
		case "sigv4":
			if o.keyNamespace == "" {
				return errors.New("--authentication=sigv4 needs --access-key-namespace, or $POD_NAMESPACE")
			}
		default:
			return fmt.Errorf("--authentication is %q: it must be sigv4, kubernetes, both with a comma, or none", o.authentication)
		}
	}
	if c := gateway.Conflict(o.conflict); c != gateway.ConflictFail && c != gateway.ConflictWait {
		return fmt.Errorf("--conflict is %q: it must be fail or wait", o.conflict)
	}
	if err := lifecycle.CheckGatewayURL(o.publicURL); o.publicURL != "" && err != nil {
		return fmt.Errorf("--public-url is %q: %w", o.publicURL, err)
	}
	return errors.Join(o.validateDashboard(), o.validateControl(), o.validateLimits())
}

func (o *options) validateDashboard() error {
	if o.dashboard == "" {
		if o.dashboardWrite {
			return errors.New("--dashboard-write is given without --dashboard: there is no page that could write")
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(o.dashboard); err != nil {
		return fmt.Errorf("--dashboard is %q: it must be HOST:PORT or :PORT, as :8082", o.dashboard)
	}
	if !slices.Contains(strings.Split(o.authentication, ","), "kubernetes") {
		return fmt.Errorf("--dashboard needs kubernetes in --authentication, which is %q: who opens the page signs in with a token of the cluster", o.authentication)
	}
	return nil
}

func (o *options) validateControl() error {
	if o.controlPlane && o.authentication == "none" {
		return errors.New("--control-plane does not go with --authentication=none: whoever reaches the gateway could run any image that --allowed-images names")
	}
	for flag, given := range map[string]string{"allowed-images": o.allowedImages, "max-memory": o.maxMemory} {
		if given != "" && !o.controlPlane {
			return fmt.Errorf("--%s is %q: it goes with --control-plane", flag, given)
		}
	}
	if !o.validateVersions && !o.controlPlane {
		return errors.New("--validate-versions=false goes with --control-plane: versions of kubectl's are tried where spec.validation of the AgentRuntime says so")
	}
	_, err := o.maxMemoryMiB()
	return err
}

// maxMemoryMiB is 0 if there is no bound.
func (o *options) maxMemoryMiB() (int64, error) {
	if o.maxMemory == "" {
		return 0, nil
	}
	most, err := resource.ParseQuantity(o.maxMemory)
	if err != nil || most.Value() < 1<<20 {
		return 0, fmt.Errorf("--max-memory is %q: it must be a quantity of 1Mi or more, as 8Gi", o.maxMemory)
	}
	return most.Value() >> 20, nil
}

func (o *options) validateLimits() error {
	if o.requestTimeout <= 0 || o.streamTimeout <= 0 {
		return fmt.Errorf("--request-timeout is %s and --stream-timeout %s: both must be longer than 0", o.requestTimeout, o.streamTimeout)
	}
	if o.queueLength < 1 || o.queueTimeout <= 0 {
		return fmt.Errorf("--queue-length is %d and --queue-timeout %s: at least 1, and longer than 0", o.queueLength, o.queueTimeout)
	}
	if o.shutdownDelay < 0 {
		return fmt.Errorf("--shutdown-delay is %s: it must not be shorter than 0", o.shutdownDelay)
	}
	return nil
}

func run(o options) error {
	if err := errors.Join(o.validate(), roots.Trust()); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	clusterTime := apiserver.NewClock(clock.RealClock{}, ctrl.Log)
	config, access := o.watchNamespaces.Follow(clusterTime.Listen(apiserver.Watched(config, ctrl.Log)), ctrl.Log)
	metrics.Registry.MustRegister(append(clusterTime.Series(), access.Series()...)...)
	config.QPS = -1 // the API server's priority and fairness decides
	opts, err := managerOptions(o)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, opts)
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	spans, err := otlp.Provider(context.Background(), "agentsession-gateway")
	if err != nil {
		return err
	}
	if spans != nil {
		defer otlp.Flush(spans)
	}
	tokens, err := authn.KubernetesTokens(mgr.GetConfig())
	if err != nil {
		return err
	}
	g, err := newGateway(mgr, o, clusterTime, spans, tokens)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.address)
	if err != nil {
		return fmt.Errorf("listen on --bind-address: %w", err)
	}
	if err := errors.Join(
		mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return g.Serve(ctx, listener) })),
		addDashboard(mgr, o, clusterTime, tokens, listener.Addr()),
		mgr.AddHealthzCheck("healthz", healthz.Ping), mgr.AddReadyzCheck("readyz", g.Ready), mgr.AddReadyzCheck("namespaces", access.Check),
	); err != nil {
		return fmt.Errorf("add what the manager runs: %w", err)
	}
	return apiserver.Start(ctrl.SetupSignalHandler(), mgr)
}

func managerOptions(o options) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return ctrl.Options{}, fmt.Errorf("make the scheme: %w", err)
		}
	}
	key, err := labels.NewRequirement(authn.LabelAccessKey, selection.Exists, nil)
	if err != nil {
		return ctrl.Options{}, fmt.Errorf("select the access keys: %w", err)
	}
	forever := time.Duration(-1) // what is in flight ends by its own limits
	caches := cache.Options{
		DefaultTransform:            apiserver.Slim(nil),
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{o.keyNamespace: {LabelSelector: labels.NewSelector().Add(*key)}}},
		},
	}
	o.watchNamespaces.Restrict(&caches)
	return ctrl.Options{
		Scheme:                  scheme,
		MapperProvider:          apiserver.Kinds,
		Cache:                   caches,
		HealthProbeBindAddress:  o.healthAddress,
		GracefulShutdownTimeout: &forever,
		Metrics: metricsserver.Options{
			BindAddress:    o.metricsAddress,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
			TLSOpts:        []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }}, // no HTTP/2: rapid reset
		},
	}, nil
}

// authenticator knows callers in the ways that --authentication names.
func authenticator(mgr ctrl.Manager, o options, tokens authn.Authenticator) (authn.Authenticator, error) {
	schemes := map[string]authn.Authenticator{}
	for way := range strings.SplitSeq(o.authentication, ",") {
		switch way {
		case "none":
			ctrl.Log.Info("CALLERS ARE NOT ASKED WHO THEY ARE: everybody who reaches this may call every runtime (--authentication=none)")
			return nil, nil
		case "sigv4":
			keys, err := authn.SigV4(mgr.GetCache())
			if err != nil {
				return nil, err
			}
			schemes[authn.SchemeSigV4] = keys
		case "kubernetes":
			schemes[authn.SchemeBearer] = tokens
		}
	}
	return authn.ByScheme(schemes), nil
}

func newGateway(mgr ctrl.Manager, o options, clusterTime *apiserver.Clock, spans *trace.TracerProvider, tokens authn.Authenticator) (*gateway.Gateway, error) {
	opts := gateway.Options{
		Client: o.watchNamespaces.Client(mgr.GetClient()), Live: o.watchNamespaces.Reader(mgr.GetAPIReader()), Clock: clusterTime, Cluster: mgr.GetConfig(), AllowLoopback: o.allowLoopback, Conflict: gateway.Conflict(o.conflict),
		RequestTimeout: o.requestTimeout, StreamTimeout: o.streamTimeout, QueueLength: o.queueLength, QueueTimeout: o.queueTimeout,
		ShutdownDelay: o.shutdownDelay, PublicURL: o.publicURL, Log: ctrl.Log.WithName("gateway"),
	}
	if spans != nil {
		opts.Traces = spans
	}
	if o.controlPlane {
		most, err := o.maxMemoryMiB()
		if err != nil {
			return nil, err
		}
		opts.Control = controlplane.New(controlplane.Options{
			Client: opts.Client, Live: opts.Live, Namespaces: o.watchNamespaces, AllowedImages: strings.FieldsFunc(o.allowedImages, func(c rune) bool { return c == ',' || c == ' ' }),
			MaxMemoryMiB: most, Validate: o.validateVersions,
		})
	}
	var err error
	if opts.Authenticate, err = authenticator(mgr, o, tokens); err != nil {
		return nil, err
	}
	g := gateway.New(opts)
	if err := g.Watch(mgr.GetCache()); err != nil {
		return nil, err
	}
	return g, nil
}
