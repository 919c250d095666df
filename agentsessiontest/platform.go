package agentsessiontest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/config/crd"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// CRDs are the CustomResourceDefinitions of AgentSession and AgentRuntime, for the API
// server of a suite.
func CRDs() []*apiextensionsv1.CustomResourceDefinition {
	all, err := crd.Definitions()
	if err != nil {
		panic(err) // the program carries them
	}
	return all
}

// Options of a platform. The zero value is a platform with AgentCore's durations, whose
// agents are Healthy.
type Options struct {
	// TimeScale divides every duration of the rules, as --time-scale of the operator does:
	// with 20, a session with an idle timeout of 60 s is stopped after 3 s. Default: 1.
	TimeScale int
	// Agent makes the agent of a pod before it is asked anything. Where it returns nil
	// the pod stays Pending. Default: node.NewAgent, which is Healthy.
	Agent func(*corev1.Pod) *node.Agent
	// Log gets what operator and gateway log. Default: nothing.
	Log logr.Logger
}

// Platform is an operator, a gateway, and a node that plays along.
type Platform struct {
	// API may do everything, and knows the kinds of AgentSession and of Kubernetes.
	API client.WithWatch
	// Endpoint is the URL of the gateway, which asks nobody who he is:
	// AWS_ENDPOINT_URL_BEDROCK_AGENTCORE.
	Endpoint string
	// Port is one at which all agents are asked and called, besides the ports that their
	// pods declare, or else those of AgentCore's protocols.
	Port int32

	clock   *Clock
	kubelet *node.Node
	stop    context.CancelFunc
	ended   chan error
	parts   int
}

// Start runs a platform on an API server that has the CRDs. It reaches agents at
// 127.0.0.0/8, where each pod has an address of its own, so it needs Linux.
func Start(config *rest.Config, o Options) (*Platform, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	o.TimeScale = max(o.TimeScale, 1)
	running, stop := context.WithCancel(context.Background())
	p := &Platform{clock: newClock(), stop: stop, ended: make(chan error, 3)}
	if err := p.start(running, config, o); err != nil {
		stop()
		return nil, errors.Join(err, p.wait())
	}
	return p, nil
}

func (p *Platform) start(running context.Context, config *rest.Config, o Options) (err error) {
	mgr, err := p.manager(config, o)
	if err != nil {
		return err
	}
	if p.API, err = client.NewWithWatch(config, client.Options{Scheme: mgr.GetScheme()}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := p.serves(running); err != nil {
		return err
	}
	if p.kubelet, err = node.New(running, p.API); err != nil {
		return err
	}
	p.Port, p.kubelet.Ports, p.kubelet.Now = p.kubelet.Port(), ports, p.clock.Now
	if o.Agent != nil {
		p.kubelet.Prepare = o.Agent
	}
	clusterTime := apiserver.NewClock(p.clock, o.Log)                 // it does not listen: the API server's time cannot be moved
	if err := setOperator(mgr, p.clock, clusterTime, o); err != nil { //nolint:contextcheck // it runs with the manager's
		return err
	}
	serve, err := p.gateway(running, mgr, config, clusterTime, o.Log)
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{
		p.kubelet.Run, mgr.Start, serve,
	} {
		p.parts++
		go func() { p.ended <- part(running) }()
	}
	synced := make(chan bool, 1)
	go func() { synced <- mgr.GetCache().WaitForCacheSync(running) }()
	select {
	case err := <-p.ended:
		p.parts--
		return errors.Join(errors.New("a part of the platform ended before the operator's caches were filled"), err)
	case <-synced: // false is never, as long as it runs
	}
	return nil
}

// gateway opens the platform's, which reads from the operator's cache, and returns what serves it.
func (p *Platform) gateway(ctx context.Context, mgr ctrl.Manager, config *rest.Config, clusterTime *apiserver.Clock, log logr.Logger) (func(context.Context) error, error) {
	reads, err := client.New(config, client.Options{Scheme: mgr.GetScheme(), Cache: &client.CacheOptions{Reader: mgr.GetCache()}})
	if err != nil {
		return nil, fmt.Errorf("make the gateway's client: %w", err)
	}
	door := gateway.New(gateway.Options{Client: reads, Live: mgr.GetAPIReader(), Clock: clusterTime, Cluster: config, AllowLoopback: true, Log: log})
	if err := door.Watch(mgr.GetCache()); err != nil { //nolint:contextcheck // it runs with the manager's
		return nil, err
	}
	at, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for calls: %w", err)
	}
	p.Endpoint = "http://" + at.Addr().String()
	return func(ctx context.Context) error { return door.Serve(ctx, at) }, nil
}

