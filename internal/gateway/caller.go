package gateway

import (
	"context"
	"net/http"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Caller is who calls.
type Caller struct {
	// Name is for the log.
	Name string
	// May tells whether he may call a runtime.
	May func(context.Context, *v1alpha1.AgentRuntime) (bool, error)
}

// Authenticator tells who calls.
type Authenticator func(context.Context, *http.Request, *Payload) (Caller, error)

// anybody may call every runtime.
func anybody(context.Context, *http.Request, *Payload) (Caller, error) {
	return Caller{Name: "anybody", May: func(context.Context, *v1alpha1.AgentRuntime) (bool, error) { return true, nil }}, nil
}

// The schemes of the header Authorization.
const (
	SchemeSigV4  = signingAlgorithm
	SchemeBearer = "Bearer"
)

// ByScheme has callers authenticated by the scheme of their Authorization.
func ByScheme(schemes map[string]Authenticator) Authenticator {
	return func(ctx context.Context, r *http.Request, p *Payload) (Caller, error) {
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		authenticate := schemes[scheme]
		if authenticate == nil || len(r.Header.Values("Authorization")) != 1 {
			return Caller{}, denied("The request must have one Authorization that this gateway knows")
		}
		return authenticate(ctx, r, p)
	}
}
