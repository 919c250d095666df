package authn

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/util/webhook"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/lru"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// How long an answer of the API server about a caller stands, as the API
// server's own webhooks have it.
const (
	reviewTimeout = 10 * time.Second
	knownTTL      = time.Minute
	refusedTTL    = 10 * time.Second
	allowTTL      = time.Minute
	denyTTL       = 10 * time.Second
)

const (
	// maxTokenBytes is how long a token may be.
	maxTokenBytes = 16 << 10
	// maxKnown is how many good tokens are remembered, and maxRefused how many others:
	// apart, so that no number of these drives out one of those.
	maxKnown   = 10000
	maxRefused = 10000
)

// reviewBackoff is for what a second try may mend.
var reviewBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 3}

// KubernetesTokens authenticates callers by the tokens of the cluster's service
// accounts and users (TokenReview). Who may create agentruntimes/invocations may
// call the runtime, and so on for each Right (SubjectAccessReview). It asks over
// connections of its own.
func KubernetesTokens(config *rest.Config) (Authenticator, error) {
	t, err := newTokens(config)
	if err != nil {
		return nil, err
	}
	return t.authenticate, nil
}

// tokens are those of the cluster. The API server alone can tell which are good.
type tokens struct {
	reviews authenticationclient.TokenReviewInterface
	access  authorizer.Authorizer
	timeout time.Duration // of a review
	issuer  string        // of the gateway's own token; empty if it has none

	asking          singleflight.Group
	cached, refused *lru.Cache // by the token's hash
	likely, others  *budget
}

// cachedUser is whose a token was when the API server was asked last.
type cachedUser struct {
	user *user.DefaultInfo
	at   time.Time
}

func newTokens(config *rest.Config) (*tokens, error) {
	config = separateConfig(config)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make connections for reviews: %w", err)
	}
	reviews, err := authenticationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("make a client for TokenReviews: %w", err)
	}
	access, err := authorizationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("make a client for SubjectAccessReviews: %w", err)
	}
	authorize, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: access, AllowCacheTTL: allowTTL, DenyCacheTTL: denyTTL, WebhookRetryBackoff: &reviewBackoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("make the authorizer: %w", err)
	}
	return &tokens{
		reviews: reviews.TokenReviews(), access: authorize, timeout: reviewTimeout, issuer: issuerIn(config.BearerToken),
		cached: lru.New(maxKnown), refused: lru.New(maxRefused), likely: newBudget(50, 200, 50), others: newBudget(10, 50, 10),
	}, nil
}

// separateConfig is a configuration whose clients share no connection and no rate with others:
// what invented tokens cost must not stand before leases and wakes. client-go shares
// connections between all that dial in the same way.
func separateConfig(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the budgets bound it
	if config.Dial == nil {
		config.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return config
}

// budget bounds what tokens that nobody knows cost the API server.
type budget struct {
	pace *rate.Limiter
	room *semaphore.Weighted
}

func newBudget(perSecond float64, atOnce int, inFlight int64) *budget {
	return &budget{rate.NewLimiter(rate.Limit(perSecond), atOnce), semaphore.NewWeighted(inFlight)}
}

// take has room for a review, until done, or says at once that there is none.
func (b *budget) take() (done func(), ok bool) {
	if !b.room.TryAcquire(1) {
		return nil, false
	}
	done = func() { b.room.Release(1) }
	if !b.pace.Allow() {
		done()
		return nil, false
	}
	return done, true
}

func (t *tokens) authenticate(ctx context.Context, r *http.Request) (Proof, error) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimLeft(token, " ")
	if !mayBeToken(token) {
		return nil, notOfThisCluster(nil)
	}
	who, err := t.userOf(ctx, token)
	if err != nil {
		return nil, err
	}
	r.Header.Del("Authorization")                                  // the agent must not see it
	namespace, _, _ := serviceaccount.SplitUsername(who.GetName()) // users have none
	may := func(ctx context.Context, namespace, name string, right Right) (bool, error) {
		decision, _, err := t.access.Authorize(ctx, authorizer.AttributesRecord{
			User: who, Verb: right.Verb, Namespace: namespace, Name: name, ResourceRequest: true,
			APIGroup: v1alpha1.GroupVersion.Group, APIVersion: v1alpha1.GroupVersion.Version, Resource: "agentruntimes", Subresource: right.Subresource,
		})
		return decision == authorizer.DecisionAllow, err
	}
	return proven(Caller{
		Name: who.GetName(), Namespace: namespace,
		May: func(ctx context.Context, agent *v1alpha1.AgentRuntime, right Right) (bool, error) {
			return may(ctx, agent.Namespace, agent.Name, right)
		},
		MayAll: func(ctx context.Context, namespace string, right Right) (bool, error) {
			return may(ctx, namespace, "", right)
		},
	}), nil
}