// serves is an error if the API server does not have the kinds.
func (p *Platform) serves(ctx context.Context) error {
	for _, list := range []client.ObjectList{&v1alpha1.AgentSessionList{}, &v1alpha1.AgentRuntimeList{}} {
		if err := p.API.List(ctx, list, client.Limit(1)); err != nil {
			return fmt.Errorf("look whether the API server has the CRDs (CRDs are for envtest.Environment): %w", err)
		}
	}
	return nil
}

// manager is one whose pods are dated by the platform's clock.
func (p *Platform) manager(config *rest.Config, o Options) (ctrl.Manager, error) {
	opts := controllers.ManagerOptions()
	opts.Metrics = metricsserver.Options{BindAddress: "0"}
	opts.Logger = o.Log
	opts.Controller.SkipNameValidation = new(true) // a suite may start several
	for kind, by := range opts.Cache.ByObject {
		if _, ok := kind.(*corev1.Pod); ok {
			by.Transform = p.clock.cached(by.Transform)
			opts.Cache.ByObject[kind] = by
		}
	}
	mgr, err := ctrl.NewManager(config, opts)
	if err != nil {
		return nil, fmt.Errorf("make the operator's manager: %w", err)
	}
	return mgr, nil
}

func setOperator(mgr ctrl.Manager, dates *Clock, clusterTime *apiserver.Clock, o Options) error {
	sessions := &controllers.AgentSessionReconciler{
		Client: writer{mgr.GetClient(), dates}, Live: live{mgr.GetAPIReader(), dates}, Recorder: mgr.GetEventRecorder("agentsession"), Clock: clusterTime,
		TimeScale: o.TimeScale, AllowLoopback: true,
		Prober: prober.New(prober.Options{Period: lifecycle.Period(o.TimeScale), Observe: controllers.ObservePing}),
	}
	if err := sessions.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	runtimes := &controllers.AgentRuntimeReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Region: controllers.DefaultRegion, AllowLoopback: true}
	if err := runtimes.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	return nil
}

// ports are those where an agent answers.
func ports(pod *corev1.Pod) (all []int32) {
	for _, port := range lifecycle.AgentContainer(pod).Ports {
		all = append(all, port.ContainerPort)
	}
	if len(all) == 0 {
		return []int32{contract.Port, contract.MCPPort, contract.A2APort}
	}
	return all
}

// Agent is the one of a session, as it was last read; nil while its pod does not run.
func (p *Platform) Agent(session *v1alpha1.AgentSession) *node.Agent {
	if session.Status.Pod == nil {
		return nil
	}
	return p.kubelet.Agent(session.Status.Pod.UID)
}

// Now is the time by which operator, gateway and agents go.
func (p *Platform) Now() time.Time { return p.clock.Now() }

// clockMoved is an annotation that has the operator look at a session again.
const clockMoved = "agentsessiontest/clock"

// Move moves the time of operator, gateway and agents on, and has the operator look at
// all sessions. What agents did meanwhile nobody has seen: to the rules that is no idle
// time and no failure, as after an operator that was down. An agent that stamps its
// answers, as node.Agent does, says itself since when it is idle.
func (p *Platform) Move(ctx context.Context, by time.Duration) error {
	if by < 0 {
		return fmt.Errorf("move the clock by %s: it goes forward only", by)
	}
	p.clock.move(by)
	var all v1alpha1.AgentSessionList
	if err := p.API.List(ctx, &all); err != nil {
		return fmt.Errorf("list the sessions: %w", err)
	}
	for i := range all.Items {
		session := &all.Items[i]
		patch := client.MergeFrom(session.DeepCopy())
		if session.Annotations == nil {
			session.Annotations = map[string]string{}
		}
		session.Annotations[clockMoved] = strconv.FormatInt(p.Now().Unix(), 10)
		if err := p.API.Patch(ctx, session, patch); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("have the operator look at %s/%s: %w", session.Namespace, session.Name, err)
		}
	}
	return nil
}

// Stop ends the platform. Objects stay.
func (p *Platform) Stop() error {
	p.stop()
	return p.wait()
}

func (p *Platform) wait() (err error) {
	for range p.parts {
		err = errors.Join(err, <-p.ended)
	}
	p.parts = 0
	return err
}
