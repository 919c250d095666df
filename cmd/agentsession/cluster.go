package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// cluster is where the verbs find sessions, as kubectl's flags say.
type cluster struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides

	client.WithWatch
	namespace string
}

func newCluster(flags *pflag.FlagSet) *cluster {
	c := &cluster{rules: clientcmd.NewDefaultClientConfigLoadingRules()}
	clientcmd.BindOverrideFlags(&c.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	flags.StringVar(&c.rules.ExplicitPath, clientcmd.RecommendedConfigPathFlag, "", "`file` that says where the cluster is and who you are")
	return c
}

// open reads the kubeconfig.
func (c *cluster) open() error {
	loading := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.rules, &c.overrides)
	config, err := loading.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return errors.New("no cluster is known: set KUBECONFIG or --kubeconfig, or run `agentsession local --write-kubeconfig FILE -- COMMAND`")
	}
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	if c.namespace, _, err = loading.Namespace(); err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return err
	}
	if c.WithWatch, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return advised(fmt.Errorf("reach the cluster: %w", err))
	}
	return nil
}

// advised adds to an error what to do.
func advised(err error) error {
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%w: AgentSession is not installed on this cluster: kubectl apply -f dist/install.yaml", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: ask for the ClusterRole view, which lets you look, or edit, which lets you stop and wake", err)
	}
	return err
}

// selected are sessions that are chosen by flags.
type selected struct {
	selector, runtime, state string
	all                      bool
}

func (s *selected) bind(flags *pflag.FlagSet) {
	flags.StringVarP(&s.selector, "selector", "l", "", "only sessions with these labels, such as app=research")
	flags.StringVar(&s.runtime, "runtime", "", "only sessions of this AgentRuntime")
	flags.BoolVarP(&s.all, "all-namespaces", "A", false, "sessions of all namespaces")
}

func (s *selected) bindState(flags *pflag.FlagSet) {
	flags.StringVar(&s.state, "state", "", "only sessions in this state: Starting, Active, Idle, Stopping or Stopped")
}

// options are what the API server selects by: all but the state.
func (c *cluster) options(by selected) (*client.ListOptions, error) {
	raw := &client.ListOptions{}
	if !by.all {
		raw.Namespace = c.namespace
	}
	var err error
	if raw.LabelSelector, err = labels.Parse(by.selector); err != nil {
		return nil, fmt.Errorf("--selector is %q: %w", by.selector, err)
	}
	if by.runtime != "" {
		raw.FieldSelector = fields.OneTermEqualSelector("spec.runtimeRef.name", by.runtime)
	}
	return raw, nil
}

// list lists the sessions that are selected, by namespace and name.
func (c *cluster) list(ctx context.Context, by selected) (*v1alpha1.AgentSessionList, error) {
	switch v1alpha1.SessionState(by.state) {
	case "", v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle, v1alpha1.StateStopping, v1alpha1.StateStopped:
	default:
		return nil, fmt.Errorf("--state is %q: it must be Starting, Active, Idle, Stopping or Stopped", by.state)
	}
	options, err := c.options(by)
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.AgentSessionList{}
	if err := c.List(ctx, list, options); err != nil {
		return nil, advised(fmt.Errorf("list the sessions: %w", err))
	}
	list.Items = slices.DeleteFunc(list.Items, func(one v1alpha1.AgentSession) bool { return by.state != "" && string(one.Status.State) != by.state })
	return list, nil
}
