package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/controlplane"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
	"github.com/agentsession/agentsession/internal/local/node"
	"github.com/agentsession/agentsession/internal/prober"
)

// shutdownTimeout is how long the other parts have to end after the last process.
const shutdownTimeout = 3 * time.Second

// Options of a platform.
type Options struct {
	// Runtimes are the agents, of RuntimeOf or ReadRuntimes.
	Runtimes []Runtime
	// Env is put into the environment of all agents.
	Env []corev1.EnvVar
	// Code are the files and folders whose changes make another version of the runtimes.
	Code []string
	// NoCode are files that are none, also if they are among it.
	NoCode []string
	// Port of 127.0.0.1 where AgentCore's endpoint is. 0: any that is free.
	Port int
	// Signed has calls be signed with an access key of this run.
	Signed bool
	// TimeScale divides every duration of the rules.
	TimeScale int
	// Kubeconfig is a file to write how kubectl reaches the API to. Empty: none.
	Kubeconfig string
	// Kill is closed when what ends is to be killed. Nil: never.
	Kill <-chan struct{}
	// Out gets what happens, and Err what agents write.
	Out, Err io.Writer
	// JSON has all be told on Out, each as an Event.
	JSON bool
	// Headless has nothing be told but where everything is.
	Headless bool
	// Terminal tells that Err is one.
	Terminal bool
	// Version is what the page says of which version serves it.
	Version string
	// Log gets what operator and gateway log.
	Log logr.Logger
}

// platform is what runs.
type platform struct {
	Options
	teller  *teller
	code    *code // nil if none is watched
	key     authn.AccessKey
	api     *kubeapi.Server
	client  client.WithWatch
	mgr     ctrl.Manager
	node    *node.Node
	gateway *gateway.Gateway
	at      net.Listener
	page    *dashboard.Dashboard
	pageAt  net.Listener
	wrote   os.FileInfo   // the kubeconfig; nil if there is none
	ready   chan struct{} // closed when it has been told where everything is
}

// Run runs a platform until ctx ends, and ends all that it started. What cannot be had,
// as a port, is an error before anything is started.
func Run(ctx context.Context, o Options) (err error) {
	p := &platform{Options: o, ready: make(chan struct{}), teller: &teller{out: o.Out, err: o.Err, json: o.JSON, headless: o.Headless, terminal: o.Terminal}}
	if p.Kubeconfig != "" {
		if p.Kubeconfig, err = filepath.Abs(p.Kubeconfig); err != nil {
			return fmt.Errorf("find --write-kubeconfig: %w", err)
		}
	}
	for _, agent := range p.Runtimes {
		if err := hasImage(ctx, agent); err != nil {
			return err
		}
		adapt(agent.AgentRuntime, o.Env)
	}
	if len(o.Code) > 0 {
		if p.code, err = watchCode(o.Code, append(slices.Clone(o.NoCode), o.Kubeconfig), clock.RealClock{}); err != nil {
			return err
		}
		defer p.code.watcher.Close() //nolint:errcheck // it is of no use any more
		p.code.leaveOut(o.Out)
		p.code.leaveOut(o.Err)
	}
	if err := p.listen(ctx); err != nil {
		return err
	}
	if p.api, err = kubeapi.Start(ctx); err != nil {
		return errors.Join(err, p.close())
	}
	defer func() {
		err = errors.Join(err, p.api.Stop())
		err = errors.Join(err, p.removeKubeconfig())
	}()
	if err := p.set(); err != nil { //nolint:contextcheck // what it sets up runs with the manager's context
		return errors.Join(err, p.close())
	}
	if p.Kubeconfig != "" {
		if err := p.writeKubeconfig(ctx); err != nil {
			return errors.Join(err, p.close())
		}
	}
	return p.run(ctx)
}

func (p *platform) listen(ctx context.Context) (err error) {
	if p.at, err = (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", p.Port)); err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("--port is %d: another program listens there. End it, or give --port another number; 0 is any that is free", p.Port)
		}
		return fmt.Errorf("listen on --port: %w", err)
	}
	if p.pageAt, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return errors.Join(fmt.Errorf("listen for the page: %w", err), p.at.Close())
	}
	return nil
}

// close closes what is listened on, before anybody serves there.
func (p *platform) close() error { return errors.Join(p.at.Close(), p.pageAt.Close()) }

