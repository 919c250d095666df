package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/awswire"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// AnnotationEndpoints has what this API tells of a runtime's endpoints and spec.endpoints
// does not: a JSON object of notes by their names.
const AnnotationEndpoints = "runtime.agentsession.dev/endpoints"

const maxEndpoints = 10

// note is what is kept of an endpoint.
type note struct {
	Description string            `json:"description,omitempty"`
	CreatedAt   metav1.Time       `json:"createdAt,omitzero"`
	UpdatedAt   metav1.Time       `json:"lastUpdatedAt,omitzero"` // zero: it was only created, maybe in this very second
	Tags        map[string]string `json:"tags,omitempty"`
	Token       string            `json:"clientToken,omitempty"`
	// Generation of the runtime with which the endpoint got its version.
	Generation int64 `json:"generation,omitempty"`
}

// notesOf are those of a runtime. What cannot be read is as good as nothing.
func notesOf(agent *v1alpha1.AgentRuntime) map[string]note {
	notes := map[string]note{}
	_ = json.Unmarshal([]byte(agent.Annotations[AnnotationEndpoints]), &notes) // somebody may have written it by hand
	return notes
}

func setNotes(agent *v1alpha1.AgentRuntime, notes map[string]note) error {
	return setAnnotation(agent, AnnotationEndpoints, notes, len(notes) == 0)
}

// endpointView is what this API tells of an endpoint.
type endpointView struct {
	Name        string      `json:"name"`
	Live        string      `json:"liveVersion,omitempty"`
	Target      string      `json:"targetVersion,omitempty"`
	ARN         string      `json:"agentRuntimeEndpointArn"`
	RuntimeARN  string      `json:"agentRuntimeArn"`
	Status      string      `json:"status"`
	Failure     string      `json:"failureReason,omitempty"`
	ID          string      `json:"id"`
	Description string      `json:"description,omitempty"`
	CreatedAt   metav1.Time `json:"createdAt"`
	UpdatedAt   metav1.Time `json:"lastUpdatedAt"`
}

// endpointsOf are all of a runtime, by their names.
func (p *Plane) endpointsOf(ctx context.Context, agent *v1alpha1.AgentRuntime) ([]endpointView, error) {
	revisions, err := p.revisions(ctx, agent)
	if err != nil {
		return nil, err
	}
	there := []int64{agent.Generation}
	for i := range revisions {
		there = append(there, revisions[i].Revision)
	}
	views := []endpointView{defaultEndpoint(agent)}
	for _, e := range agent.Spec.Endpoints {
		views = append(views, endpointOf(agent, e, there))
	}
	slices.SortFunc(views, func(a, b endpointView) int { return cmp.Compare(a.Name, b.Name) })
	return views, nil
}

// defaultEndpoint follows the newest version.
func defaultEndpoint(agent *v1alpha1.AgentRuntime) endpointView {
	now := newest(agent)
	view := readyEndpoint(agent, v1alpha1.DefaultQualifier)
	view.UpdatedAt, view.Status, view.Failure = now.updated, now.status, now.failure
	view.Target = now.String()
	if known := agent.Status.Artifact; known != nil {
		view.Live = strconv.FormatInt(known.Version, 10)
	}
	if agent.Spec.Validation == v1alpha1.ValidationStart {
		view.Live = ""
		if live := lifecycle.DefaultVersion(agent); live > 0 {
			view.Live = strconv.FormatInt(live, 10)
		}
	}
	return view
}

// endpointOf is one that pins a version, of those that are there.
func endpointOf(agent *v1alpha1.AgentRuntime, e v1alpha1.RuntimeEndpoint, there []int64) endpointView {
	view := readyEndpoint(agent, e.Name)
	view.Target = strconv.FormatInt(e.Version, 10)
	noted := notesOf(agent)[e.Name]
	changed := noted.Generation
	switch {
	case agent.DeletionTimestamp != nil:
		view.Status = deleting
	case !slices.Contains(there, e.Version):
		view.Status, view.Failure = createFailed, lifecycle.NoVersion(e.Version, agent.Generation, there)
	case agent.Status.AgentRuntimeVersion < changed && noted.UpdatedAt.IsZero():
		view.Status = creating
	case agent.Status.AgentRuntimeVersion < changed:
		view.Status = updating
	default:
		view.Live = view.Target
	}
	return view
}

