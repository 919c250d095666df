package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// authenticate finds out who calls, as far as a request's head shows it.
func (g *Gateway) authenticate(ctx context.Context, r *http.Request, c *call, found []v1alpha1.AgentRuntime) (authn.Proof, error) {
	agent := withAuthorizer(found)
	if agent == nil {
		proof, err := g.Authenticate(ctx, r)
		return proof, refused(err, authn.SchemeBearer)
	}
	proof, err := g.issuers.Of(agent)(ctx, r)
	if err == nil && c.op.right() != authn.ToInvoke {
		return nil, denied("Callers with a token of the runtime's issuer may invoke and stop")
	}
	return proof, refused(err, g.challenge(r, c))
}

// refused is what a caller is told whom nobody knows. challenge tells him where tokens
// are had, if that is what he lacks.
func refused(err error, challenge string) error {
	e, is := errors.AsType[*authn.Error](err)
	if !is {
		return err
	}
	var told *failure
	switch e.Kind {
	case authn.Denied:
		told = denied(e.Message)
	case authn.Unauthorized:
		told = unauthorized(e.Message, challenge)
	case authn.Throttled:
		told = throttled(e.Message)
	case authn.Unknown:
		told = away(e.Message + ", please retry")
	}
	return errors.Join(told, e.Cause)
}

// challenge is what tells a client where tokens are had (RFC 9728, as AgentCore
// has it).
func (g *Gateway) challenge(r *http.Request, c *call) string {
	return `Bearer resource_metadata="` + lifecycle.InvocationsURL(g.reached(r), c.label) + metadataPath + `?qualifier=` + url.QueryEscape(qualifierIn(r)) + `"`
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
	found, err := g.named(r, c)
	if err != nil {
		return err
	}
	agent := withAuthorizer(found)
	if agent == nil {
		return unknownRuntime()
	}
	authorizer := &agent.Spec.AuthorizerConfiguration.CustomJWTAuthorizer
	return writeJSON(w, struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
	}{
		lifecycle.InvocationsURL(g.reached(r), c.label) + "?qualifier=" + url.QueryEscape(qualifierIn(r)),
		[]string{authn.IssuerAt(authorizer.DiscoveryURL)},
		authorizer.AllowedScopes,
		[]string{"header"},
	})
}

// named are the runtimes that a call may mean.
func (g *Gateway) named(r *http.Request, c *call) ([]v1alpha1.AgentRuntime, error) {
	if !c.op.ofRuntime() {
		return nil, nil
	}
	return g.runtimesBy(r.Context(), c.label, r.URL.Query().Get("accountId"))
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
