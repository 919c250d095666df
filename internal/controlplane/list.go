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
	if err := p.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list AgentRuntimes: %w", err)
	}
	slices.SortFunc(all.Items, func(a, b v1alpha1.AgentRuntime) int { return cmp.Compare(keyOf(a), keyOf(b)) })
	visible := make([]v1alpha1.AgentRuntime, 0, len(all.Items))
	for i := range all.Items {
		agent := &all.Items[i]
		if agent.Status.AgentRuntimeArn == "" {
			continue // the operator has not seen it yet
		}
		may, err := c.Caller.May(ctx, agent, authn.ToControl(authn.VerbGet))
		if err != nil {
			return nil, fmt.Errorf("find out whether %s may get %s: %w", c.Caller.Name, agent.Name, err)
		}
		if may {
			visible = append(visible, *agent)
		}
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
