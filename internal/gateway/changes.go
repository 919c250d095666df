package gateway

import (
	"hash/maphash"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// changes wakes those who wait for a session to change. Sessions share channels,
// so that waiting for one that never comes to be leaves nothing behind: whoever is
// woken looks whether it was for him.
type changes struct {
	seed   maphash.Seed
	shards [64]shard
}

type shard struct {
	mu      sync.Mutex
	waiting chan struct{} // nil if nobody waits
}

func (c *changes) of(key types.NamespacedName) *shard {
	return &c.shards[maphash.Comparable(c.seed, key)%uint64(len(c.shards))]
}

// next is closed at the session's next change, or before. Whoever looks at the
// session after asking for it misses none.
func (c *changes) next(key types.NamespacedName) <-chan struct{} {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(chan struct{})
	}
	return s.waiting
}

func (c *changes) notify(key types.NamespacedName) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}
