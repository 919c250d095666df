package local

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// Narrate writes a line for each thing that happens to sessions until ctx ends: another
// state, or the same one with another end. name is what they are called.
func Narrate(ctx context.Context, out io.Writer, c client.WithWatch, name func(*v1alpha1.AgentSession) string, which ...client.ListOption) error {
	last := map[types.UID]string{}
	return Follow(ctx, c, func(kind watch.EventType, session *v1alpha1.AgentSession) {
		line := "deleted"
		if kind == watch.Deleted {
			delete(last, session.UID)
		} else {
			line = explain.Line(&session.Status, time.Now())
			if session.Status.State == "" || last[session.UID] == line {
				return
			}
			last[session.UID] = line
		}
		_, _ = fmt.Fprintf(out, "%s  %s  %s\n", time.Now().Format(time.TimeOnly), name(session), line) // who closed the terminal reads nothing
	}, which...)
}

// Follow calls a function with each session that is there, and with each that changes,
// until ctx ends. A watch that ends is begun again.
func Follow(ctx context.Context, c client.WithWatch, each func(watch.EventType, *v1alpha1.AgentSession), which ...client.ListOption) error {
	for ctx.Err() == nil {
		events, err := c.Watch(ctx, &v1alpha1.AgentSessionList{}, which...)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it is to end
			}
			return fmt.Errorf("watch the sessions: %w", err)
		}
		for event := range events.ResultChan() {
			if session, ok := event.Object.(*v1alpha1.AgentSession); ok {
				each(event.Type, session)
			}
		}
	}
	return nil
}
