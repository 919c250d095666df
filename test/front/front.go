// Package front is what calls are played on: a real API server, the operator, the
// stand-in node with agents that do as they are told, and as many gateways as a
// test wants, each with a cache of its own.
package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/echo"
)

const (
	// Scale makes 60 s of the rules 3 s of the test, and a period 100 ms.
	Scale = 20
	// Idle is the shortest idle timeout, on the test's clock.
	Idle = 60 * time.Second / Scale
	// patience is how long the API server may take to start, to serve the CRDs and to end.
	patience = 2 * time.Minute
)

// Front is a control plane with an operator and agents.
type Front struct {
	// API may do everything.
	API client.WithWatch
	// Port is that of all agents.
	Port int32
	// Gone gets the session id of each invocation whose caller had gone.
	Gone <-chan string

	environment *envtest.Environment

	config *rest.Config
	log    logr.Logger
	stops  []func() error
	caches []client.Reader // of the gateways
}

// Start starts it (KUBEBUILDER_ASSETS must be set), with the CRDs in a directory.
// It may fail half way: Stop is to be called in any case.
func Start(crds string, log logr.Logger) (*Front, error) {
	gone := make(chan string, 1000)
	environment := &envtest.Environment{
		CRDDirectoryPaths: []string{crds}, ErrorIfCRDPathMissing: true,
		UseExistingCluster: new(false), // whatever the environment says
		// A busy machine takes its time.
		ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
		CRDInstallOptions: envtest.CRDInstallOptions{MaxTime: patience},
	}
	f := &Front{Gone: gone, log: log, environment: environment, stops: []func() error{environment.Stop}}
	var err error
	if f.config, err = environment.Start(); err != nil {
		return f, fmt.Errorf("start the API server: %w", err)
	}
	f.config.QPS = -1
	platform, err := agentsessiontest.Start(f.config, agentsessiontest.Options{TimeScale: Scale, Log: log, Agent: func(pod *corev1.Pod) *node.Agent {
		agent := node.NewAgent()
		agent.Serve(&echo.Agent{Pod: pod.Name, Gone: gone, Hang: agent.Hang, Resume: agent.Resume, Exit: func() { f.exit(pod) }})
		return agent
	}})
	if err != nil {
		return f, err
	}
	f.API, f.Port, f.stops = platform.API, platform.Port, append(f.stops, platform.Stop)
	return f, nil
}

// exit is what a node reports of a pod whose agent has exited.
func (f *Front) exit(pod *corev1.Pod) {
	ended := pod.DeepCopy()
	ended.Status.Phase = corev1.PodFailed
	if err := f.API.Status().Patch(context.Background(), ended, client.MergeFrom(pod)); err != nil {
		f.log.Error(err, "Could not report the end of an agent", "pod", pod.Name)
	}
}

// Kubeconfig is that of somebody who may do everything, for a gateway in a process
// of its own.
func (f *Front) Kubeconfig() ([]byte, error) {
	user, err := f.environment.AddUser(envtest.User{Name: "gateway", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return nil, fmt.Errorf("add a user: %w", err)
	}
	return user.KubeConfig()
}

// Stop stops what was started, the last first.
func (f *Front) Stop() (err error) {
	for _, v := range slices.Backward(f.stops) {
		err = errors.Join(err, v())
	}
	return err
}

// Runtime makes a runtime, and waits until it has an ARN that all gateways know.
func (f *Front) Runtime(ctx context.Context, agent *v1alpha1.AgentRuntime) error {
	if err := f.API.Create(ctx, agent); err != nil {
		return fmt.Errorf("create the runtime: %w", err)
	}
	for _, reader := range append([]client.Reader{f.API}, f.caches...) {
		for agent.Status.AgentRuntimeArn = ""; agent.Status.AgentRuntimeArn == ""; time.Sleep(10 * time.Millisecond) {
			if err := reader.Get(ctx, client.ObjectKeyFromObject(agent), agent); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("get the runtime: %w", err)
			}
		}
	}
	return nil
}

// Authenticated has a gateway ask for access keys and tokens.
func Authenticated(o *gateway.Options) { o.Authenticate = authn.ByScheme(nil) }

// Door starts a gateway, and returns its URL.
func (f *Front) Door(change ...func(*gateway.Options)) (url string, shut func() error, err error) {
	return f.DoorThrough(func(way http.RoundTripper) http.RoundTripper { return way }, change...)
}

// DoorThrough starts a gateway that reaches the API server in a way of the test's.
func (f *Front) DoorThrough(way transport.WrapperFunc, change ...func(*gateway.Options)) (url string, shut func() error, err error) {
	config := rest.CopyConfig(f.config)
	config.Wrap(way)
	clusterTime := apiserver.NewClock(clock.RealClock{}, f.log)
	config = clusterTime.Listen(config)
	c, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = f.API.Scheme()
	})
	if err != nil {
		return "", nil, fmt.Errorf("make a cache: %w", err)
	}
	o := gateway.Options{Client: c.GetClient(), Live: c.GetAPIReader(), Clock: clusterTime, Cluster: c.GetConfig(), AllowLoopback: true, Log: f.log}
	for _, f := range change {
		f(&o)
	}
	if o.Authenticate != nil {
		keys, err := authn.SigV4(c.GetCache())
		if err != nil {
			return "", nil, err
		}
		tokens, err := authn.KubernetesTokens(c.GetConfig())
		if err != nil {
			return "", nil, err
		}
		o.Authenticate = authn.ByScheme(map[string]authn.Authenticator{
			authn.SchemeSigV4: keys, authn.SchemeBearer: tokens,
		})
	}
	g := gateway.New(o)
	if err := g.Watch(c.GetCache()); err != nil {
		return "", nil, err
	}
	caching, stopCache := context.WithCancel(context.Background())
	f.caches = append(f.caches, c.GetCache())
	go c.Start(caching) //nolint:errcheck // it ends with its context
	if !c.GetCache().WaitForCacheSync(caching) {
		stopCache()
		return "", nil, errors.New("the cache is not filled")
	}
	listener, err := (&net.ListenConfig{}).Listen(caching, "tcp", "127.0.0.1:0")
	if err != nil {
		stopCache()
		return "", nil, fmt.Errorf("listen: %w", err)
	}
	serving, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(serving, listener) }()
	return "http://" + listener.Addr().String(), func() error {
		stop()
		defer stopCache()
		f.caches = slices.DeleteFunc(f.caches, func(other client.Reader) bool { return other == c.GetCache() })
		return <-ended
	}, nil
}
