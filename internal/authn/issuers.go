package authn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"k8s.io/utils/lru"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// maxIssuers is how many issuers are remembered.
	maxIssuers = 1000
	// issuerTimeout is for one document of an issuer, and issuerBytes its size.
	issuerTimeout = 10 * time.Second
	issuerBytes   = 1 << 20
	// issuerPause is between two tries to reach an issuer that was not there.
	issuerPause = 10 * time.Second
)

// Issuers verify the tokens of runtimes with an authorizer. What they ask for is
// where tenants say, so it is asked for with care.
type Issuers struct {
	transport http.RoundTripper
	byURL     *lru.Cache // by the URL of their discovery
}

// NewIssuers makes those of a gateway. Without a transport they are asked as they should
// be.
func NewIssuers(transport http.RoundTripper, allowLoopback bool) *Issuers {
	if transport == nil {
		transport = newOutward(http.ProxyFromEnvironment, allowLoopback)
	}
	return &Issuers{transport, lru.New(maxIssuers)}
}

// issuer is one. It is discovered once, when it is needed; its keys are asked for
// again when a token names one that is not known.
type issuer struct {
	url    string // of its discovery
	client *http.Client
	asking singleflight.Group
	last   atomic.Pointer[discovery]
}

// discovery is what an issuer was found to be.
type discovery struct {
	issuer   string
	verifier *oidc.IDTokenVerifier
	err      error
	at       time.Time
}

// isFresh is false if it is time to ask again.
func (d *discovery) isFresh() bool {
	return d != nil && (d.err == nil || time.Since(d.at) < issuerPause)
}

func (i *Issuers) at(url string) *issuer {
	if known, ok := i.byURL.Get(url); ok {
		return known.(*issuer) //nolint:forcetypeassert // nothing else is put there
	}
	one := &issuer{url: url, client: &http.Client{
		Transport:     &limitedTransport{i.transport, rate.NewLimiter(rate.Every(time.Second), 5)},
		Timeout:       issuerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("an issuer must not redirect") },
	}}
	i.byURL.Add(url, one)
	return one
}

// limitedTransport asks seldom, over https, and takes little.
type limitedTransport struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

func (s *limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("an issuer must be asked over https")
	}
	// Tokens that name unknown keys wait, all for one answer.
	if err := s.limit.Wait(r.Context()); err != nil {
		return nil, fmt.Errorf("ask the issuer: %w", err)
	}
	answer, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, issuerBytes), answer.Body}
	return answer, nil
}

// What is wrong with a token, for its bearer. What was found out of it goes into the log.
const (
	notReached = "The runtime's issuer could not be asked for what its tokens are verified with"
	notSigned  = "The token is not one that the runtime's issuer has signed"
	notMeant   = "The token is not meant for the runtime: "
)

// verify returns what a token claims, if the issuer signed it, and who that is.
func (i *issuer) verify(ctx context.Context, token string) (claims *oidc.IDToken, issuer, wrong string, err error) {
	found, err := i.discover(ctx)
	if err != nil {
		return nil, "", notReached, err
	}
	claims, err = found.verifier.Verify(ctx, token)
	if err != nil { // it may hold all that the issuer answered
		return nil, "", notSigned, errors.New(lifecycle.Printable(err.Error()))
	}
	return claims, found.issuer, "", nil
}

