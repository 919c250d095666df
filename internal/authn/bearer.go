package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/client-go/rest"
)

type bearerKey struct{}

// WithBearer is a context in which clients of AsBearer act as the bearer of a token.
func WithBearer(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, bearerKey{}, token)
}

// BearerIn is the token of WithBearer; empty if there is none.
func BearerIn(ctx context.Context) string {
	token, _ := ctx.Value(bearerKey{}).(string)
	return token
}

// AsBearer is a configuration for clients that have no right of their own: each request is one
// of the bearer in its context, and fails without one.
func AsBearer(config *rest.Config) *rest.Config {
	config = separateConfig(rest.AnonymousClientConfig(config))
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return asBearer{next} })
	return config
}

type asBearer struct{ next http.RoundTripper }

// RoundTrip sends a request as the bearer's.
func (a asBearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token := BearerIn(r.Context())
	if !mayBeToken(token) {
		return nil, errors.New("the request is nobody's: its context has no bearer")
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", SchemeBearer+" "+token)
	answer, err := a.next.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("ask as the caller: %w", err)
	}
	return answer, nil
}