// set makes all parts.
func (p *platform) set() error {
	clusterTime := apiserver.NewClock(clock.RealClock{}, p.Log)
	config := clusterTime.Listen(p.api.Config())
	opts := controllers.ManagerOptions()
	opts.Metrics = metricsserver.Options{BindAddress: "0"}
	opts.Logger = p.Log
	opts.Controller.SkipNameValidation = new(true) // a process may run one after another
	var err error
	if p.mgr, err = ctrl.NewManager(config, opts); err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if p.client, err = client.NewWithWatch(config, client.Options{Scheme: opts.Scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := p.setOperator(clusterTime); err != nil {
		return err
	}
	if err := p.setGateway(config, clusterTime); err != nil {
		return err
	}
	return p.setPage(clusterTime)
}

func (p *platform) setOperator(clusterTime *apiserver.Clock) error {
	sessions := &controllers.AgentSessionReconciler{
		Client: p.mgr.GetClient(), Live: p.mgr.GetAPIReader(), Recorder: p.mgr.GetEventRecorder("agentsession"), Clock: clusterTime,
		TimeScale: p.TimeScale, AllowLoopback: true, GatewayURL: p.url(),
		Prober: prober.New(prober.Options{Period: lifecycle.Period(p.TimeScale), Observe: controllers.ObservePing}),
	}
	if err := sessions.SetupWithManager(p.mgr); err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	runtimes := &controllers.AgentRuntimeReconciler{Client: p.mgr.GetClient(), Live: p.mgr.GetAPIReader(), Region: controllers.DefaultRegion, AllowLoopback: true}
	if err := runtimes.SetupWithManager(p.mgr); err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	return nil
}

// setGateway makes a gateway that reads from the operator's cache, and waits for nobody's
// writes.
func (p *platform) setGateway(config *rest.Config, clusterTime *apiserver.Clock) error {
	reads, err := client.New(config, client.Options{Scheme: p.mgr.GetScheme(), Cache: &client.CacheOptions{Reader: p.mgr.GetCache()}})
	if err != nil {
		return fmt.Errorf("make the gateway's client: %w", err)
	}
	authenticate := authn.OfThisMachine
	if p.Signed {
		p.key = authn.NewAccessKey()
		authenticate = p.key.Authenticate
	}
	p.gateway = gateway.New(gateway.Options{
		Client: reads, Live: p.mgr.GetAPIReader(), Clock: clusterTime, Cluster: config, AllowLoopback: true, PublicURL: p.url(), Authenticate: authenticate, Log: p.Log.WithName("gateway"),
		Control: controlplane.New(controlplane.Options{Client: reads, Live: p.mgr.GetAPIReader(), AllowedImages: []string{"*"}, CheckImage: node.HasImage}),
	})
	return p.gateway.Watch(p.mgr.GetCache())
}

func (p *platform) url() string { return "http://" + p.at.Addr().String() }

// run runs all parts. The API ends last, and the node before it: it still writes how
// its processes ended.
func (p *platform) run(ctx context.Context) error {
	var err error
	if p.node, err = node.New(p.client, p.teller.output, p.teller.keeps()); err != nil {
		return errors.Join(err, p.close())
	}
	p.api.ServeMetrics(node.UsageWindow, p.usage)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, p.sayStopping)()
	gone := make(chan struct{})
	parts := p.parts(gone)
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part(ctx) }()
	}
	var late <-chan time.Time
	kill, most := p.Kill, shutdownTimeout
	for left := len(parts); left > 0; {
		select {
		case one := <-ended:
			err = errors.Join(err, one)
			left--
			stop() // all end with the first
		case <-kill:
			kill, most = nil, 0
			p.node.Kill()
			if gone == nil {
				return err
			}
		case <-gone:
			gone = nil
			late = time.After(most)
		case <-late:
			return err // a call waits for a start that will not come
		}
	}
	return err
}

// usage is what agents consume, as a cluster's metrics API tells it.
func (p *platform) usage(ctx context.Context) (all []kubeapi.Usage, err error) {
	found, err := p.node.Usage(ctx)
	for _, u := range found {
		all = append(all, kubeapi.Usage{Pod: u.Pod, MilliCPU: u.CPU.Milliseconds() * int64(time.Second/node.UsageWindow), Memory: u.Memory})
	}
	return all, err
}

// parts are what runs until ctx ends. The first closes gone when no process is left.
func (p *platform) parts(gone chan<- struct{}) []func(context.Context) error {
	parts := []func(context.Context) error{
		func(ctx context.Context) error {
			defer close(gone)
			return p.node.Run(ctx)
		},
		func(ctx context.Context) error { return apiserver.Start(ctx, p.mgr) },
		func(ctx context.Context) error { return p.gateway.Serve(ctx, p.at) },
		func(ctx context.Context) error { return p.page.Serve(ctx, p.pageAt) },
		p.begin,
	}
	if p.code == nil {
		return parts
	}
	return append(parts, func(ctx context.Context) error {
		select {
		case <-p.ready:
		case <-ctx.Done():
		}
		return p.code.run(ctx, func(names []string) error { return p.renew(ctx, names) }, p.teller.note)
	})
}

// sayStopping says what the end waits for.
func (p *platform) sayStopping() {
	sessions, grace := p.node.Running()
	if sessions == 0 {
		return
	}
	what := "1 session"
	if sessions > 1 {
		what = fmt.Sprintf("%d sessions", sessions)
	}
	p.teller.tell(Event{Event: EventStopping, Message: fmt.Sprintf("Stopping %s: up to %s. Press Ctrl-C again to kill what is left", what, grace)})
}

// begin makes the runtimes, says where everything is, and tells what happens.
func (p *platform) begin(ctx context.Context) error {
	agents, err := p.makeRuntimes(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	p.teller.tell(Event{Event: EventReady, Endpoint: p.url(), Page: p.page.URL(), Runtimes: agents, Kubeconfig: p.Kubeconfig, AccessKeyID: p.key.ID, SecretAccessKey: p.key.Secret})
	close(p.ready)
	return (&narrator{teller: p.teller, last: map[types.UID]string{}, breach: map[types.UID]string{}}).run(ctx, p.client)
}
