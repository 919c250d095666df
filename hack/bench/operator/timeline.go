//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// moments of one session, as this process saw them.
type moments struct {
	created time.Time // before the request
	pod     time.Time // was there
	ready   time.Time
	deleted time.Time // the deletion of its pod began
}

// timeline notes when what happened to each session.
type timeline struct {
	mu       sync.Mutex
	sessions map[string]*moments
	ready    int
	deleted  int
}

func (t *timeline) note(session string, note func(*moments)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.sessions[session]
	if m == nil {
		m = &moments{}
		t.sessions[session] = m
	}
	note(m)
}

func (t *timeline) counts() (ready, deleted int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ready, t.deleted
}

// watch follows a kind of objects in a namespace until ctx ends. A watch that
// the API server ends is begun anew, with all that is there.
func (t *timeline) watch(ctx context.Context, api client.WithWatch, list client.ObjectList) error {
	for ctx.Err() == nil {
		events, err := api.Watch(ctx, list, client.InNamespace(namespace))
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("watch the sessions and their pods: %w", err)
		}
		if err != nil {
			continue // it is over
		}
		for event := range events.ResultChan() {
			switch object := event.Object.(type) {
			case *v1alpha1.AgentSession:
				t.seeSession(object)
			case *metav1.PartialObjectMetadata:
				t.seePod(object)
			}
		}
	}
	return nil
}

// podMetadata is a list of pods, without their spec and status.
func podMetadata() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	return list
}

func (t *timeline) seeSession(session *v1alpha1.AgentSession) {
	if state := session.Status.State; state == v1alpha1.StateIdle || state == v1alpha1.StateActive {
		t.note(session.Name, func(m *moments) {
			if m.ready.IsZero() {
				m.ready = time.Now()
				t.ready++
			}
		})
	}
}

func (t *timeline) seePod(pod *metav1.PartialObjectMetadata) {
	t.note(pod.Labels[v1alpha1.LabelSession], func(m *moments) {
		if m.pod.IsZero() {
			m.pod = time.Now()
		}
		if pod.DeletionTimestamp != nil && m.deleted.IsZero() {
			m.deleted = time.Now()
			t.deleted++
		}
	})
}

// durations are what of returns for the sessions of which it returns something,
// in order.
func (t *timeline) durations(of func(session string, m moments) (time.Duration, bool)) []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []time.Duration
	for session, m := range t.sessions {
		if d, ok := of(session, *m); ok {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all
}

// percentile of durations in order, in milliseconds.
func percentile(p int, of []time.Duration) float64 {
	if len(of) == 0 {
		return 0
	}
	return round(float64(of[min(len(of)*p/100, len(of)-1)].Microseconds()) / 1e3)
}
