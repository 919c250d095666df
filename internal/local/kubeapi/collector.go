package kubeapi

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/klog/v2"
)

// owned is what of an object says whose it is.
type owned struct {
	Metadata struct {
		Name            string                  `json:"name"`
		Namespace       string                  `json:"namespace"`
		UID             types.UID               `json:"uid"`
		OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
	resource schema.GroupResource
}

// collector deletes objects none of whose owners is there, as Kubernetes' garbage
// collector does, in the background. It does not know of other ways to delete owners:
// orphans stay nobody's.
type collector struct {
	mu      sync.Mutex
	alive   map[types.UID]bool
	owned   map[types.UID]owned
	pending chan struct{}
	// served are the resources that objects are deleted by.
	served map[schema.GroupResource]schema.GroupVersionResource
}

func newCollector() *collector {
	return &collector{
		alive: map[types.UID]bool{}, owned: map[types.UID]owned{},
		pending: make(chan struct{}, 1), served: map[schema.GroupResource]schema.GroupVersionResource{},
	}
}

// wrote is told of each write of a table, under the lock of all tables. An object that
// is gone has no after.
func (c *collector) wrote(resource schema.GroupResource, before, after []byte) {
	object := owned{resource: resource}
	data := after
	if data == nil {
		data = before
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return // it was written by a codec of JSON
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	uid := object.Metadata.UID
	delete(c.owned, uid)
	if after == nil {
		delete(c.alive, uid)
	} else {
		c.alive[uid] = true
		if len(object.Metadata.OwnerReferences) > 0 {
			c.owned[uid] = object
		}
	}
	select {
	case c.pending <- struct{}{}:
	default:
	}
}

// garbage is what has owners, none of whom is there.
func (c *collector) garbage() (all []owned) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, object := range c.owned {
		if !slices.ContainsFunc(object.Metadata.OwnerReferences, func(o metav1.OwnerReference) bool { return c.alive[o.UID] }) {
			all = append(all, object)
		}
	}
	return all
}

// run deletes garbage until ctx ends.
func (c *collector) run(ctx context.Context, client dynamic.Interface) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.pending:
		}
		for _, object := range c.garbage() {
			m := object.Metadata
			err := client.Resource(c.served[object.resource]).Namespace(m.Namespace).
				Delete(ctx, m.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(m.UID))})
			if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				klog.FromContext(ctx).Error(err, "Could not delete what has no owner", "resource", object.resource, "object", klog.KRef(m.Namespace, m.Name))
			}
		}
	}
}
