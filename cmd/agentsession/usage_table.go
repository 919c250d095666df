package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// usageTable is what sessions take and cost. Names and meanings of its fields stay.
type usageTable struct {
	Prices explain.Prices `json:"prices"`
	// UsageUnknown says why nothing is known of what is consumed now; empty if something is.
	UsageUnknown string  `json:"usageUnknown,omitempty"`
	Items        []share `json:"items"`

	by   string
	free int // sessions of which no cost is known
}

// share is what a session takes and costs, or those of a runtime do.
type share struct {
	Namespace        string                `json:"namespace"`
	Name             string                `json:"name,omitempty"` // of the session
	RuntimeSessionID string                `json:"runtimeSessionId,omitempty"`
	Runtime          string                `json:"runtime,omitempty"`
	State            v1alpha1.SessionState `json:"state,omitempty"`
	Pod              string                `json:"pod,omitempty"`
	// Sessions are how many there are, and Computes how many of them have one.
	Sessions int `json:"sessions"`
	Computes int `json:"computes"`
	// Usage is what is consumed now; nil if it is not known.
	Usage *consumed `json:"usage,omitempty"`
	// Reserved is what was counted until now, and Cost what that costs; nil if nothing was.
	Reserved *v1alpha1.Reserved `json:"reserved,omitempty"`
	Cost     *cost              `json:"cost,omitempty"`
}

// cost is in the currency of the prices.
type cost struct {
	Active float64 `json:"active"`
	Idle   float64 `json:"idle"`
	Other  float64 `json:"other"`
	Total  float64 `json:"total"`
}

// usageTableOf is the table of sessions, by session or by runtime. What costs most comes first.
func usageTableOf(now time.Time, prices explain.Prices, by string, all []found, known usage) *usageTable {
	b := &usageTable{Prices: prices, by: by, Items: []share{}}
	for _, f := range all {
		s := shareOf(now, f.AgentSession, known)
		if s.Reserved == nil {
			b.free++
		}
		b.Items = append(b.Items, s)
	}
	if by == byRuntime {
		b.Items = merged(b.Items)
	}
	for i := range b.Items {
		b.Items[i].price(prices)
	}
	slices.SortStableFunc(b.Items, func(x, y share) int {
		return cmp.Or(cmp.Compare(y.total(), x.total()), strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name), strings.Compare(x.Runtime, y.Runtime))
	})
	return b
}

func shareOf(now time.Time, session *v1alpha1.AgentSession, known usage) share {
	s := share{
		Namespace: session.Namespace, Name: session.Name, RuntimeSessionID: session.Spec.RuntimeSessionID,
		State: session.Status.State, Sessions: 1, Usage: known.of(session),
	}
	if ref := session.Spec.RuntimeRef; ref != nil {
		s.Runtime = ref.Name
	}
	if pod := session.Status.Pod; pod != nil {
		s.Pod, s.Computes = pod.Name, 1
	}
	if session.Status.Reserved != nil {
		s.Reserved = new(lifecycle.ReservedBy(now, &session.Status))
	}
	return s
}

// merged are shares by runtime.
func merged(all []share) []share {
	slices.SortStableFunc(all, func(x, y share) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Runtime, y.Runtime))
	})
	sums := []share{}
	for _, s := range all {
		if n := len(sums); n == 0 || sums[n-1].Namespace != s.Namespace || sums[n-1].Runtime != s.Runtime {
			sums = append(sums, share{Namespace: s.Namespace, Runtime: s.Runtime})
		}
		sums[len(sums)-1].add(s)
	}
	return sums
}

// add adds what another takes.
func (s *share) add(other share) {
	s.Sessions += other.Sessions
	s.Computes += other.Computes
	if other.Usage != nil {
		sum := *other.Usage
		if s.Usage != nil {
			sum.MilliCPU += s.Usage.MilliCPU
			sum.MemoryMiB += s.Usage.MemoryMiB
		}
		s.Usage = &sum
	}
	if other.Reserved != nil {
		sum := *other.Reserved
		if s.Reserved != nil {
			sum = lifecycle.SumOf(*s.Reserved, sum)
		}
		s.Reserved = &sum
	}
}

func (s *share) price(prices explain.Prices) {
	if s.Reserved == nil {
		return
	}
	s.Cost = &cost{
		Active: prices.Of(s.Reserved.Active), Idle: prices.Of(s.Reserved.Idle), Other: prices.Of(s.Reserved.Other),
		Total: prices.Of(lifecycle.TotalOf(*s.Reserved)),
	}
}

// total is what it costs; nothing costs less than a cost of 0.
func (s *share) total() float64 {
	if s.Cost == nil {
		return -1
	}
	return s.Cost.Total
}
