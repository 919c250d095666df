package controlplane

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
)

// Call is one request.
type Call struct {
	// Operation is its name in AgentCore's model.
	Operation string
	// Resource is what the path names: the id of a runtime, or an ARN. Empty: none.
	Resource string
	// Caller, Query and Body are filled in by who has read the request.
	Caller authn.Caller
	Query  url.Values
	Body   []byte
	// Namespace is the one that the caller names for what he makes; empty: none.
	Namespace string
	// Found are the runtimes that Resource may mean, whoever calls.
	Found []v1alpha1.AgentRuntime

	endpoint string
	serve    func(*Plane, context.Context, *Call) (answer any, err error)
	code     int
}

// operation is one of AgentCore's.
type operation struct {
	name  string
	code  int // of an answer that is no error
	serve func(*Plane, context.Context, *Call) (any, error)
}

// operations are known by their method and path, in which a star stands for a name.
var operations = map[string]operation{
	"PUT runtimes":                          {"CreateAgentRuntime", http.StatusAccepted, (*Plane).create},
	"POST runtimes":                         {"ListAgentRuntimes", http.StatusOK, (*Plane).list},
	"PUT runtimes/*":                        {"UpdateAgentRuntime", http.StatusAccepted, (*Plane).update},
	"GET runtimes/*":                        {"GetAgentRuntime", http.StatusOK, (*Plane).get},
	"DELETE runtimes/*":                     {"DeleteAgentRuntime", http.StatusAccepted, (*Plane).remove},
	"POST runtimes/*/versions":              {"ListAgentRuntimeVersions", http.StatusOK, (*Plane).listVersions},
	"PUT runtimes/*/runtime-endpoints":      {"CreateAgentRuntimeEndpoint", http.StatusAccepted, (*Plane).createEndpoint},
	"POST runtimes/*/runtime-endpoints":     {"ListAgentRuntimeEndpoints", http.StatusOK, (*Plane).listEndpoints},
	"PUT runtimes/*/runtime-endpoints/*":    {"UpdateAgentRuntimeEndpoint", http.StatusAccepted, (*Plane).updateEndpoint},
	"GET runtimes/*/runtime-endpoints/*":    {"GetAgentRuntimeEndpoint", http.StatusOK, (*Plane).getEndpoint},
	"DELETE runtimes/*/runtime-endpoints/*": {"DeleteAgentRuntimeEndpoint", http.StatusAccepted, (*Plane).removeEndpoint},
	"GET tags/*":                            {"ListTagsForResource", http.StatusOK, (*Plane).listTags},
	"POST tags/*":                           {"TagResource", http.StatusNoContent, (*Plane).tag},
	"DELETE tags/*":                         {"UntagResource", http.StatusNoContent, (*Plane).untag},
	"PUT resourcepolicy/*":                  {"PutResourcePolicy", http.StatusCreated, (*Plane).policy},
	"GET resourcepolicy/*":                  {"GetResourcePolicy", http.StatusOK, (*Plane).policy},
	"DELETE resourcepolicy/*":               {"DeleteResourcePolicy", http.StatusNoContent, (*Plane).policy},
}

// Route is the call that a method and a path, as it was sent, ask for; nil if they ask for
// no operation of this plane. No path is one of the data plane's too.
func Route(method, path string) *Call {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	pattern := slices.Clone(parts)
	for i := range parts {
		name, err := url.PathUnescape(parts[i])
		if err != nil || name == "" {
			return nil
		}
		if i == 1 || i == 3 {
			parts[i], pattern[i] = name, "*"
		}
	}
	op, is := operations[method+" "+strings.Join(pattern, "/")]
	if !is {
		return nil
	}
	c := &Call{Operation: op.name, serve: op.serve, code: op.code}
	if len(parts) > 1 {
		c.Resource = parts[1]
	}
	if len(parts) > 3 {
		c.endpoint = parts[3]
	}
	return c
}

// Runtime is the id or the ARN of the runtime that the call is about; empty: none.
func (c *Call) Runtime() string {
	runtime, _, _ := strings.Cut(c.Resource, "/runtime-endpoint/")
	return runtime
}