// readyEndpoint is an endpoint that is ready, without its versions.
func readyEndpoint(agent *v1alpha1.AgentRuntime, name string) endpointView {
	_, own, _ := strings.Cut(agent.Status.AgentRuntimeID, "-")
	noted := notesOf(agent)[name]
	view := endpointView{
		Name: name, ARN: agent.Status.AgentRuntimeArn + "/runtime-endpoint/" + name, RuntimeARN: agent.Status.AgentRuntimeArn, ID: name + "-" + own,
		Status: ready, Description: noted.Description, CreatedAt: noted.CreatedAt, UpdatedAt: noted.UpdatedAt,
	}
	if view.CreatedAt.IsZero() { // kubectl has made it, or it is DEFAULT
		view.CreatedAt, view.UpdatedAt = agent.CreationTimestamp, agent.CreationTimestamp
	}
	if view.UpdatedAt.IsZero() {
		view.UpdatedAt = view.CreatedAt
	}
	return view
}

// endpoint is the one that a call names.
func (p *Plane) endpoint(ctx context.Context, agent *v1alpha1.AgentRuntime, name string) (endpointView, error) {
	all, err := p.endpointsOf(ctx, agent)
	if err != nil {
		return endpointView{}, err
	}
	if i := slices.IndexFunc(all, func(e endpointView) bool { return e.Name == name }); i >= 0 {
		return all[i], nil
	}
	return endpointView{}, noEndpoint(name)
}

func noEndpoint(name string) error {
	return awswire.NotFound(fmt.Sprintf("The agent runtime has no endpoint %.60q", name))
}

func (p *Plane) getEndpoint(ctx context.Context, c *Call) (any, error) {
	agent, err := p.runtime(ctx, c, authn.VerbGet)
	if err != nil {
		return nil, err
	}
	return p.endpoint(ctx, agent, c.endpoint)
}

func (p *Plane) listEndpoints(ctx context.Context, c *Call) (any, error) {
	agent, err := p.runtime(ctx, c, authn.VerbGet)
	if err != nil {
		return nil, err
	}
	all, err := p.endpointsOf(ctx, agent)
	if err != nil {
		return nil, err
	}
	part, next, err := pageOf(c.Query, all, func(e endpointView) string { return e.Name })
	if err != nil {
		return nil, err
	}
	return struct {
		Endpoints []endpointView `json:"runtimeEndpoints"`
		Next      string         `json:"nextToken,omitempty"`
	}{part, next}, nil
}

// endpointMembers are those of CreateAgentRuntimeEndpoint and UpdateAgentRuntimeEndpoint.
type endpointMembers struct {
	name, version, description, token string
	tags                              map[string]string
	given                             []string
}

func endpointMembersOf(body []byte, creates bool) (m endpointMembers, err error) {
	into := map[string]any{"agentRuntimeVersion": &m.version, "description": &m.description, "clientToken": &m.token}
	if creates {
		into["name"], into["tags"] = &m.name, (*texts)(&m.tags)
	}
	if m.given, err = readObject(body, into); err != nil {
		return m, err
	}
	length := utf8.RuneCountInString(m.description)
	switch {
	case creates && !isName.MatchString(m.name):
		return m, broken("name", m.name, "Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,47}")
	case length > 256 || length == 0 && slices.Contains(m.given, "description"):
		return m, awswire.Invalid("description", "Value at 'description' failed to satisfy constraint: Member must have length from 1 to 256")
	}
	if err := checkToken(m.token); err != nil {
		return m, err
	}
	return m, checkTags(m.tags)
}

// repeats tells whether the request that was the last to change an endpoint had the same
// clientToken.
func (n note) repeats(m endpointMembers) bool { return m.token != "" && n.Token == m.token }

// unchanged is an error if a request that repeats another asks for something else.
func (m endpointMembers) unchanged(agent *v1alpha1.AgentRuntime, name string) error {
	pinned := strconv.FormatInt(lifecycle.VersionAt(agent.Spec.Endpoints, name, 0), 10)
	noted := notesOf(agent)[name]
	if cmp.Or(m.version, pinned) != pinned || cmp.Or(m.description, noted.Description) != noted.Description {
		return otherMembers()
	}
	return nil
}

// endpointMade is what the operations that change an endpoint answer.
type endpointMade struct {
	Live       string       `json:"liveVersion,omitempty"`
	Target     string       `json:"targetVersion"`
	ARN        string       `json:"agentRuntimeEndpointArn"`
	RuntimeARN string       `json:"agentRuntimeArn"`
	Status     string       `json:"status"`
	CreatedAt  metav1.Time  `json:"createdAt"`
	UpdatedAt  *metav1.Time `json:"lastUpdatedAt,omitempty"`
	ID         string       `json:"agentRuntimeId,omitempty"`
	Name       string       `json:"endpointName,omitempty"`
}

