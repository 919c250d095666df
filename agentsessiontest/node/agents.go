package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Agent answers the pings of one pod, and GET /tasks if it was told what.
type Agent struct {
	token     string         // that of the pod
	listeners []net.Listener // of its own

	mu      sync.Mutex
	now     func() time.Time      // that of its node
	tasks   func() contract.Tasks // nil if it does not tell
	answer  func() (int, string)
	rest    http.Handler // nil if it serves nothing else
	program bool         // rest answers pings and tasks too
	silent  bool
	pings   int
	asked   int // for its tasks
	release chan struct{}
}

// NewAgent is Healthy from now on, with a correct time_of_last_update.
func NewAgent() *Agent {
	a := &Agent{now: time.Now, release: make(chan struct{})}
	a.Say(contract.Healthy)
	return a
}

// AgentOf is a program's own: a handler answers all that is asked, its pings too.
func AgentOf(program http.Handler) *Agent {
	a := NewAgent()
	a.rest, a.program = program, true
	return a
}

// Say changes the status, and stamps it as the contract asks.
func (a *Agent) Say(status contract.Status) {
	a.mu.Lock()
	now := a.now
	a.mu.Unlock()
	a.SayAt(status, now())
}

// SayAt changes the status, and says that it did so then.
func (a *Agent) SayAt(status contract.Status, at time.Time) {
	ping := contract.Ping{Status: status, UpdatedAt: at, Stamp: contract.StampSeconds}
	body := string(ping.AppendJSON(nil))
	a.Answer(func() (int, string) { return http.StatusOK, body })
}

// Answer makes the agent answer whatever answer returns.
func (a *Agent) Answer(answer func() (code int, body string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// Tell makes the agent answer GET /tasks with whatever tasks returns, to those
// who have the token in its pod's environment; nil makes it answer 404 again.
func (a *Agent) Tell(tasks func() contract.Tasks) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks = tasks
}

// Serve makes the agent answer everything else by a handler. It is cut off, and
// its context ends, when the pod goes.
func (a *Agent) Serve(rest http.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rest = rest
}

// Hang makes the agent take connections and answer no more.
func (a *Agent) Hang() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = true
}

// Resume makes it answer again.
func (a *Agent) Resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = false
}

// Pings is how often the agent was asked.
func (a *Agent) Pings() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pings
}

// Asked is how often the agent was asked for its tasks, whether it told or not.
func (a *Agent) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func (a *Agent) serve(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case a.program:
		a.serveRest(w, r)
	case path == contract.PingPath:
		a.servePing(w, r)
	case path == contract.TasksPath:
		a.serveTasks(w, r)
	default:
		a.serveRest(w, r)
	}
}

func (a *Agent) serveRest(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	rest := a.rest
	a.mu.Unlock()
	if rest == nil {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	served := make(chan struct{})
	go func() {
		select {
		case <-a.release:
			cancel()
		case <-served:
		}
	}()
	rest.ServeHTTP(w, r.WithContext(ctx))
	close(served)
	select {
	case <-a.release:
		panic(http.ErrAbortHandler) // nothing of a pod that is gone arrives
	default:
	}
}

func (a *Agent) serveTasks(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked++
	tasks := a.tasks
	a.mu.Unlock()
	switch {
	case tasks == nil:
		http.NotFound(w, r)
	case a.token == "" || r.Header.Get("Authorization") != "Bearer "+a.token:
		http.Error(w, "wrong token", http.StatusForbidden)
	default:
		_ = json.NewEncoder(w).Encode(tasks()) // the asker may have gone
	}
}

func (a *Agent) servePing(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.pings++
	answer, silent := a.answer, a.silent
	a.mu.Unlock()
	if silent {
		select {
		case <-r.Context().Done():
		case <-a.release:
		}
		return
	}
	code, body := answer()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(body)) // the prober may have gone
}

// agents serves all agents on one port; the address asked tells them apart.
type agents struct {
	server *http.Server
	port   int

	mu     sync.Mutex
	byAddr map[netip.Addr]*Agent
	next   netip.Addr
}

func serveAgents(ctx context.Context) (*agents, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp4", "0.0.0.0:0") // all of 127.0.0.0/8
	if err != nil {
		return nil, fmt.Errorf("listen for the agents: %w", err)
	}
	all := &agents{
		port:   listener.Addr().(*net.TCPAddr).Port,
		byAddr: map[netip.Addr]*Agent{},
		next:   netip.AddrFrom4([4]byte{127, byte(128 + rand.IntN(127)), byte(rand.IntN(256)), 0}), //nolint:gosec // so that suites seldom meet
	}
	all.server = &http.Server{Handler: all, ReadHeaderTimeout: 10 * time.Second}
	go all.server.Serve(listener)                             //nolint:errcheck // it ends when the server is closed
	context.AfterFunc(ctx, func() { _ = all.server.Close() }) // nothing to be done about it
	return all, nil
}

// tries is how many addresses are looked at for one whose ports are free: suites of the same
// machine may have the others.
const tries = 16

// add gives an agent an address, and has it answer at ports of that besides.
func (all *agents) add(ctx context.Context, agent *Agent, ports []int32) (addr netip.Addr, err error) {
	for range tries {
		all.mu.Lock()
		all.next = all.next.Next()
		addr = all.next
		all.mu.Unlock()
		if agent.listeners, err = listenAt(ctx, addr, ports); err == nil {
			break
		}
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.byAddr[addr] = agent
	for _, listener := range agent.listeners {
		go all.server.Serve(listener) //nolint:errcheck // it ends when it is closed
	}
	return addr, err
}

// listenAt listens at all ports of an address, or at none.
func listenAt(ctx context.Context, addr netip.Addr, ports []int32) (all []net.Listener, err error) {
	for _, port := range ports {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(addr, uint16(port)).String()) //nolint:gosec // a TCP port
		if err != nil {
			for _, other := range all {
				_ = other.Close() // nobody has called
			}
			return nil, fmt.Errorf("listen for the agent (has another program that port on all addresses?): %w", err)
		}
		all = append(all, listener)
	}
	return all, nil
}

func (all *agents) remove(addr netip.Addr) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if agent := all.byAddr[addr]; agent != nil {
		for _, listener := range agent.listeners {
			_ = listener.Close() // nothing comes any more
		}
		close(agent.release)
	}
	delete(all.byAddr, addr)
}

// ServeHTTP answers as the agent whose address was asked.
func (all *agents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		http.Error(w, "agents answer on loopback only", http.StatusForbidden)
		return
	}
	all.mu.Lock()
	agent := all.byAddr[local.AddrPort().Addr().Unmap()]
	all.mu.Unlock()
	if agent == nil {
		http.NotFound(w, r)
		return
	}
	agent.serve(w, r)
}
