package controlplane

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/awswire"
)

// maxResults is how many a list has at most, and if nobody says how many.
const maxResults = 100

// pageOf is the part of a list that a query asks for, and the token of what comes after it;
// empty if nothing does. keyOf is what the list is sorted by.
func pageOf[T any](query url.Values, all []T, keyOf func(T) string) (part []T, next string, err error) {
	most := maxResults
	if asked := query.Get("maxResults"); asked != "" {
		if most, err = strconv.Atoi(asked); err != nil || most < 1 || most > maxResults {
			return nil, "", broken("maxResults", asked, "Member must be from 1 to 100")
		}
	}
	from := 0
	if token := query.Get("nextToken"); token != "" {
		last, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, "", broken("nextToken", token, "Member must be one that this operation has answered")
		}
		from = slices.IndexFunc(all, func(one T) bool { return keyOf(one) > string(last) })
		if from < 0 {
			return []T{}, "", nil
		}
	}
	part = all[from:min(from+most, len(all))]
	if from+most < len(all) {
		next = base64.RawURLEncoding.EncodeToString([]byte(keyOf(part[len(part)-1])))
	}
	return part, next, nil
}

type summaries struct {
	Runtimes []summary `json:"agentRuntimes"`
	Next     string    `json:"nextToken,omitempty"`
}

// list shows runtimes as the cache has them, which may be a moment old.
func (p *Plane) list(ctx context.Context, c *Call) (any, error) {
	var all v1alpha1.AgentRuntimeList
	if err := p.Client.List(ctx, &all, client.InNamespace(c.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list AgentRuntimes: %w", err)
	}
	slices.SortFunc(all.Items, func(a, b v1alpha1.AgentRuntime) int { return cmp.Compare(keyOf(a), keyOf(b)) })
	visible, err := visibleTo(ctx, c, all.Items)
	if err != nil {
		return nil, err
	}
	part, next, err := pageOf(c.Query, visible, keyOf)
	if err != nil {
		return nil, err
	}
	answer := summaries{Runtimes: []summary{}, Next: next}
	for i := range part {
		answer.Runtimes = append(answer.Runtimes, summaryOf(&part[i], newest(&part[i])))
	}
	return answer, nil
}

// maxNamespaces is about how many namespaces the API server is asked for one list.
const maxNamespaces = 100

// visibleTo are those of sorted runtimes that the caller may get. One whose rights the API
// server has to be asked for sees those of the namespaces in which he may get all, as in a
// list of Kubernetes: to ask about each runtime would be a review for each.
func visibleTo(ctx context.Context, c *Call, all []v1alpha1.AgentRuntime) (visible []v1alpha1.AgentRuntime, err error) {
	right := authn.ToControl(authn.VerbGet)
	may := func(agent *v1alpha1.AgentRuntime) (bool, error) { return c.Caller.May(ctx, agent, right) }
	if c.Caller.MayAll != nil {
		if may, err = byNamespace(ctx, c, all, right); err != nil {
			return nil, err
		}
	}
	for i := range all {
		agent := &all[i]
		if agent.Status.AgentRuntimeArn == "" {
			continue // the operator has not seen it yet
		}
		sees, err := may(agent)
		if err != nil {
			return nil, fmt.Errorf("find out whether %s may get %s: %w", c.Caller.Name, agent.Name, err)
		}
		if sees {
			visible = append(visible, *agent)
		}
	}
	return visible, nil
}

// byNamespace asks once for all namespaces, and else once for each.
func byNamespace(ctx context.Context, c *Call, all []v1alpha1.AgentRuntime, right authn.Right) (may func(*v1alpha1.AgentRuntime) (bool, error), err error) {
	mayAll := func(namespace string) (bool, error) {
		allowed, err := c.Caller.MayAll(ctx, namespace, right)
		if err != nil {
			return false, fmt.Errorf("find out whether %s may get the runtimes of the namespace %q: %w", c.Caller.Name, namespace, err)
		}
		return allowed, nil
	}
	everywhere, err := mayAll("")
	if err != nil || everywhere {
		return func(*v1alpha1.AgentRuntime) (bool, error) { return everywhere, nil }, err
	}
	allowed := map[string]bool{}
	for i := range all {
		namespace := all[i].Namespace
		if _, asked := allowed[namespace]; asked {
			continue
		}
		if len(allowed) == maxNamespaces {
			return nil, awswire.Invalid(HeaderNamespace, fmt.Sprintf("Value at '%s' failed to satisfy constraint: Member must not be null: there are runtimes in more than %d namespaces, and the caller may not get those of all of them. Name one namespace", HeaderNamespace, maxNamespaces))
		}
		if allowed[namespace], err = mayAll(namespace); err != nil {
			return nil, err
		}
	}
	return func(agent *v1alpha1.AgentRuntime) (bool, error) { return allowed[agent.Namespace], nil }, nil
}

func keyOf(agent v1alpha1.AgentRuntime) string { return agent.Namespace + "/" + agent.Name }

func (p *Plane) listVersions(ctx context.Context, c *Call) (any, error) {
	agent, err := p.runtime(ctx, c, authn.VerbGet)
	if err != nil {
		return nil, err
	}
	all, err := p.versions(ctx, agent)
	if err != nil {
		return nil, err
	}
	part, next, err := pageOf(c.Query, all, func(v version) string { return fmt.Sprintf("%019d", maxVersion-v.number) })
	if err != nil {
		return nil, err
	}
	answer := summaries{Runtimes: []summary{}, Next: next}
	for _, v := range part {
		answer.Runtimes = append(answer.Runtimes, summaryOf(agent, v))
	}
	return answer, nil
}

// maxVersion is more than any: what is sorted downwards has a key that goes up.
const maxVersion = int64(1) << 60
