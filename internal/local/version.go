package local

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// annotationChanged is on the template of a runtime whose code has changed: when it did.
const annotationChanged = "local.agentsession.dev/changed"

// renew makes another version of each runtime: new sessions start with it, and those that
// live keep theirs.
func (p *platform) renew(ctx context.Context, names []string) error {
	change, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{annotationChanged: time.Now().UTC().Format(time.RFC3339Nano)},
	}}}})
	if err != nil {
		return fmt.Errorf("write a version: %w", err)
	}
	what := names[0]
	if len(names) > 1 {
		what = fmt.Sprintf("%s and %d more", what, len(names)-1)
	}
	for _, one := range p.Runtimes {
		agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: one.Namespace, Name: one.Name}}
		err := p.client.Patch(ctx, agent, client.RawPatch(types.MergePatchType, change))
		switch {
		case apierrors.IsNotFound(err) || ctx.Err() != nil: // somebody has deleted it
			continue
		case err != nil:
			return fmt.Errorf("make a version of the runtime %s: %w", one.Name, err)
		}
		p.teller.tell(Event{
			Event: EventVersion, Namespace: agent.Namespace, Runtime: agent.Name, Version: agent.Generation,
			Message: fmt.Sprintf("Version %d: %s changed. New sessions start with it; those that live keep theirs until they stop", agent.Generation, what),
		})
	}
	return nil
}
