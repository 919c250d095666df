package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
)

// authenticate finds out who calls, as far as a request's head shows it.
func (g *Gateway) authenticate(ctx context.Context, r *http.Request, c *call, found []v1alpha1.AgentRuntime) (authn.Proof, error) {
	agent := withAuthorizer(found)
	if agent == nil {
		proof, err := g.Authenticate(ctx, r)
		return proof, refused(err)
	}
	proof, err := g.issuers.Of(agent)(ctx, r)
	if err == nil && c.op.right() != authn.ToInvoke {
		return nil, denied("Callers with a token of the runtime's issuer may invoke and stop")
	}
	return proof, refused(err, g.challenge(r, agent)...)
}

// refused is what a caller is told whom nobody knows. The parameters of the challenge tell
// him where tokens are had, if that is what he lacks.
func refused(err error, parameters ...string) error {
	e, is := errors.AsType[*authn.Error](err)
	if !is {
		return err
	}
	var refusal *failure
	switch e.Kind {
	case authn.Denied:
		refusal = denied(e.Message)
	case authn.Unauthorized:
		refusal = unauthorized(e.Message, bearer(parameters))
	case authn.InsufficientScope:
		refusal = denied(e.Message)
		refusal.Challenge = bearer(append([]string{`error="insufficient_scope"`}, parameters...))
	case authn.Throttled:
		refusal = throttled(e.Message)
	case authn.Unknown:
		refusal = away(e.Message + ", please retry")
	}
	return errors.Join(refusal, e.Cause)
}

// bearer is a challenge for tokens.
func bearer(parameters []string) string {
	return strings.TrimSpace(authn.SchemeBearer + " " + strings.Join(parameters, ", "))
}

// challenge is what tells a client where tokens are had, and with which scopes (RFC 9728, 5.1,
// RFC 6750, 3, as AgentCore and MCP have them).
func (g *Gateway) challenge(r *http.Request, agent *v1alpha1.AgentRuntime) []string {
	at, endpoint := g.resource(r)
	parameters := []string{`resource_metadata="` + at + metadataPath + endpoint + `"`}
	if scopes := advertised(&agent.Spec.AuthorizerConfiguration.CustomJWTAuthorizer); len(scopes) > 0 {
		parameters = append(parameters, `scope="`+strings.Join(scopes, " ")+`"`)
	}
	return parameters
}

// advertised are the scopes that clients are told to ask for.
func advertised(authorizer *v1alpha1.CustomJWTAuthorizer) (scopes []string) {
	for _, scope := range authorizer.AllowedScopes {
		scope = cmp.Or(string(authorizer.AdvertisedScopeMapping[scope]), scope)
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// resource is where the runtime of a request is invoked, and the query that names its
// endpoint, both as the caller has written them: clients compare (RFC 9728, 3.3).
func (g *Gateway) resource(r *http.Request) (at, endpoint string) {
	label, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/runtimes/"), "/")
	qualifier := r.URL.Query().Get("qualifier")
	if e, is := sessionEndpointOf(r); is {
		qualifier = e.qualifier
	}
	if qualifier != "" {
		endpoint = "?qualifier=" + url.QueryEscape(qualifier)
	}
	return strings.TrimSuffix(g.reached(r), "/") + "/runtimes/" + label + "/invocations", endpoint
}

// reached is the gateway's own URL, as the caller knows it. What he says of it goes
// to nobody else.
func (g *Gateway) reached(r *http.Request) string {
	if g.PublicURL != "" {
		return g.PublicURL
	}
	scheme := "http"
	if r.Header.Get("X-Forwarded-Proto") == "https" { // what stands before the gateway has TLS
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

const metadataPath = "/.well-known/oauth-protected-resource"

// metadata is GetRuntimeProtectedResourceMetadata, for everybody.
func (g *Gateway) metadata(w http.ResponseWriter, r *http.Request, c *call) error {
	found, err := g.candidates(r, c)
	if err != nil {
		return err
	}
	agent := withAuthorizer(found)
	if agent == nil {
		return unknownRuntime()
	}
	letPageRead(w, r, agent)
	authorizer := &agent.Spec.AuthorizerConfiguration.CustomJWTAuthorizer
	at, endpoint := g.resource(r)
	return writeJSON(w, struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
	}{
		at + endpoint,
		[]string{authn.IssuerAt(authorizer.DiscoveryURL)},
		advertised(authorizer),
		[]string{"header"},
	})
}

// candidates are the runtimes that a call may mean.
func (g *Gateway) candidates(r *http.Request, c *call) ([]v1alpha1.AgentRuntime, error) {
	if !c.op.ofRuntime() {
		return nil, nil
	}
	account := r.URL.Query().Get("accountId")
	if c.op == opPort { // the query is for the server in the session
		account = ""
	}
	return g.runtimesBy(r.Context(), c.label, account)
}

// withAuthorizer is the one of them that has an authorizer of its own.
func withAuthorizer(found []v1alpha1.AgentRuntime) *v1alpha1.AgentRuntime {
	for i := range found {
		if found[i].Spec.AuthorizerConfiguration != nil {
			return &found[i]
		}
	}
	return nil
}
