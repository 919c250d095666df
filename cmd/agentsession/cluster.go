package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // as kubectl has it
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/local"
)

// connection is what the commands that talk to a cluster share.
type connection struct {
	// name is how the user calls it.
	name      string
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
	// flags are those by which the user says which cluster is meant, and as whom.
	flags *pflag.FlagSet
	// clock tells the time in the user's zone; nil: the API server's.
	clock func() time.Time
}

func newConnection(name string) *connection {
	return &connection{name: name, rules: clientcmd.NewDefaultClientConfigLoadingRules(), flags: pflag.NewFlagSet("", pflag.ContinueOnError)}
}

// visibleFlags are the flags of a connection that help shows. All of kubectl's are there.
var visibleFlags = map[string]bool{
	"kubeconfig": true, clientcmd.FlagContext: true, clientcmd.FlagNamespace: true, clientcmd.FlagImpersonate: true, clientcmd.FlagTimeout: true,
}

// bind makes kubectl's flags of how a cluster is reached.
func (t *connection) bind(command *pflag.FlagSet) {
	flags := t.flags
	flags.StringVar(&t.rules.ExplicitPath, "kubeconfig", "", "`file` that says how the cluster is reached")
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ContextOverrideFlags.Namespace.ShortName = "n"
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	names.Timeout.Default = defaultTimeout
	names.Timeout.Description = "how long a `duration` the API server may take to answer; 0 is for ever. Watches and logs go on for longer"
	clientcmd.BindOverrideFlags(&t.overrides, flags, names)
	flags.VisitAll(func(f *pflag.Flag) {
		if !visibleFlags[f.Name] {
			hide(f)
		}
	})
	command.AddFlagSet(flags)
}

func hide(f *pflag.Flag) { f.Hidden = true }

// cluster is one that is talked to.
type cluster struct {
	client.WithWatch
	config *rest.Config
	// unwrapped is config as the kubeconfig has it: what it wraps around requests is the user's
	// credentials, and nothing of ours.
	unwrapped *rest.Config
	namespace string
	host      string
	// limit is how long an answer may take; 0 is for ever.
	limit time.Duration
	// gateway is where the kubeconfig says that the cluster's gateway is; empty if it does not.
	gateway string
	tools   explain.Tools
	now     func() time.Time
	// clock is what now goes by; nil in tests.
	clock *apiserver.Clock
	// warn tells the user what he should know of what he reads.
	warn func(string)
}

// connect says how the cluster is reached. It asks nothing of it yet.
func (t *connection) connect(command *cobra.Command) (*cluster, error) {
	limit, err := clientcmd.ParseTimeout(t.overrides.Timeout)
	if err != nil {
		return nil, fmt.Errorf("--request-timeout is %q: %w", t.overrides.Timeout, err)
	}
	loader := t.loader()
	config, err := loader.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("no cluster is known: neither --kubeconfig nor $KUBECONFIG nor ~/.kube/config names one. "+
			"Without a cluster, `%s local --write-kubeconfig FILE -- COMMAND` makes one for --kubeconfig FILE", program)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read how the cluster is reached: %w (`%s local` removes its file when it ends)", err, program)
	case err != nil:
		return nil, fmt.Errorf("read how the cluster is reached: %w", err)
	}
	c := &cluster{host: config.Host, limit: limit, unwrapped: config, tools: t.tools(), warn: func(text string) { writeLines(command.ErrOrStderr(), "warning: "+text) }}
	if c.namespace, _, err = loader.Namespace(); err != nil {
		return nil, fmt.Errorf("read which namespace is meant: %w", err)
	}
	if c.gateway, err = t.gateway(loader); err != nil {
		return nil, err
	}
	c.tools.Laptop = c.gateway != "" && c.onThisMachine()
	c.config = limited(t.listen(config, c), limit)
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("name the kinds: %w", err)
	}
	mapper, err := apiserver.Kinds(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("name the kinds: %w", err)
	}
	if c.WithWatch, err = client.NewWithWatch(c.config, client.Options{Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return c, nil
}

func (t *connection) loader() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(t.rules, &t.overrides)
}

// gateway is that of the kubeconfig's cluster, unless another cluster is meant.
func (t *connection) gateway(loader clientcmd.ClientConfig) (string, error) {
	config, err := loader.RawConfig()
	if err != nil {
		return "", fmt.Errorf("read how the cluster is reached: %w", err)
	}
	current := config.Contexts[cmp.Or(t.overrides.CurrentContext, config.CurrentContext)]
	if current == nil || t.overrides.ClusterInfo.Server != "" {
		return "", nil
	}
	at := config.Clusters[cmp.Or(t.overrides.Context.Cluster, current.Cluster)]
	if at == nil {
		return "", nil
	}
	return local.GatewayOf(at), nil
}

// listen has the cluster's time told by its answers.
func (t *connection) listen(config *rest.Config, c *cluster) *rest.Config {
	config = rest.CopyConfig(config)
	config.UserAgent = program
	config.QPS, config.Burst = 50, 300 // kubectl's
	config.WarningHandlerWithContext = rest.NoWarnings{}
	if c.now = t.clock; c.now != nil {
		return config
	}
	c.clock = apiserver.NewClock(clock.RealClock{}, logr.Discard())
	var once sync.Once
	c.now = func() time.Time {
		if c.ownTime() {
			once.Do(func() { c.warn(ownTimeWarning) })
		}
		return c.clock.Now().Local()
	}
	return c.clock.Listen(config)
}

const ownTimeWarning = "the API server has not said in time what time it is there: times and countdowns are by the clock of this machine"

// ownTime tells whether now is by the clock of this machine.
func (c *cluster) ownTime() bool { return c.clock != nil && !c.clock.Heard() }

// inWords says of an error of the cluster what to do.
func (c *cluster) inWords(err error) error {
	var dial *net.OpError
	var late *unanswered
	switch {
	case err == nil:
		return nil
	case errors.As(err, &late):
		return fmt.Errorf("the cluster at %s: %w", c.host, late)
	case apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse): // a path that is not served
		return fmt.Errorf("the cluster at %s has no AgentSessions: install them with `kubectl apply -f dist/install.yaml`, or choose another cluster with --context (%w)", c.host, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the cluster at %s does not know you: log in again, or look at the credentials of your kubeconfig (%w)", c.host, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not do that on the cluster at %s: ask who runs it for the right that this names: %w", c.host, err)
	case errors.As(err, &dial):
		return fmt.Errorf("the cluster at %s cannot be reached: see whether it runs, and whether --context or --kubeconfig names the right one (%w)", c.host, err)
	}
	return err
}
