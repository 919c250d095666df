package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
)

// Access follows which of the namespaces that a process watches the API server lets it read.
// Whoever owns one may delete the RoleBinding of the process, or the whole namespace.
type Access struct {
	namespaces Namespaces
	log        logr.Logger
	unreadable *prometheus.GaugeVec

	mu      sync.Mutex
	refused map[string][]string // by namespace, the resources that may not be listed
}

// Follow returns a config by whose requests Access learns.
func (n Namespaces) Follow(config *rest.Config, log logr.Logger) (*rest.Config, *Access) {
	a := &Access{
		namespaces: n, log: log, refused: map[string][]string{},
		unreadable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentsession_namespace_unreadable",
			Help: "Whether a namespace of --watch-namespaces cannot be read now: its Role or RoleBinding is missing, or the namespace.",
		}, []string{"namespace"}),
	}
	for _, name := range n {
		a.unreadable.WithLabelValues(name).Set(0)
	}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return follower{next, a} })
	return config, a
}

// Series are the metrics of it.
func (a *Access) Series() []prometheus.Collector { return []prometheus.Collector{a.unreadable} }

// Check is a readiness check: it fails where none of the namespaces can be read.
func (a *Access) Check(*http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.namespaces) == 0 || len(a.refused) < len(a.namespaces) {
		return nil
	}
	return fmt.Errorf("none of the namespaces %s (--watch-namespaces) can be read: is a Role bound in one of them?", a.namespaces.String())
}

// note takes in whether a resource of a namespace could be listed.
func (a *Access) note(namespace, resource string, refused bool) {
	if !slices.Contains(a.namespaces, namespace) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.refused[namespace]
	switch known := slices.Contains(before, resource); {
	case refused == known:
	case refused:
		if a.refused[namespace] = append(before, resource); len(before) == 0 {
			a.unreadable.WithLabelValues(namespace).Set(1)
			a.log.Info("A namespace cannot be read: nothing is done for its sessions. Trying again, every minute at least", "namespace", namespace, "resource", resource)
		}
	case len(before) > 1:
		a.refused[namespace] = slices.DeleteFunc(before, func(r string) bool { return r == resource })
	default:
		delete(a.refused, namespace)
		a.unreadable.WithLabelValues(namespace).Set(0)
		a.log.Info("The namespace can be read again", "namespace", namespace)
	}
}

type follower struct {
	http.RoundTripper
	access *Access
}

func (f follower) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := f.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet {
		return answer, err
	}
	parts := strings.Split(r.URL.Path, "/") // of a list or a watch: .../namespaces/NAMESPACE/RESOURCE
	if n := len(parts); n >= 3 && parts[n-3] == "namespaces" {
		switch answer.StatusCode {
		case http.StatusOK:
			f.access.note(parts[n-2], parts[n-1], false)
		case http.StatusForbidden:
			f.access.note(parts[n-2], parts[n-1], true)
		}
	}
	return answer, nil
}

// tolerant is an informer that is there, and empty, also where its first list is forbidden: a
// cache of several namespaces is ready when all of them are. It goes on trying with
// client-go's back-off, 30 to 60 s at most, and shows what is there when it may. What it has shown
// once stays if the right to it goes. Access keys are not optional: nobody could call.
func tolerant(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	if _, secret := object.(*corev1.Secret); secret {
		return toolscache.NewSharedIndexInformer(lw, object, resync, indexers)
	}
	inner := toolscache.ToListerWatcherWithContext(lw)
	var read atomic.Bool
	return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := inner.ListWithContext(ctx, options)
			if apierrors.IsForbidden(err) && !read.Load() {
				return &metav1.List{}, nil
			}
			read.Store(read.Load() || err == nil)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := inner.WatchWithContext(ctx, options)
			read.Store(read.Load() || err == nil)
			return w, err
		},
	}, object, resync, indexers)
}
