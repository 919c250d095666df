package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// cluster is the demo's way to the API server.
type cluster struct {
	api        client.Client
	config     *rest.Config
	kubeconfig string // its path; empty if it is the user's current one
	top        string // of this repository
	changed    []changed
	isolated   []string // namespaces with a network policy, before the demo changed an operator's deployment; nil if it has not
}

const fieldOwner = client.FieldOwner("demo")

// connect finds the cluster that make has brought up, or the current one.
func connect(ctx context.Context) (*cluster, error) {
	top, err := output(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/agentsession/agentsession")
	if err != nil {
		return nil, fmt.Errorf("find the repository (run this inside it): %w", err)
	}
	c := &cluster{top: top}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if !borrowed() {
		if c.kubeconfig, err = output(ctx, top, "go", "run", "./hack/cluster", "kubeconfig"); err != nil {
			return nil, fmt.Errorf("find the cluster (make cluster-up makes it): %w", err)
		}
		rules.ExplicitPath = c.kubeconfig
	}
	if c.config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig(); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	c.config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c.api, err = client.New(c.config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster (make cluster-up makes it): %w", err)
	}
	return c, nil
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	out, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}

// apply applies a file of the repository; change is called with each object.
func (c *cluster) apply(ctx context.Context, file string, change func(*unstructured.Unstructured) error) error {
	opened, err := os.Open(filepath.Join(c.top, file))
	if err != nil {
		return err
	}
	defer opened.Close() //nolint:errcheck // it is only read
	decoder := utilyaml.NewYAMLOrJSONDecoder(opened, 4096)
	for {
		var object unstructured.Unstructured
		switch err := decoder.Decode(&object); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", file, err)
		case object.Object == nil:
			continue
		}
		if err := c.note(ctx, &object); err != nil {
			return err
		}
		if err := change(&object); err != nil {
			return err
		}
		if err := c.applyObject(ctx, &object); err != nil {
			return err
		}
	}
}

// withTimeScale extends the operator's arguments.
func withTimeScale(scale int) func(*unstructured.Unstructured) error {
	return func(object *unstructured.Unstructured) error {
		if object.GetKind() != "Deployment" {
			return nil
		}
		containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if err != nil || len(containers) == 0 {
			return fmt.Errorf("the deployment %s has no containers: %w", object.GetName(), err)
		}
		operator, ok := containers[0].(map[string]any)
		if !ok {
			return fmt.Errorf("the deployment %s has no container", object.GetName())
		}
		args, _, err := unstructured.NestedStringSlice(operator, "args")
		if err != nil {
			return fmt.Errorf("read the operator's arguments: %w", err)
		}
		if err := unstructured.SetNestedStringSlice(operator, append(args, fmt.Sprintf("--time-scale=%d", scale)), "args"); err != nil {
			return err
		}
		return unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers")
	}
}

// inNamespace puts an example into the demo's namespace.
func inNamespace(object *unstructured.Unstructured) error {
	object.SetNamespace(namespace)
	return nil
}

// makeNamespace makes the demo's namespace as strict as Kubernetes has them.
func (c *cluster) makeNamespace(ctx context.Context) error {
	var ns unstructured.Unstructured
	ns.SetAPIVersion("v1")
	ns.SetKind("Namespace")
	ns.SetName(namespace)
	ns.SetLabels(map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	return c.api.Apply(ctx, client.ApplyConfigurationFromUnstructured(&ns), fieldOwner, client.ForceOwnership)
}

// clear deletes what an earlier demo left, and waits until it is gone.
func (c *cluster) clear(ctx context.Context) error {
	err := c.api.DeleteAllOf(ctx, &v1alpha1.AgentSession{}, client.InNamespace(namespace))
	if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return fmt.Errorf("delete the old sessions: %w", err)
	}
	return eventually(ctx, func() (string, error) {
		var pods corev1.PodList
		if err := c.api.List(ctx, &pods, client.InNamespace(namespace), client.HasLabels{v1alpha1.LabelSession}); err != nil {
			return "", err
		}
		if len(pods.Items) > 0 {
			return "the pod " + pods.Items[0].Name + " is still there", nil
		}
		var old v1alpha1.AgentSessionList
		err := c.api.List(ctx, &old, client.InNamespace(namespace))
		switch {
		case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
			return "", nil
		case err != nil:
			return "", err
		case len(old.Items) > 0:
			return "the session " + old.Items[0].Name + " is still there", nil
		}
		return "", nil
	})
}

// eventually asks until there is nothing left to wait for, or ctx ends.
func eventually(ctx context.Context, ask func() (waitingFor string, err error)) error {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	seen := "nothing yet"
	for {
		waitingFor, err := ask()
		switch {
		case err == nil && waitingFor == "":
			return nil
		case err != nil && ctx.Err() == nil:
			seen = err.Error()
		case err == nil:
			seen = waitingFor
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last seen: %s", context.Cause(ctx), seen)
		}
	}
}

// update is one thing that the cluster told.
type update struct {
	session *v1alpha1.AgentSession
	gone    bool // the session was deleted
	event   *eventsv1.Event
	trouble string
}

// watch tells what happens in the demo's namespace until ctx ends. What
// happened before is left out.
func (c *cluster) watch(ctx context.Context) (<-chan update, error) {
	updates := make(chan update, 100)
	tell := func(u update) {
		select {
		case updates <- u:
		case <-ctx.Done():
		}
	}
	all, err := cache.New(c.config, cache.Options{
		Scheme:            c.api.Scheme(),
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
		DefaultWatchErrorHandler: func(_ context.Context, _ *toolscache.Reflector, err error) {
			if !errors.Is(err, io.EOF) && !apierrors.IsResourceExpired(err) {
				tell(update{trouble: "the watch broke off, and is tried again: " + err.Error()})
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch the sessions: %w", err)
	}
	go all.Start(ctx) //nolint:errcheck // it ends with ctx and returns nothing else
	for _, kind := range []client.Object{&v1alpha1.AgentSession{}, &eventsv1.Event{}} {
		informer, err := all.GetInformer(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("watch the sessions: %w", err)
		}
		if _, err := informer.AddEventHandler(teller(tell)); err != nil {
			return nil, fmt.Errorf("watch the sessions: %w", err)
		}
	}
	return updates, nil
}

func teller(tell func(update)) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, before bool) {
			switch o := object.(type) {
			case *v1alpha1.AgentSession:
				tell(update{session: o})
			case *eventsv1.Event:
				if !before {
					tell(update{event: o})
				}
			}
		},
		UpdateFunc: func(_, object any) {
			if o, ok := object.(*v1alpha1.AgentSession); ok {
				tell(update{session: o})
			}
		},
		DeleteFunc: func(object any) {
			if o, ok := object.(*v1alpha1.AgentSession); ok {
				tell(update{session: o, gone: true})
			}
		},
	}
}

// patch does what the printed kubectl command would do.
func (c *cluster) patch(ctx context.Context, o order) error {
	session := &v1alpha1.AgentSession{}
	session.Name, session.Namespace = o.session, namespace
	if err := c.api.Patch(ctx, session, client.RawPatch(mergePatch, []byte(o.patch)), fieldOwner); err != nil {
		return fmt.Errorf("patch the session %s: %w", o.session, err)
	}
	return nil
}
