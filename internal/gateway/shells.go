package gateway

import (
	"fmt"
	"sync"
	"time"
)

// AgentCore's bounds of shells (developer guide, "Interactive shells"), and ours of a
// gateway: each may keep twice maxReplay bytes.
const (
	maxShellsEach = 10
	maxShells     = 100
	// shellWindow is how long a shell waits for somebody to come back.
	shellWindow = 15 * time.Minute
)

// shells are those that this gateway has opened, by their computes and ids. One that has
// ended stays until somebody was told how, or its window is over.
type shells struct {
	window time.Duration

	mu  sync.Mutex
	all map[compute]map[string]*shell
	n   int
}

// take is the shell with an id, which is made if there is none. Then it is to be started.
func (s *shells) take(of compute, id string) (one *shell, made bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one = s.all[of][id]; one != nil {
		return one, false, nil
	}
	switch {
	case len(s.all[of]) >= maxShellsEach:
		return nil, false, runtimeError(fmt.Sprintf("The session has %d shells, and no more are allowed: end one, or come back to one by its shellId", maxShellsEach))
	case s.n >= maxShells:
		return nil, false, throttled("This gateway has as many shells as it may. Please retry.")
	}
	if s.all == nil {
		s.all = map[compute]map[string]*shell{}
	}
	if s.all[of] == nil {
		s.all[of] = map[string]*shell{}
	}
	one = newShell(s.window, func() { s.drop(of, id, one) })
	s.all[of][id] = one
	s.n++
	return one, true, nil
}

// drop forgets a shell, and not another one that has its id since.
func (s *shells) drop(of compute, id string, one *shell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[of][id] != one {
		return
	}
	delete(s.all[of], id)
	if len(s.all[of]) == 0 {
		delete(s.all, of)
	}
	s.n--
}

// close ends all shells, and waits until they are: the gateway ends.
func (s *shells) close() {
	s.mu.Lock()
	var all []*shell
	for _, of := range s.all {
		for _, one := range of {
			all = append(all, one)
		}
	}
	s.mu.Unlock()
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
