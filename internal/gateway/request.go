package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// IDIndex finds runtimes by the id in their status.
const IDIndex = "status.agentRuntimeId"

// IDOf is the value of IDIndex.
func IDOf(object client.Object) []string {
	if agent, ok := object.(*v1alpha1.AgentRuntime); ok && lifecycle.IsNamed(agent, agent.Status.AgentRuntimeID) {
		return []string{agent.Status.AgentRuntimeID}
	}
	return nil
}

// runtime finds the one that a request names by its ARN, by its id, or by its
// namespace and name. One that the caller may not call is not there for him.
func (g *Gateway) runtime(ctx context.Context, caller authn.Caller, right authn.Right, label, account string) (*v1alpha1.AgentRuntime, error) {
	found, err := g.runtimesBy(ctx, label, account)
	if err != nil {
		return nil, err
	}
	return permitted(ctx, caller, right, found)
}

// permitted is the first that the caller has a right to. One that he may invoke only
// is denied him, not hidden.
func permitted(ctx context.Context, caller authn.Caller, right authn.Right, found []v1alpha1.AgentRuntime) (*v1alpha1.AgentRuntime, error) {
	refusal := unknownRuntime()
	for i := range found {
		for _, r := range []authn.Right{right, authn.ToInvoke} {
			may, err := caller.May(ctx, &found[i], r)
			switch {
			case err != nil:
				return nil, fmt.Errorf("find out whether %s may call %s: %w", caller.Name, found[i].Name, err)
			case may && r == right:
				return &found[i], nil
			case may:
				refusal = denied(fmt.Sprintf("The caller may invoke the runtime, and lacks the right to %s agentruntimes/%s", right.Verb, right.Subresource))
			}
		}
	}
	return nil, refusal
}

// runtimesBy finds those that a request may mean, whoever sends it. What the cache does
// not show may have been made a moment ago.
func (g *Gateway) runtimesBy(ctx context.Context, label, account string) (found []v1alpha1.AgentRuntime, err error) {
	if namespace, name, ok := strings.Cut(label, "/"); ok && !strings.HasPrefix(label, "arn:") {
		found, err = g.runtimeNamed(ctx, client.ObjectKey{Namespace: namespace, Name: name})
	} else {
		found, err = g.runtimesWithID(ctx, label)
	}
	if err == nil && len(found) == 0 {
		found, err = g.runtimesLive(ctx, label)
	}
	if err != nil && !refuses(err) {
		return nil, fmt.Errorf("find AgentRuntime %s: %w", label, err)
	}
	return slices.DeleteFunc(found, func(agent v1alpha1.AgentRuntime) bool {
		return account != "" && !strings.Contains(agent.Status.AgentRuntimeArn, ":"+account+":")
	}), err
}

// runtimesLive finds them at the API server.
func (g *Gateway) runtimesLive(ctx context.Context, label string) (found []v1alpha1.AgentRuntime, err error) {
	all, err := g.runtimes.at(ctx, struct{}{})
	for i := range all {
		if agent := &all[i]; label == agent.Namespace+"/"+agent.Name || lifecycle.IsNamed(agent, label) {
			found = append(found, *agent)
		}
	}
	return found, err
}

func unknownRuntime() *failure {
	return notFound("No endpoint or agent found with the qualifier and the agentRuntimeArn that were given")
}

func (g *Gateway) runtimeNamed(ctx context.Context, key client.ObjectKey) ([]v1alpha1.AgentRuntime, error) {
	var agent v1alpha1.AgentRuntime
	if err := g.Client.Get(ctx, key, &agent); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return []v1alpha1.AgentRuntime{agent}, nil
}

