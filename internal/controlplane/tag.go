package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/awswire"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// tagged is the runtime of which, or of an endpoint of which, a call's ARN is.
func (p *Plane) tagged(ctx context.Context, c *Call, verb string) (agent *v1alpha1.AgentRuntime, endpoint string, err error) {
	if !strings.HasPrefix(c.Resource, "arn:") {
		return nil, "", broken("resourceArn", c.Resource, "Member must be the ARN of a runtime or of an endpoint of one")
	}
	if agent, err = p.runtime(ctx, c, verb); err != nil {
		return nil, "", err
	}
	_, endpoint, _ = strings.Cut(c.Resource, "/runtime-endpoint/")
	return agent, endpoint, nil
}

// tagsOf are those of a runtime, or of an endpoint of it.
func tagsOf(agent *v1alpha1.AgentRuntime, endpoint string) (map[string]string, error) {
	tags := map[string]string{}
	if endpoint == "" {
		_ = json.Unmarshal([]byte(agent.Annotations[AnnotationTags]), &tags) // somebody may have written it by hand
		return tags, nil
	}
	if lifecycle.VersionAt(agent.Spec.Endpoints, endpoint, 1) == 0 {
		return nil, noEndpoint(endpoint)
	}
	maps.Copy(tags, notesOf(agent)[endpoint].Tags)
	return tags, nil
}

func (p *Plane) listTags(ctx context.Context, c *Call) (any, error) {
	agent, endpoint, err := p.tagged(ctx, c, authn.VerbGet)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(agent, endpoint)
	return struct {
		Tags map[string]string `json:"tags"`
	}{tags}, err
}

// retag changes tags.
func (p *Plane) retag(ctx context.Context, c *Call, change func(map[string]string)) error {
	agent, endpoint, err := p.tagged(ctx, c, authn.VerbUpdate)
	if err != nil {
		return err
	}
	return p.change(ctx, agent, func() error {
		tags, err := tagsOf(agent, endpoint)
		if err != nil {
			return err
		}
		change(tags)
		if len(tags) > maxTags {
			return awswire.OverQuota(fmt.Sprintf("A resource has %d tags at most", maxTags))
		}
		if endpoint == "" {
			return setTags(agent, tags)
		}
		notes := notesOf(agent)
		noted := notes[endpoint]
		noted.Tags = tags
		notes[endpoint] = noted
		return setNotes(agent, notes)
	})
}

func (p *Plane) tag(ctx context.Context, c *Call) (any, error) {
	var tags map[string]string
	if _, err := readObject(c.Body, map[string]any{"tags": (*texts)(&tags)}); err != nil {
		return nil, err
	}
	if tags == nil {
		return nil, missing("tags")
	}
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	return nil, p.retag(ctx, c, func(all map[string]string) { maps.Copy(all, tags) })
}

func (p *Plane) untag(ctx context.Context, c *Call) (any, error) {
	return nil, p.retag(ctx, c, func(all map[string]string) {
		for _, key := range c.Query["tagKeys"] {
			delete(all, key)
		}
	})
}

// policy refuses resource policies: one that is stored and not enforced is worse than none.
func (p *Plane) policy(ctx context.Context, c *Call) (any, error) {
	if _, _, err := p.tagged(ctx, c, authn.VerbGet); err != nil {
		return nil, err
	}
	if c.Operation != "PutResourcePolicy" {
		return nil, awswire.NotFound("There is no resource policy: none can be put here")
	}
	return nil, awswire.Invalid("policy", "Value at 'policy' is not supported: resource policies are not enforced here; who may call a runtime is said by access keys, by RBAC on agentruntimes/invocations, and by the runtime's authorizerConfiguration")
}
