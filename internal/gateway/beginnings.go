package gateway

import (
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// beginnings are the sessions that a call is making or waking. The gateway's other calls
// of one wait for that, and do not all write the same.
type beginnings struct {
	mu  sync.Mutex
	all map[client.ObjectKey]*beginning
}

type beginning struct {
	done chan struct{}
	err  error // for all who wait
}

// of is that of a session. mine tells that there was none: the caller begins now, and
// must end it.
func (b *beginnings) of(key client.ObjectKey) (one *beginning, mine bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = map[client.ObjectKey]*beginning{}
	}
	if one = b.all[key]; one != nil {
		return one, false
	}
	one = &beginning{done: make(chan struct{})}
	b.all[key] = one
	return one, true
}

func (b *beginnings) end(key client.ObjectKey, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.all[key]
	delete(b.all, key)
	one.err = err
	close(one.done)
}
