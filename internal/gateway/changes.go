package gateway

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// changes wakes those who wait for a session to change.
type changes struct {
	mu      sync.Mutex
	waiting map[types.NamespacedName]chan struct{}
}

// next is closed at the session's next change. Whoever looks at the session
// after asking for it misses none.
func (c *changes) next(key types.NamespacedName) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = map[types.NamespacedName]chan struct{}{}
	}
	if c.waiting[key] == nil {
		c.waiting[key] = make(chan struct{})
	}
	return c.waiting[key]
}

func (c *changes) tell(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting := c.waiting[key]; waiting != nil {
		close(waiting)
		delete(c.waiting, key)
	}
}