func notOfThisCluster(cause error) *Error {
	return unauthorized("The token is not one of this cluster", cause)
}

// mayBeToken tells whether a text can be a token at all. Not all are JWTs: the API
// server may be told to take others, by a webhook or from a file.
func mayBeToken(text string) bool {
	return text != "" && len(text) <= maxTokenBytes && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}

// issuerIn is who has issued a JWT, as it says itself: nothing is verified.
func issuerIn(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var says struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(raw, &says) != nil {
		return ""
	}
	return says.Issuer
}

// userOf tells whose a token is. All who show one at once wait for one answer, each for as
// long as he likes.
func (t *tokens) userOf(ctx context.Context, token string) (user.Info, error) {
	key := hashed(token)
	last, good := t.last(key)
	if good && time.Since(last.at) < knownTTL {
		return last.user, nil
	}
	if at, bad := t.refused.Get(key); bad && time.Since(at.(time.Time)) < refusedTTL { //nolint:forcetypeassert // nothing else is put there
		return nil, notOfThisCluster(errors.New("the API server has refused it a moment ago"))
	}
	answer := t.asking.DoChan(string(key[:]), func() (any, error) {
		if !good { // what was good a while ago was not invented
			done, ok := t.budgetOf(token).take()
			if !ok {
				return nil, &Error{Kind: Throttled, Message: "Too many tokens that were not seen before are being looked at. Please retry."}
			}
			defer done()
		}
		return t.review(context.WithoutCancel(ctx), key, token)
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(user.Info), nil //nolint:forcetypeassert // review returns no other
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// hashed is as what a token is remembered: the memory of the process holds none.
func hashed(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

func (t *tokens) last(key [sha256.Size]byte) (cachedUser, bool) {
	if last, ok := t.cached.Get(key); ok {
		return last.(cachedUser), true //nolint:forcetypeassert // nothing else is put there
	}
	return cachedUser{}, false
}

// budgetOf is what a token's review is taken from. Most good tokens are of the issuer
// that the gateway's own is of; but a cluster may have others, and everybody can write
// its name, so that is no reason to refuse one, nor to trust one.
func (t *tokens) budgetOf(token string) *budget {
	if t.issuer == "" || issuerIn(token) == t.issuer {
		return t.likely
	}
	return t.others
}

// review asks the API server whose a token is, and remembers it.
func (t *tokens) review(ctx context.Context, key [sha256.Size]byte, token string) (who user.Info, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	asked, answer := time.Now(), &authenticationv1.TokenReview{}
	err = webhook.WithExponentialBackoff(ctx, reviewBackoff, func() (err error) {
		answer, err = t.reviews.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
		return err
	}, webhook.DefaultShouldRetry)
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err): // so it is the gateway that may not ask
		return nil, fmt.Errorf("ask whose a token is: %w", err)
	case err != nil:
		return nil, &Error{Kind: Unknown, Message: "It cannot be found out at the moment whose the token is", Cause: err}
	case !answer.Status.Authenticated:
		t.cached.Remove(key)
		t.refused.Add(key, time.Now())
		return nil, notOfThisCluster(errors.New(lifecycle.Printable(answer.Status.Error)))
	}
	said := &answer.Status.User
	last := cachedUser{&user.DefaultInfo{Name: said.Username, UID: said.UID, Groups: said.Groups, Extra: map[string][]string{}}, asked}
	for name, values := range said.Extra {
		last.user.Extra[name] = values
	}
	t.cached.Add(key, last)
	return last.user, nil
}
