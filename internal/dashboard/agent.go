package dashboard

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// agent is a runtime as the page shows it.
type agent struct {
	Key       string         `json:"key"`
	Namespace string         `json:"ns"`
	Name      string         `json:"name"`
	Version   int64          `json:"version"`
	Protocol  string         `json:"protocol"`
	Sessions  int            `json:"sessions"`
	Active    int            `json:"active"`
	Idle      int            `json:"idle"`
	Starting  int            `json:"starting"`
	Stopping  int            `json:"stopping"`
	Stopped   int            `json:"stopped"`
	Needs     []explain.Need `json:"needs"`
	Why       string         `json:"why"`
	Ends      []end          `json:"ends"`
}

// end is how often sessions of a runtime ended for a reason, as far as they know it.
type end struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// version is one of a runtime, with who uses it.
type version struct {
	Version   int64    `json:"version"`
	Sessions  int      `json:"sessions"`
	Endpoints []string `json:"endpoints"`
}

// tally counts what the sessions of a runtime are, and what ended them.
type tally struct {
	sessions int
	states   map[v1alpha1.SessionState]int
	ends     map[v1alpha1.StopReason]int
	versions map[int64]int
}

func newTally() *tally {
	return &tally{states: map[v1alpha1.SessionState]int{}, ends: map[v1alpha1.StopReason]int{}, versions: map[int64]int{}}
}

// count adds a session n times, which is 1 or -1.
func (t *tally) count(session *v1alpha1.AgentSession, n int) {
	s := &session.Status
	t.sessions += n
	add(t.states, cmp.Or(s.State, v1alpha1.StateStarting), n)
	for i := range s.History {
		add(t.ends, s.History[i].Reason, n)
	}
	if s.Runtime != nil {
		add(t.versions, s.Runtime.AgentRuntimeVersion, n)
	}
}

func add[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

func agentOf(runtime *v1alpha1.AgentRuntime, t *tally) agent {
	if t == nil {
		t = newTally()
	}
	a := agent{
		Key: runtime.Namespace + "/" + runtime.Name, Namespace: runtime.Namespace, Name: runtime.Name, Version: runtime.Status.AgentRuntimeVersion,
		Protocol: string(lifecycle.ProtocolOf(runtime.Spec.ProtocolConfiguration).ServerProtocol), Sessions: t.sessions,
		Active: t.states[v1alpha1.StateActive], Idle: t.states[v1alpha1.StateIdle], Starting: t.states[v1alpha1.StateStarting],
		Stopping: t.states[v1alpha1.StateStopping], Stopped: t.states[v1alpha1.StateStopped],
		Needs: needsOf(explain.RuntimeNeeds(runtime)), Ends: []end{},
	}
	if len(a.Needs) > 0 {
		a.Why = a.Needs[0].Text
	}
	for reason, count := range t.ends {
		a.Ends = append(a.Ends, end{lifecycle.Printable(string(reason)), count})
	}
	slices.SortFunc(a.Ends, func(x, y end) int { return cmp.Or(y.Count-x.Count, strings.Compare(x.Reason, y.Reason)) })
	return a
}

// versionsOf are the versions that sessions and endpoints use, the newest first.
func versionsOf(runtime *v1alpha1.AgentRuntime, t *tally) []version {
	all := map[int64]*version{}
	of := func(number int64) *version {
		if all[number] == nil {
			all[number] = &version{Version: number, Endpoints: []string{}}
		}
		return all[number]
	}
	newest := of(runtime.Status.AgentRuntimeVersion)
	newest.Endpoints = append(newest.Endpoints, v1alpha1.DefaultQualifier)
	for _, e := range runtime.Spec.Endpoints {
		v := of(e.Version)
		v.Endpoints = append(v.Endpoints, e.Name)
	}
	if t != nil {
		for number, count := range t.versions {
			of(number).Sessions = count
		}
	}
	list := make([]version, 0, len(all))
	for _, v := range all {
		list = append(list, *v)
	}
	slices.SortFunc(list, func(x, y version) int { return cmp.Compare(y.Version, x.Version) })
	return list
}
