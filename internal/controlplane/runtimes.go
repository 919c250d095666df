package controlplane

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/awswire"
)

// objectName is the name of the AgentRuntime of an agentRuntimeName, of which Kubernetes
// takes no capitals and no underscores: those become dashes. A name that others would share
// with it by that gets six digits of its own.
func objectName(name string) string {
	plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if plain == strings.ReplaceAll(name, "_", "-") && !strings.HasSuffix(plain, "-") {
		return plain
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(plain[:min(len(plain), 45)], "-") + "-" + hex.EncodeToString(sum[:3])
}

func (p *Plane) create(ctx context.Context, c *Call) (any, error) {
	m, err := membersOf(c.Body, true)
	if err != nil {
		return nil, err
	}
	namespace, err := p.home(c)
	if err != nil {
		return nil, err
	}
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: objectName(m.name)}}
	allowed, err := c.Caller.May(ctx, agent, authn.ToControl(authn.VerbCreate))
	if err != nil {
		return nil, fmt.Errorf("find out whether %s may create %s: %w", c.Caller.Name, agent.Name, err)
	}
	if !allowed {
		return nil, awswire.Denied(fmt.Sprintf("The caller lacks the right to create agentruntimes/control of the name %s in the namespace %s", agent.Name, namespace))
	}
	if err := p.allows(ctx, m); err != nil {
		return nil, err
	}
	p.write(m, &agent.Spec)
	if err := errors.Join(setTags(agent, m.tags), fits(agent)); err != nil {
		return nil, err
	}
	key := client.ObjectKeyFromObject(agent)
	switch err := p.Client.Create(ctx, agent); {
	case apierrors.IsAlreadyExists(err):
		if agent, err = p.sameRequest(ctx, key, m); err != nil {
			return nil, err
		}
	case apierrors.IsNotFound(err):
		return nil, errors.Join(awswire.Invalid(HeaderNamespace, "There is no namespace "+namespace), err)
	case err != nil:
		return nil, fmt.Errorf("create AgentRuntime %s: %w", key, err)
	}
	if agent, err = p.awaitARN(ctx, agent); err != nil {
		return nil, err
	}
	return madeOf(agent, newest(agent)), nil
}

// sameRequest is the runtime that is there, if the same request has made it.
func (p *Plane) sameRequest(ctx context.Context, key client.ObjectKey, m members) (*v1alpha1.AgentRuntime, error) {
	there := &v1alpha1.AgentRuntime{}
	if err := p.Live.Get(ctx, key, there); err != nil {
		return nil, fmt.Errorf("get AgentRuntime %s: %w", key, err)
	}
	if m.repeats(there) && there.Spec.AgentCore.AgentRuntimeName == m.name {
		return there, p.unchanged(ctx, there, m)
	}
	return nil, conflict(fmt.Sprintf("An agent runtime with the name %s already exists (the AgentRuntime %s)", m.name, key))
}

// repeats tells whether the request that made the newest version had the same clientToken.
func (m members) repeats(agent *v1alpha1.AgentRuntime) bool {
	return m.token != "" && agent.Spec.AgentCore != nil && agent.Spec.AgentCore.ClientToken == m.token
}

// unchanged is an error if a request that repeats another asks for something else. What the
// API server would store is compared, with its defaults.
func (p *Plane) unchanged(ctx context.Context, agent *v1alpha1.AgentRuntime, m members) error {
	asked := agent.DeepCopy()
	m.name = nameOf(agent)
	m.applyTo(&asked.Spec)
	if err := p.Client.Patch(ctx, asked, client.MergeFrom(agent), client.DryRunAll); err != nil {
		return fmt.Errorf("compare a request with AgentRuntime %s/%s: %w", agent.Namespace, agent.Name, err)
	}
	if !equality.Semantic.DeepEqual(asked.Spec, agent.Spec) {
		return otherMembers()
	}
	return nil
}

func (p *Plane) get(ctx context.Context, c *Call) (any, error) {
	agent, err := p.runtime(ctx, c, authn.VerbGet)
	if err != nil {
		return nil, err
	}
	v, err := p.version(ctx, agent, c.Query.Get("version"), "agentRuntimeVersion")
	if err != nil {
		return nil, err
	}
	return viewOf(agent, v), nil
}

