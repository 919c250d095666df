package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/internal/apiserver"
)

// events are the newest of an object, in their order. Who may not read them gets an
// explanation without, and is told so.
func (e *explainer) events(ctx context.Context, kind, name string, uid types.UID) []corev1.Event {
	all, more, err := apiserver.Events(ctx, e, e.namespace, kind, name, uid)
	if err != nil {
		writeLines(e.err, fmt.Sprintf("warning: its Events cannot be read, so less is told: %v", e.inWords(err)))
	}
	if more {
		writeLines(e.err, fmt.Sprintf("warning: it has more than %d Events, of which some were not read", apiserver.MaxEventPages*page))
	}
	return all
}