// discover returns what verifies the issuer's tokens. All who need it at once wait
// for one answer, each for as long as he likes.
func (i *issuer) discover(ctx context.Context) (*discovery, error) {
	if last := i.last.Load(); last.isFresh() {
		return last, last.err
	}
	done := i.asking.DoChan("", func() (any, error) {
		if !i.last.Load().isFresh() {
			i.last.Store(i.ask(context.WithoutCancel(ctx)))
		}
		return nil, nil
	})
	select {
	case <-done:
		last := i.last.Load()
		return last, last.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// wellKnown splits the URL of an issuer's metadata: OpenID Connect's, or OAuth's (RFC 8414).
var wellKnown = regexp.MustCompile(`^(.+)/\.well-known/(openid-configuration|oauth-authorization-server)(/.+)?$`)

// IssuerAt is the issuer whose metadata is at a discovery URL: the URL without what is well
// known of it. RFC 8414 puts that before the issuer's path, OpenID Connect behind it.
func IssuerAt(discoveryURL string) string { return wellKnown.ReplaceAllString(discoveryURL, "$1$3") }

// isOAuth tells whether a discovery URL is one of RFC 8414.
func isOAuth(discoveryURL string) bool {
	parts := wellKnown.FindStringSubmatch(discoveryURL)
	return parts != nil && parts[2] == "oauth-authorization-server"
}

// metadata is what is read of an issuer's.
type metadata struct {
	Issuer     string   `json:"issuer"`
	Keys       string   `json:"jwks_uri"`
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
}

// check tells what is wrong with metadata that were at a URL, which the owner of the runtime
// trusts. OpenID Connect's may name an issuer at another one, as Entra's do for its v1.0 tokens,
// which are of https://sts.windows.net. OAuth's may not (RFC 8414, 3.3), but for a slash at its
// end, which is not in the URL.
func (m *metadata) check(url string) error {
	switch here := IssuerAt(url); {
	case m.Issuer == "" || m.Keys == "":
		return errors.New("the document has no issuer or no jwks_uri")
	case isOAuth(url) && strings.TrimSuffix(m.Issuer, "/") != strings.TrimSuffix(here, "/"):
		return fmt.Errorf("the document is of the issuer %q, and must be of %q (RFC 8414, 3.3)", m.Issuer, here)
	}
	return nil
}

// algorithms are those that the issuer may sign with; none stands for RS256. OAuth's metadata
// have no such list.
func (m *metadata) algorithms(url string) []string {
	if m.Algorithms == nil && isOAuth(url) {
		return signatures
	}
	return slices.DeleteFunc(m.Algorithms, func(name string) bool { return !slices.Contains(signatures, name) })
}

// ask reads the metadata at the issuer's discovery URL.
func (i *issuer) ask(ctx context.Context) *discovery {
	var says metadata
	err := i.get(ctx, &says)
	if err == nil {
		err = says.check(i.url)
	}
	if err != nil { // it may hold all that the issuer answered
		return &discovery{err: fmt.Errorf("discover the issuer at %s: %s", i.url, lifecycle.Printable(err.Error())), at: time.Now()}
	}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), i.client), says.Keys)
	return &discovery{issuer: says.Issuer, verifier: oidc.NewVerifier(says.Issuer, keys, &oidc.Config{
		SupportedSigningAlgs: says.algorithms(i.url),
		SkipClientIDCheck:    true, SkipExpiryCheck: true, SkipIssuerCheck: true, // refusal looks
	})}
}

// signatures are those that an issuer may use: no secret that both sides have.
var signatures = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

func (i *issuer) get(ctx context.Context, document any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url, nil)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	answer, err := i.client.Do(r)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read, or is of no use
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d", answer.StatusCode)
	}
	if err := json.NewDecoder(answer.Body).Decode(document); err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	return nil
}

// Of has callers of a runtime with an authorizer known by the tokens of its issuer.
// They may invoke and stop, no more.
func (i *Issuers) Of(agent *v1alpha1.AgentRuntime) Authenticator {
	authorizer := &agent.Spec.AuthorizerConfiguration.CustomJWTAuthorizer
	return func(ctx context.Context, r *http.Request) (Proof, error) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		switch given := len(r.Header.Values("Authorization")); {
		case given == 1 && !strings.EqualFold(scheme, SchemeBearer):
			return nil, denied("The runtime is called with a bearer token of its issuer")
		case given != 1:
			return nil, unauthorized("The request must have one bearer token", nil)
		}
		claims, by, wrong, err := i.at(authorizer.DiscoveryURL).verify(ctx, token)
		if err != nil {
			return nil, unauthorized(wrong, err)
		}
		if kind, why := refusal(authorizer, by, claims, time.Now()); why != "" {
			return nil, &Error{Kind: kind, Message: notMeant + why}
		}
		return proven(Caller{
			Name: lifecycle.Printable(claims.Subject),
			May: func(_ context.Context, of *v1alpha1.AgentRuntime, right Right) (bool, error) {
				return of.UID == agent.UID && right == ToInvoke, nil
			},
		}), nil
	}
}