func (p *Plane) update(ctx context.Context, c *Call) (any, error) {
	m, err := membersOf(c.Body, false)
	if err != nil {
		return nil, err
	}
	agent, err := p.runtime(ctx, c, authn.VerbUpdate)
	if err != nil {
		return nil, err
	}
	err = p.change(ctx, agent, func() error {
		if m.repeats(agent) {
			return p.unchanged(ctx, agent, m)
		}
		return p.renew(ctx, agent, m)
	})
	if err != nil {
		return nil, err
	}
	v := newest(agent)
	answer := madeOf(agent, v)
	answer.UpdatedAt = &v.updated
	return answer, nil
}

// renew writes another version of a runtime.
func (p *Plane) renew(ctx context.Context, agent *v1alpha1.AgentRuntime, m members) error {
	if !expresses(&agent.Spec.Template) {
		return conflict(fmt.Sprintf("The AgentRuntime %s/%s has a template that this API cannot express, as kubectl makes them: what its pods have besides is not for every image. Change it with kubectl", agent.Namespace, agent.Name))
	}
	if err := errors.Join(settled(agent), p.allows(ctx, m)); err != nil {
		return err
	}
	m.name = nameOf(agent)
	m.token = cmp.Or(m.token, string(uuid.NewUUID())) // each update is a version, also one that changes nothing
	p.write(m, &agent.Spec)
	return fits(agent)
}

// write writes the members of a request into a runtime's spec.
func (p *Plane) write(m members, spec *v1alpha1.AgentRuntimeSpec) {
	m.applyTo(spec)
	if p.Validate {
		spec.Validation = v1alpha1.ValidationStart
	}
}

// maxSpec is how large a runtime's spec may be as JSON, in bytes. etcd takes requests of
// 1.5 MiB, in which what the API server notes of the object stands as well.
const maxSpec = 1 << 20

// fits is an error if a runtime is too large to be stored. Of all members only the
// environment can be: each byte of it may be six of JSON.
func fits(agent *v1alpha1.AgentRuntime) error {
	raw, err := json.Marshal(agent.Spec)
	if err != nil {
		return fmt.Errorf("write the spec of AgentRuntime %s/%s: %w", agent.Namespace, agent.Name, err)
	}
	if len(raw) > maxSpec {
		const name = "environmentVariables"
		return awswire.Invalid(name, fmt.Sprintf("Value at '%s' failed to satisfy constraint: all members together must have length less than or equal to %d as JSON, and have %d", name, maxSpec, len(raw)))
	}
	return nil
}

// settled is an error while a runtime may not be changed.
func settled(agent *v1alpha1.AgentRuntime) error {
	switch now := newest(agent); now.status {
	case creating, updating, deleting:
		return conflict("The agent runtime is in the state " + now.status + ", and can be changed when that is over")
	}
	return nil
}

// change decides on a change of a runtime as it is, and writes it. One that others have
// changed meanwhile, such as the operator its status, is decided on anew.
func (p *Plane) change(ctx context.Context, agent *v1alpha1.AgentRuntime, decide func() error) error {
	for tries := 1; ; tries++ {
		base := agent.DeepCopy()
		if err := decide(); err != nil {
			return err
		}
		if equality.Semantic.DeepEqual(base, agent) {
			return nil
		}
		err := p.Client.Patch(ctx, agent, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
		switch {
		case err == nil:
			return nil
		case !apierrors.IsConflict(err) || tries == changeTries:
			return fmt.Errorf("change AgentRuntime %s/%s: %w", agent.Namespace, agent.Name, err)
		}
		fresh, err := p.live(ctx, base)
		if err != nil {
			return err
		}
		*agent = *fresh
	}
}

// changeTries is how often a change is tried that others get ahead of.
const changeTries = 5

func (p *Plane) remove(ctx context.Context, c *Call) (any, error) {
	if version := c.Query.Get("version"); version != "" {
		return nil, conflict(fmt.Sprintf("A version alone, as %.20q, is not deleted here: the ten newest and those that endpoints name are kept, and others go by themselves. Without a version the whole runtime is deleted", version))
	}
	agent, err := p.runtime(ctx, c, authn.VerbDelete)
	if err != nil {
		return nil, err
	}
	if err := p.Client.Delete(ctx, agent, client.Preconditions{UID: &agent.UID}); err != nil {
		return nil, fmt.Errorf("delete AgentRuntime %s/%s: %w", agent.Namespace, agent.Name, err)
	}
	return struct {
		Status string `json:"status"`
		ID     string `json:"agentRuntimeId"`
	}{deleting, agent.Status.AgentRuntimeID}, nil
}