func (p *Plane) createEndpoint(ctx context.Context, c *Call) (any, error) {
	m, err := endpointMembersOf(c.Body, true)
	if err != nil {
		return nil, err
	}
	agent, err := p.runtime(ctx, c, authn.VerbUpdate)
	if err != nil {
		return nil, err
	}
	err = p.change(ctx, agent, func() error {
		notes := notesOf(agent)
		if lifecycle.VersionAt(agent.Spec.Endpoints, m.name, 1) != 0 {
			if notes[m.name].repeats(m) {
				return m.unchanged(agent, m.name)
			}
			return conflict("An endpoint with the name " + m.name + " already exists")
		}
		if len(agent.Spec.Endpoints) >= maxEndpoints {
			return awswire.OverQuota(fmt.Sprintf("A runtime has %d endpoints beside DEFAULT at most", maxEndpoints))
		}
		number, err := p.pinned(ctx, agent, m.version)
		if err != nil {
			return err
		}
		agent.Spec.Endpoints = append(agent.Spec.Endpoints, v1alpha1.RuntimeEndpoint{Name: m.name, Version: number})
		notes[m.name] = note{Description: m.description, CreatedAt: metav1.Now().Rfc3339Copy(), Tags: m.tags, Token: m.token, Generation: agent.Generation + 1}
		return setNotes(agent, notes)
	})
	if err != nil {
		return nil, err
	}
	made, err := p.endpointMade(ctx, agent, m.name)
	made.ID, made.Name, made.Live, made.UpdatedAt = agent.Status.AgentRuntimeID, m.name, "", nil
	return made, err
}

func (p *Plane) endpointMade(ctx context.Context, agent *v1alpha1.AgentRuntime, name string) (endpointMade, error) {
	view, err := p.endpoint(ctx, agent, name)
	return endpointMade{
		Live: view.Live, Target: view.Target, ARN: view.ARN, RuntimeARN: view.RuntimeARN, Status: view.Status, CreatedAt: view.CreatedAt, UpdatedAt: &view.UpdatedAt,
	}, err
}

// pinned is the number of the version that an endpoint is to pin: the newest if none is asked.
func (p *Plane) pinned(ctx context.Context, agent *v1alpha1.AgentRuntime, asked string) (int64, error) {
	if err := settled(agent); err != nil {
		return 0, err
	}
	v, err := p.version(ctx, agent, asked, "agentRuntimeVersion")
	return v.number, err
}

func (p *Plane) updateEndpoint(ctx context.Context, c *Call) (any, error) {
	m, err := endpointMembersOf(c.Body, false)
	if err != nil {
		return nil, err
	}
	agent, err := p.runtime(ctx, c, authn.VerbUpdate)
	if err != nil {
		return nil, err
	}
	err = p.change(ctx, agent, func() error {
		i, err := ownEndpoint(agent, c.endpoint)
		if err != nil {
			return err
		}
		notes := notesOf(agent)
		noted := notes[c.endpoint]
		if noted.repeats(m) {
			return m.unchanged(agent, c.endpoint)
		}
		if noted.CreatedAt.IsZero() {
			noted.CreatedAt = agent.CreationTimestamp
		}
		noted.UpdatedAt, noted.Token, noted.Description = metav1.Now().Rfc3339Copy(), m.token, cmp.Or(m.description, noted.Description)
		if m.version != "" {
			number, err := p.pinned(ctx, agent, m.version)
			if err != nil {
				return err
			}
			if number != agent.Spec.Endpoints[i].Version {
				agent.Spec.Endpoints[i].Version, noted.Generation = number, agent.Generation+1
			}
		}
		notes[c.endpoint] = noted
		return setNotes(agent, notes)
	})
	if err != nil {
		return nil, err
	}
	return p.endpointMade(ctx, agent, c.endpoint)
}

// ownEndpoint is where an endpoint is in spec, that is not DEFAULT.
func ownEndpoint(agent *v1alpha1.AgentRuntime, name string) (int, error) {
	if name == v1alpha1.DefaultQualifier {
		return 0, conflict("The endpoint DEFAULT follows the newest version, and can neither be changed nor deleted")
	}
	i := slices.IndexFunc(agent.Spec.Endpoints, func(e v1alpha1.RuntimeEndpoint) bool { return e.Name == name })
	if i < 0 {
		return 0, noEndpoint(name)
	}
	return i, nil
}

func (p *Plane) removeEndpoint(ctx context.Context, c *Call) (any, error) {
	agent, err := p.runtime(ctx, c, authn.VerbUpdate)
	if err != nil {
		return nil, err
	}
	err = p.change(ctx, agent, func() error {
		i, err := ownEndpoint(agent, c.endpoint)
		if err != nil {
			return err
		}
		agent.Spec.Endpoints = slices.Delete(agent.Spec.Endpoints, i, i+1)
		notes := notesOf(agent)
		delete(notes, c.endpoint)
		return setNotes(agent, notes)
	})
	if err != nil {
		return nil, err
	}
	return struct {
		Status string `json:"status"`
		ID     string `json:"agentRuntimeId"`
		Name   string `json:"endpointName"`
	}{deleting, agent.Status.AgentRuntimeID, c.endpoint}, nil
}
