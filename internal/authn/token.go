package authn

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// How long an answer of the API server about a caller stands, as the API
// server's own webhooks have it.
const (
	reviewTimeout = 10 * time.Second
	tokenTTL      = time.Minute
	allowTTL      = time.Minute
	denyTTL       = 10 * time.Second
)

// KubernetesTokens authenticates callers by the tokens of the cluster's service
// accounts and users (TokenReview). Who may create agentruntimes/invocations may
// call the runtime, and so on for each Right (SubjectAccessReview).
func KubernetesTokens(config *rest.Config, client *http.Client) (Authenticator, error) {
	reviews, err := authenticationv1.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("make a client for TokenReviews: %w", err)
	}
	access, err := authorizationv1.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("make a client for SubjectAccessReviews: %w", err)
	}
	backoff := &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 3}
	authenticate, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous: &apiserver.AnonymousAuthConfig{Enabled: false}, CacheTTL: tokenTTL,
		TokenAccessReviewClient: reviews, TokenAccessReviewTimeout: reviewTimeout, WebhookRetryBackoff: backoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("make the authenticator: %w", err)
	}
	authorize, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: access, AllowCacheTTL: allowTTL, DenyCacheTTL: denyTTL, WebhookRetryBackoff: backoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("make the authorizer: %w", err)
	}
	return func(_ context.Context, r *http.Request) (Proof, error) {
		// It takes the header off, which the agent must not see anyway.
		who, known, err := authenticate.AuthenticateRequest(r)
		if err != nil || !known {
			// The API server says of a bad token what it says when it cannot be asked: an error.
			return nil, unauthorized("The token is not one of this cluster", err)
		}
		may := func(ctx context.Context, agent *v1alpha1.AgentRuntime, right Right) (bool, error) {
			decision, _, err := authorize.Authorize(ctx, authorizer.AttributesRecord{
				User: who.User, Verb: right.Verb, Namespace: agent.Namespace, Name: agent.Name, ResourceRequest: true,
				APIGroup: v1alpha1.GroupVersion.Group, APIVersion: v1alpha1.GroupVersion.Version, Resource: "agentruntimes", Subresource: right.Subresource,
			})
			return decision == authorizer.DecisionAllow, err
		}
		return proven(Caller{Name: who.User.GetName(), May: may}), nil
	}, nil
}
