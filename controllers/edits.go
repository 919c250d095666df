package controllers

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
)

// edits are the specs of runtimes that were seen and are not recorded yet. The queue
// merges what follows each other fast, and each edit is a version.
type edits struct {
	mu   sync.Mutex
	seen map[types.NamespacedName][]*v1alpha1.AgentRuntime // the newest last
}

// note keeps a spec, which nobody may change. One that the cache left something out of
// cannot be recorded, unless it is the newest.
func (e *edits) note(agent *v1alpha1.AgentRuntime) {
	key := client.ObjectKeyFromObject(agent)
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.seen[key]
	if len(seen) > 0 && seen[0].UID != agent.UID {
		seen = nil
	}
	if agent.Unreadable == "" && !apiserver.Lacks(&agent.Spec.Template) {
		seen = append(seen, agent)
	}
	if e.seen == nil {
		e.seen = map[types.NamespacedName][]*v1alpha1.AgentRuntime{}
	}
	e.seen[key] = seen[max(0, len(seen)-keptVersions-1):]
}

// between are the specs of a runtime after a version and before the one that it has.
func (e *edits) between(version int64, agent *v1alpha1.AgentRuntime) (list []*v1alpha1.AgentRuntime) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, edit := range e.seen[client.ObjectKeyFromObject(agent)] {
		if edit.UID == agent.UID && edit.Generation > version && edit.Generation < agent.Generation {
			list = append(list, edit)
		}
	}
	return list
}

// forget drops the specs of a runtime up to a version.
func (e *edits) forget(key types.NamespacedName, version int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.seen[key]
	for len(seen) > 0 && seen[0].Generation <= version {
		seen = seen[1:]
	}
	if len(seen) == 0 {
		delete(e.seen, key)
		return
	}
	e.seen[key] = seen
}

// handler notes each edit before its runtime is looked at, and looks at one that the
// selector chooses from now on.
func (e *edits) handler(selector labels.Selector) handler.Funcs {
	edited := func(object client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		if agent, is := object.(*v1alpha1.AgentRuntime); is && agent.DeletionTimestamp == nil {
			e.note(agent)
		}
		queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)})
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, c crevent.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			edited(c.Object, queue)
		},
		UpdateFunc: func(_ context.Context, u crevent.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if u.ObjectOld.GetGeneration() != u.ObjectNew.GetGeneration() || selected(selector, u.ObjectOld) != selected(selector, u.ObjectNew) {
				edited(u.ObjectNew, queue)
			}
		},
		DeleteFunc: func(_ context.Context, d crevent.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(d.Object)})
		},
	}
}
