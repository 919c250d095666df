package dashboard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// lookEvery is how often the feed looks for what time alone has changed.
const lookEvery = 5 * time.Second

// watch keeps the feed current until ctx ends.
func (d *Dashboard) watch(ctx context.Context) (*sync.WaitGroup, error) {
	var all sync.WaitGroup
	if d.Cache != nil {
		if err := d.share(ctx); err != nil {
			return nil, err
		}
	} else {
		all.Go(func() {
			d.reflect(ctx, kindSessions, &v1alpha1.AgentSession{}, func() client.ObjectList { return &v1alpha1.AgentSessionList{} }, sessions{d.feed})
		})
		all.Go(func() {
			d.reflect(ctx, kindRuntimes, &v1alpha1.AgentRuntime{}, func() client.ObjectList { return &v1alpha1.AgentRuntimeList{} }, runtimes{d.feed})
		})
	}
	all.Go(func() {
		looks := time.NewTicker(lookEvery)
		defer looks.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-looks.C:
				d.feed.look()
			}
		}
	})
	return &all, nil
}

// share has the feed hear of what a cache that is there already hears of. It returns when the
// feed has all that the cache has.
func (d *Dashboard) share(ctx context.Context) error {
	for kind, of := range map[string]struct {
		object client.Object
		into   cache.ReflectorStore
	}{
		kindSessions: {&v1alpha1.AgentSession{}, sessions{d.feed}},
		kindRuntimes: {&v1alpha1.AgentRuntime{}, runtimes{d.feed}},
	} {
		informer, err := d.Cache.GetInformer(ctx, of.object)
		if err != nil {
			return fmt.Errorf("watch %s: %w", kind, err)
		}
		heard, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { _ = of.into.Add(object) }, // which never fails
			UpdateFunc: func(_, object any) { _ = of.into.Update(object) },
			DeleteFunc: func(object any) {
				if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = last.Obj
				}
				_ = of.into.Delete(object)
			},
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", kind, err)
		}
		if !cache.WaitForCacheSync(ctx.Done(), heard.HasSynced) {
			return nil // ctx has ended
		}
		d.feed.setListed(kind)
	}
	return nil
}

// reflect lists and watches a kind. It tries again as long as it takes, at most 5 s later, since
// somebody sits before the page.
func (d *Dashboard) reflect(ctx context.Context, kind string, object client.Object, list func() client.ObjectList, into cache.ReflectorStore) {
	heard := func(what string, err error) {
		switch {
		case ctx.Err() != nil:
		case err == nil:
			d.feed.trouble(kind+what, "")
		default:
			d.feed.trouble(kind+what, lifecycle.Line(fmt.Sprintf("%s cannot be read: %v", kind, d.InWords(err)), maxTrouble))
		}
	}
	options := func(o metav1.ListOptions) *client.ListOptions {
		return &client.ListOptions{Namespace: d.Namespace, Limit: o.Limit, Continue: o.Continue, Raw: &o}
	}
	from := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			all := list()
			err := d.Client.List(ctx, all, options(o))
			heard(" list", err)
			return all, err //nolint:wrapcheck // the reflector looks at its kind
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			changes, err := d.Client.Watch(ctx, list(), options(o))
			switch {
			case err == nil:
				heard(" list", nil)
				heard(" watch", nil)
			case o.SendInitialEvents == nil || !apierrors.IsInvalid(err): // else it lists, as an old server wants
				heard(" watch", err)
			}
			return changes, err //nolint:wrapcheck // as above
		},
	}
	quiet := logr.Discard()
	cache.NewReflectorWithOptions(from, object, into, cache.ReflectorOptions{
		Name: kind, Logger: &quiet, Backoff: &wait.Backoff{Duration: time.Second, Factor: 1.5, Jitter: 0.2, Steps: 1 << 20, Cap: 5 * time.Second},
	}).RunWithContext(ctx)
}

// maxTrouble is how many bytes of an error a page is sent.
const maxTrouble = 900

// sessions has a feed be what a reflector writes to.
type sessions struct{ feed *feed }

func (s sessions) Add(object any) error { return s.Update(object) }

func (s sessions) Update(object any) error {
	if session, ok := object.(*v1alpha1.AgentSession); ok {
		s.feed.setSession(slimSession(session))
	}
	return nil
}

func (s sessions) Delete(object any) error {
	if session, ok := object.(*v1alpha1.AgentSession); ok {
		s.feed.dropSession(keyOf(session), session.UID)
	}
	return nil
}

func (s sessions) Replace(objects []any, _ string) error {
	all := make([]*v1alpha1.AgentSession, 0, len(objects))
	for _, object := range objects {
		if session, ok := object.(*v1alpha1.AgentSession); ok {
			all = append(all, slimSession(session))
		}
	}
	s.feed.setSessions(all)
	return nil
}

func (s sessions) Resync() error { return nil }

// slimSession leaves out what no row needs.
func slimSession(session *v1alpha1.AgentSession) *v1alpha1.AgentSession {
	slim := *session // the rest is a cache's too, and nobody's to change
	slim.ManagedFields, slim.Annotations, slim.Labels = nil, nil, nil
	slim.Spec.Template = corev1.PodTemplateSpec{}
	return &slim
}

// runtimes has a feed be what a reflector writes to.
type runtimes struct{ feed *feed }

func (r runtimes) Add(object any) error { return r.Update(object) }

func (r runtimes) Update(object any) error {
	if runtime, ok := object.(*v1alpha1.AgentRuntime); ok {
		r.feed.setRuntime(slimRuntime(runtime))
	}
	return nil
}

func (r runtimes) Delete(object any) error {
	if o, err := meta.Accessor(object); err == nil {
		r.feed.dropRuntime(o.GetNamespace() + "/" + o.GetName())
	}
	return nil
}

func (r runtimes) Replace(objects []any, _ string) error {
	all := make([]*v1alpha1.AgentRuntime, 0, len(objects))
	for _, object := range objects {
		if runtime, ok := object.(*v1alpha1.AgentRuntime); ok {
			all = append(all, slimRuntime(runtime))
		}
	}
	r.feed.setRuntimes(all)
	return nil
}

func (r runtimes) Resync() error { return nil }

func slimRuntime(runtime *v1alpha1.AgentRuntime) *v1alpha1.AgentRuntime {
	slim := *runtime // the rest is a cache's too, and nobody's to change
	slim.ManagedFields, slim.Annotations, slim.Labels = nil, nil, nil
	slim.Spec.Template = corev1.PodTemplateSpec{}
	return &slim
}
