package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An object has few Events, unless somebody floods it.
const (
	maxEventPages = 20
	// maxEvents is how many are shown, the newest.
	maxEvents = 500
)

// events are the newest of an object, in their order. Who may not read them gets an
// explanation without, and is told so.
func (e *explainer) events(ctx context.Context, kind, name string, uid types.UID) (all []corev1.Event) {
	match := client.MatchingFields{"involvedObject.kind": kind, "involvedObject.name": name}
	if uid != "" {
		match["involvedObject.uid"] = string(uid)
	}
	more := ""
	for range maxEventPages {
		var list corev1.EventList
		err := e.List(ctx, &list, client.InNamespace(e.namespace), match, client.Limit(page), client.Continue(more))
		if err != nil {
			say(e.err, fmt.Sprintf("warning: its Events cannot be read, so less is told: %v", e.inWords(err)))
		}
		all = newest(append(all, list.Items...))
		if more = list.Continue; more == "" {
			return all
		}
	}
	say(e.err, fmt.Sprintf("warning: it has more than %d Events, of which some were not read", maxEventPages*page))
	return all
}

func newest(events []corev1.Event) []corev1.Event {
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return eventTime(&a).Compare(eventTime(&b)) })
	return events[max(0, len(events)-maxEvents):]
}

// eventTime is when an Event was last seen.
func eventTime(e *corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	for _, at := range []time.Time{e.FirstTimestamp.Time, e.EventTime.Time, e.LastTimestamp.Time} {
		if !at.IsZero() {
			last = at
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(last) {
		last = e.Series.LastObservedTime.Time
	}
	return last
}
