//go:build linux

package main

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// The kinds of sessions: the first word of their names.
const (
	kindPlain  = "plain"  // Healthy, and nothing happens
	kindFlap   = "flap"   // changes at every ping, when told to
	kindSingle = "single" // falls due for itself
	kindMass   = "mass"   // falls due with all others of its kind
	kindRaw    = "raw"    // no session: a bare pod
	// kindProtocol is a session that no operator knows, with a bare pod.
	kindProtocol = "protocol"
)

// farm is the agents by kind and session.
type farm struct {
	mu     sync.Mutex
	agents map[string]map[string]*node.Agent
}

func newFarm() *farm { return &farm{agents: map[string]map[string]*node.Agent{}} }

// agentFor makes the agent of a pod. Those that will fall due begin busy.
func (f *farm) agentFor(pod *corev1.Pod) *node.Agent {
	session := pod.Labels[v1alpha1.LabelSession]
	kind, _, _ := strings.Cut(session, "-")
	agent := node.NewAgent()
	if kind == kindSingle || kind == kindMass {
		agent.Say(contract.HealthyBusy)
	}
	f.mu.Lock()
	if f.agents[kind] == nil {
		f.agents[kind] = map[string]*node.Agent{}
	}
	f.agents[kind][session] = agent
	f.mu.Unlock()
	return agent
}

// spread places pods on nodes in turn.
func spread(nodes int) func(*corev1.Pod) string {
	var placed atomic.Int64
	return func(*corev1.Pod) string { return nodeName(int(placed.Add(1)) % nodes) }
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }

// of is the agents of a kind, by session.
func (f *farm) of(kind string) map[string]*node.Agent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.agents[kind])
}

// flapper changes its status at every ping, and stamps it as the contract asks.
type flapper struct {
	mu     sync.Mutex
	status contract.Status
	since  time.Time
}

func (f *flapper) answer() (code int, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status == contract.Healthy {
		f.status = contract.HealthyBusy
	} else {
		f.status = contract.Healthy
	}
	f.since = time.Now()
	return http.StatusOK, fmt.Sprintf(`{"status":%q,"time_of_last_update":%d}`, f.status, f.since.Unix())
}

// end makes it Healthy, if it is not, and tells since when it is.
func (f *flapper) end(agent *node.Agent) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status != contract.Healthy {
		f.since = time.Now()
	}
	agent.SayAt(contract.Healthy, f.since)
	return f.since
}

// flap has the agents of a kind change their status at every ping until it is
// ended, which tells since when each is Healthy.
func (f *farm) flap(kind string) (end func() map[string]time.Time) {
	agents := f.of(kind)
	flappers := map[string]*flapper{}
	for session, agent := range agents {
		flappers[session] = &flapper{status: contract.Healthy}
		agent.Answer(flappers[session].answer)
	}
	return func() map[string]time.Time {
		since := map[string]time.Time{}
		for session, f := range flappers {
			since[session] = f.end(agents[session])
		}
		return since
	}
}

func (f *farm) say(kind string, status contract.Status) time.Time {
	now := time.Now()
	for _, agent := range f.of(kind) {
		agent.SayAt(status, now)
	}
	return now
}
