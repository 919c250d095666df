package agentsessiontest

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Clock is the time by which a platform's operator, gateway and agents go: the machine's,
// and what it was moved by.
type Clock struct {
	mu    sync.Mutex
	moved time.Duration
	born  map[types.UID]time.Duration // by what it had been moved when a pod was first seen
}

func newClock() *Clock { return &Clock{born: map[types.UID]time.Duration{}} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.moved)
}

// Since is how long ago a moment was.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *Clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved += by
}

// dated is a pod that was made, and given a node, at a moment by this clock. The API server
// has one of its own, which cannot be moved.
func (c *Clock) dated(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by, seen := c.born[pod.UID]
	if !seen {
		by = c.moved
		c.born[pod.UID] = by
	}
	pod.CreationTimestamp.Time = pod.CreationTimestamp.Add(by)
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && !c.LastTransitionTime.IsZero() {
			c.LastTransitionTime.Time = c.LastTransitionTime.Add(by)
		}
	}
}

// cached has the pods of a cache dated, before another transformation.
func (c *Clock) cached(next cache.TransformFunc) cache.TransformFunc {
	return func(object any) (any, error) {
		if pod, ok := object.(*corev1.Pod); ok {
			c.dated(pod)
		}
		return next(object)
	}
}

// writer dates the pods that it makes.
type writer struct {
	client.Client
	clock *Clock
}

func (w writer) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	err := w.Client.Create(ctx, object, opts...)
	if pod, ok := object.(*corev1.Pod); ok && err == nil {
		w.clock.dated(pod)
	}
	return err
}

// live dates the pods that are read past the cache.
type live struct {
	client.Reader
	clock *Clock
}

func (l live) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	err := l.Reader.Get(ctx, key, object, opts...)
	if pod, ok := object.(*corev1.Pod); ok && err == nil {
		l.clock.dated(pod)
	}
	return err
}
