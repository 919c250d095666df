package shell

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// MaxEach is how many shells a session may have: AgentCore's (developer guide,
	// "Interactive shells").
	MaxEach = 10
	// maxAll is how many a gateway may: each may keep twice maxReplay bytes.
	maxAll = 100
	// window is how long a shell waits for somebody to come back: AgentCore's.
	window = 15 * time.Minute
)

// Errors of Open, besides those of the container.
var (
	ErrSessionFull = fmt.Errorf("the session has %d shells", MaxEach)
	ErrFull        = fmt.Errorf("there are %d shells", maxAll)
)

// Table has the shells of a gateway, by their computes and ids. One that has ended stays
// until somebody was told how, or its window is over.
type Table[Compute comparable] struct {
	mu  sync.Mutex
	all map[Compute]map[string]*Shell
	n   int
}

// Open returns the shell with an id once it runs. It is started if there is none. If it
// could not be, the error is the container's, or tells what it has said.
func (t *Table[Compute]) Open(ctx context.Context, of Compute, id string, in Container) (*Shell, error) {
	one, made, err := t.take(of, id)
	if err != nil {
		return nil, err
	}
	if made {
		if err := one.start(ctx, in); err != nil {
			return nil, err
		}
	}
	select {
	case <-one.begun:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if one.process() > 0 {
		return one, nil
	}
	one.forget()
	return nil, one.reason()
}

// take is the shell with an id, which is made if there is none. Then it is to be started.
func (t *Table[Compute]) take(of Compute, id string) (one *Shell, made bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one = t.all[of][id]; one != nil {
		return one, false, nil
	}
	switch {
	case len(t.all[of]) >= MaxEach:
		return nil, false, ErrSessionFull
	case t.n >= maxAll:
		return nil, false, ErrFull
	}
	if t.all == nil {
		t.all = map[Compute]map[string]*Shell{}
	}
	if t.all[of] == nil {
		t.all[of] = map[string]*Shell{}
	}
	one = newShell(func() { t.drop(of, id, one) })
	t.all[of][id] = one
	t.n++
	return one, true, nil
}

// drop forgets a shell, and not another one that has its id since.
func (t *Table[Compute]) drop(of Compute, id string, one *Shell) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[of][id] != one {
		return
	}
	delete(t.all[of], id)
	if len(t.all[of]) == 0 {
		delete(t.all, of)
	}
	t.n--
	one.release()
}

// Close ends all shells, and waits until they are: the gateway ends.
func (t *Table[Compute]) Close() {
	t.mu.Lock()
	var all []*Shell
	for _, of := range t.all {
		for _, one := range of {
			all = append(all, one)
		}
	}
	t.mu.Unlock()
	for _, one := range all {
		one.finish(errGatewayEnds)
	}
	late := time.After(2 * guardPatience)
	for _, one := range all {
		select {
		case <-one.over:
		case <-late:
			return
		}
	}
}