// early is how much sooner than its nbf a token is taken, since clocks differ.
const early = 5 * time.Minute

// refusal tells which claim keeps a token that its issuer has signed from a runtime, and
// not what would do; empty if none does. Scopes are looked at last: who lacks nothing else may
// get another token with them.
func refusal(a *v1alpha1.CustomJWTAuthorizer, issuer string, token *oidc.IDToken, now time.Time) (Kind, string) {
	var claims struct {
		ClientID  string     `json:"client_id"`
		Party     string     `json:"azp"`
		Scope     stringList `json:"scope"`
		Scp       stringList `json:"scp"` // Entra's and Okta's name of it
		NotBefore float64    `json:"nbf"`
	}
	if token.Claims(&claims) != nil {
		return Unauthorized, "one of its claims client_id, azp, scope, scp and nbf is of another type than it should be"
	}
	switch {
	case token.Issuer != issuer && issuer != "https://"+token.Issuer: // as Google has it
		return Unauthorized, "its claim iss is not the issuer that the runtime's discovery URL names"
	case !token.Expiry.After(now):
		return Unauthorized, "its claim exp is not there, or over"
	case time.Unix(int64(claims.NotBefore), 0).After(now.Add(early)):
		return Unauthorized, "its claim nbf is not reached"
	}
	why := refusalByList("aud", a.AllowedAudience, token.Audience)
	if why == "" {
		why = refusalByList("client_id (or azp)", a.AllowedClients, []string{cmp.Or(claims.ClientID, claims.Party)})
	}
	if why == "" {
		why = refusalByClaims(a.CustomClaims, token)
	}
	if why != "" {
		return Unauthorized, why
	}
	return InsufficientScope, refusalByList("scope (or scp)", a.AllowedScopes, append(claims.Scope, claims.Scp...))
}

// refusalByList tells that nothing that a claim has is allowed.
func refusalByList(name string, allowed, has []string) string {
	if len(allowed) == 0 || slices.ContainsFunc(has, func(one string) bool { return slices.Contains(allowed, one) }) {
		return ""
	}
	return "nothing of its claim " + name + " is allowed"
}

// refusalByClaims tells which of a token's other claims keeps it from a runtime.
func refusalByClaims(rules []v1alpha1.CustomClaim, token *oidc.IDToken) string {
	var claims map[string]json.RawMessage
	if len(rules) > 0 && token.Claims(&claims) != nil {
		return "it has no claims"
	}
	for i := range rules {
		if why := refusalByClaim(&rules[i], claims[rules[i].InboundTokenClaimName]); why != "" {
			return why
		}
	}
	return ""
}

// refusalByClaim tells why a claim breaks a rule; empty if it does not.
func refusalByClaim(rule *v1alpha1.CustomClaim, claim json.RawMessage) string {
	name, match := "its claim "+rule.InboundTokenClaimName, &rule.AuthorizingClaimMatchValue.ClaimMatchValue
	if len(claim) == 0 {
		return name + " is not there"
	}
	has := make([]string, 1)
	var err error
	if rule.InboundTokenClaimValueType == v1alpha1.ClaimString {
		err = json.Unmarshal(claim, &has[0])
	} else {
		err = json.Unmarshal(claim, &has)
	}
	if err != nil {
		return name + " is of another type than it should be"
	}
	allowed := match.MatchValueStringList
	if match.MatchValueString != "" {
		allowed = []string{match.MatchValueString}
	}
	return refusalByList(rule.InboundTokenClaimName, allowed, has)
}

// stringList are a list, or a text with spaces.
type stringList []string

// UnmarshalJSON reads either.
func (w *stringList) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		*w = strings.Fields(text)
		return nil
	}
	var list []string
	err := json.Unmarshal(raw, &list)
	*w = list
	return err
}