// runtimesWithID finds by an ARN or an id.
func (g *Gateway) runtimesWithID(ctx context.Context, label string) ([]v1alpha1.AgentRuntime, error) {
	_, id, _ := strings.Cut(label, ":runtime/")
	var list v1alpha1.AgentRuntimeList
	if err := g.Client.List(ctx, &list, client.MatchingFields{IDIndex: cmp.Or(id, label)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(agent v1alpha1.AgentRuntime) bool {
		return !lifecycle.IsNamed(&agent, label)
	}), nil
}

// checkEndpoint is an error if a runtime has no endpoint of a name.
func checkEndpoint(agent *v1alpha1.AgentRuntime, qualifier string) error {
	if lifecycle.VersionAt(agent.Spec.Endpoints, qualifier, agent.Generation) == 0 {
		return unknownRuntime()
	}
	return nil
}

func qualifierIn(r *http.Request) string {
	return cmp.Or(r.URL.Query().Get("qualifier"), v1alpha1.DefaultQualifier)
}

// address reads which session of its runtime a request is for.
func (g *Gateway) address(r *http.Request, c *call) (err error) {
	if c.op == opPort {
		return g.addressEndpoint(r, c)
	}
	qualifier := qualifierIn(r)
	if err := g.check(r.Context(), c.runtime, func(agent *v1alpha1.AgentRuntime) error { return checkEndpoint(agent, qualifier) }); err != nil {
		return err
	}
	c.qualifier = qualifier
	if c.any, err = routes(r, c.op); err != nil {
		return err
	}
	c.session, err = sessionIDOf(r, c)
	return err
}

// AgentCore's bounds of a session's id.
const (
	minSessionID = 33
	maxSessionID = 256
)

// sessionIDOf is the session that a request names; AgentCore makes a name up for
// an invocation without one.
func sessionIDOf(r *http.Request, c *call) (string, error) {
	given := givenIDs(r, c)
	switch {
	case len(given) > 1:
		return "", badSessionID("Member must be given once")
	case len(given) == 0 && c.op == opStop:
		return "", badSessionID("Member must not be null")
	case len(given) == 0 && c.op == opCard:
		return "agent-card-" + string(c.runtime.UID), nil // or every look would start a compute
	case len(given) == 0 && c.op == opInvoke && !c.any && c.anySession(r):
		c.any, c.nameless = true, true
		return "", nil // until it has one
	case len(given) == 0:
		return string(uuid.NewUUID()), nil
	}
	if err := checkSessionID(given[0]); err != nil {
		return "", err
	}
	return given[0], nil
}

// givenIDs are those that a request has. A session of an MCP server is named by MCP's
// own header, if it is there: AWS's clients make an id of the other kind up if they
// have none. An endpoint may pin a version that speaks MCP whatever the newest does,
// so an id that only an MCP server's session has is one. Browsers cannot set headers
// on a WebSocket, so /ws takes an id from the query too.
func givenIDs(r *http.Request, c *call) []string {
	if mcp := r.Header.Values(contract.HeaderMCPSessionID); len(mcp) > 0 && mcp[0] != "" {
		session, state := splitMCP(mcp[0])
		if state.id != "" || c.runtime.Spec.ProtocolConfiguration.ServerProtocol == v1alpha1.ProtocolMCP {
			c.mcp, c.inMCP = state, true
			return append([]string{session}, mcp[1:]...)
		}
	}
	given := r.Header.Values(contract.HeaderSessionID)
	if len(given) == 0 && c.op.opensSocket() {
		given = r.URL.Query()[contract.HeaderSessionID]
	}
	return given
}

func checkSessionID(id string) error {
	switch {
	case len(id) < minSessionID:
		return badSessionID(fmt.Sprintf("Member must have length greater than or equal to %d", minSessionID))
	case len(id) > maxSessionID:
		return badSessionID(fmt.Sprintf("Member must have length less than or equal to %d", maxSessionID))
	case !isVisible(id):
		return badSessionID("Member must hold printable ASCII without spaces")
	}
	return nil
}

// isVisible tells whether a text is printable ASCII without spaces.
func isVisible(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}

func badSessionID(rule string) error {
	return invalid("runtimeSessionId", "Value at 'runtimeSessionId' failed to satisfy constraint: "+rule)
}
