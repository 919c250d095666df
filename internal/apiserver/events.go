package apiserver

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An object has few Events, unless somebody floods it.
const (
	eventPage = 500
	// MaxEventPages is how many pages of them are read.
	MaxEventPages = 20
	// MaxEvents is how many are kept, the newest.
	MaxEvents = 500
)

// Events are the newest of an object, in their order. What was read before an error is
// returned with it; more tells that not all were read.
func Events(ctx context.Context, c client.Reader, namespace, kind, name string, uid types.UID) (all []corev1.Event, more bool, err error) {
	match := client.MatchingFields{"involvedObject.kind": kind, "involvedObject.name": name}
	if uid != "" {
		match["involvedObject.uid"] = string(uid)
	}
	next := ""
	for range MaxEventPages {
		var list corev1.EventList
		if err := c.List(ctx, &list, client.InNamespace(namespace), match, client.Limit(eventPage), client.Continue(next)); err != nil {
			return all, false, err //nolint:wrapcheck // the caller's words
		}
		all = NewestEvents(append(all, list.Items...))
		if next = list.Continue; next == "" {
			return all, false, nil
		}
	}
	return all, true, nil
}

// NewestEvents are the last MaxEvents of them, in their order.
func NewestEvents(events []corev1.Event) []corev1.Event {
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return EventTime(&a).Compare(EventTime(&b)) })
	return events[max(0, len(events)-MaxEvents):]
}

// EventTime is when an Event was last seen.
func EventTime(e *corev1.Event) time.Time {
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
