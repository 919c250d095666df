package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/front"
)

// idp is an issuer of tokens.
type idp struct {
	*httptest.Server

	key  *ecdsa.PrivateKey
	name string       // as which it signs
	id   atomic.Value // of the key that it shows
	down atomic.Bool
}

func newIDP() *idp {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	p := &idp{key: key}
	p.id.Store("first")
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		metadata := map[string]any{"issuer": p.name, "jwks_uri": p.URL + "/keys"}
		if !strings.Contains(r.URL.Path, "oauth-authorization-server") { // whose metadata have no such member
			metadata["id_token_signing_alg_values_supported"] = []string{"ES256", "HS256", "none"}
		}
		var answer any = metadata
		if r.URL.Path == "/keys" {
			answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: p.id.Load().(string), Algorithm: "ES256", Use: "sig"}}}
		}
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(answer) // the gateway may have gone
	}))
	p.name = p.URL + "/"
	DeferCleanup(p.Close)
	return p
}

// claims of a good token, changed; nil is none.
func (p *idp) claims(change map[string]any) map[string]any {
	claims := map[string]any{
		"iss": p.name, "sub": "somebody", "aud": []string{"others", "agents"}, "client_id": "app", "scope": "read invoke",
		"exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// authorizes is what a runtime says that is called with its tokens.
func (p *idp) authorizes() *v1alpha1.AuthorizerConfiguration {
	return &v1alpha1.AuthorizerConfiguration{CustomJWTAuthorizer: v1alpha1.CustomJWTAuthorizer{
		DiscoveryURL:    p.URL + "/.well-known/openid-configuration",
		AllowedAudience: []string{"agents"}, AllowedClients: []string{"app"}, AllowedScopes: []string{"invoke"},
	}}
}

func sign(algorithm jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	GinkgoHelper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	Expect(err).NotTo(HaveOccurred())
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	Expect(err).NotTo(HaveOccurred())
	return token
}

var _ = Describe("A runtime with an authorizer", func() {
	It("is called with tokens of its issuer, and with nothing else", func(ctx context.Context) {
		issuer := newIDP()
		d := openDoor(front.Authenticated, func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.AuthorizerConfiguration = issuer.authorizes()
			s.AuthorizerConfiguration.CustomJWTAuthorizer.AdvertisedScopeMapping = map[string]v1alpha1.Scope{"invoke": "api://agents/invoke"}
			s.RequestHeaderConfiguration = &v1alpha1.RequestHeaderConfiguration{RequestHeaderAllowlist: []string{"Authorization"}}
		})
		call := func(token string) answer {
			GinkgoHelper()
			r := d.request(ctx, path(agent, "invocations"), id(), ask{})
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return send(r)
		}
		good := sign(jose.ES256, issuer.key, "first", issuer.claims(nil))
		a := call(good)
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.told.Header.Get("Authorization")).To(Equal("Bearer "+good), "the runtime wants it")

		By("refusing others")
		public, err := x509.MarshalPKIXPublicKey(issuer.key.Public())
		Expect(err).NotTo(HaveOccurred())
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		Expect(err).NotTo(HaveOccurred())
		changed := func(claim string, value any) string {
			return sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{claim: value}))
		}
		metadata := `resource_metadata="` + d.url + path(agent, "invocations") + `/.well-known/oauth-protected-resource`
		for name, row := range map[string]struct{ token, says string }{
			"no token":                  {"", "must have one bearer token"},
			"no JWT":                    {"token", "not one that the runtime's issuer has signed"},
			"another's signature":       {sign(jose.ES256, stranger, "first", issuer.claims(nil)), "has signed"},
			"another's key":             {sign(jose.ES256, stranger, "other", issuer.claims(nil)), "has signed"},
			"the public key as secret":  {sign(jose.HS256, public, "first", issuer.claims(nil)), "has signed"},
			"no signature":              {"eyJhbGciOiJub25lIn0." + good[len("eyJhbGciOiJFUzI1NiIsImtpZCI6ImZpcnN0In0."):], "has signed"},
			"expired":                   {changed("exp", time.Now().Add(-time.Minute).Unix()), "claim exp"},
			"without an end":            {changed("exp", nil), "claim exp"},
			"not yet":                   {changed("nbf", time.Now().Add(time.Hour).Unix()), "claim nbf"},
			"another issuer":            {changed("iss", "https://elsewhere.example"), "claim iss"},
			"another audience":          {changed("aud", "others"), "claim aud"},
			"another client":            {changed("client_id", "apps"), "claim client_id"},
			"another client, but party": {sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"client_id": "apps", "azp": "app"})), "claim client_id"},
			"a scope that is no text":   {changed("scope", 1), "of another type"},
		} {
			a := call(row.token)
			Expect(a.code).To(Equal(http.StatusUnauthorized), name)
			Expect(a.failed.Message).To(ContainSubstring(row.says), name)
			Expect(a.failed.Message).NotTo(Or(ContainSubstring("agents"), ContainSubstring(`"app"`)), "what would do")
			Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("UnauthorizedException"), name)
			Expect(a.header.Get("WWW-Authenticate")).To(Equal(`Bearer `+metadata+`", scope="api://agents/invoke"`), name)
		}
		By("asking for another scope those who lack nothing else")
		for name, row := range map[string]struct {
			change map[string]any
			code   int
		}{
			"another scope":                  {map[string]any{"scope": "invoke-not"}, http.StatusForbidden},
			"the scope that is advertised":   {map[string]any{"scope": "api://agents/invoke"}, http.StatusForbidden},
			"no scope":                       {map[string]any{"scope": nil}, http.StatusForbidden},
			"another audience without scope": {map[string]any{"scope": nil, "aud": "others"}, http.StatusUnauthorized},
		} {
			a := call(sign(jose.ES256, issuer.key, "first", issuer.claims(row.change)))
			Expect(a.code).To(Equal(row.code), name)
			if row.code == http.StatusForbidden {
				Expect(a.failed.Message).To(ContainSubstring("claim scope"), name)
				Expect(a.header.Get("WWW-Authenticate")).To(Equal(`Bearer error="insufficient_scope", `+metadata+`", scope="api://agents/invoke"`), name)
			}
		}
		By("taking others of the same kind")
		for name, token := range map[string]string{
			"a party":        sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"client_id": nil, "azp": "app"})),
			"a list":         sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"scope": nil, "scp": []string{"read", "invoke"}})),
			"a text":         sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"scope": nil, "scp": "read invoke"})),
			"a clock behind": changed("nbf", time.Now().Add(time.Minute).Unix()),
		} {
			a := call(token)
			Expect(a.code).To(Equal(http.StatusOK), "%s: %s", name, a.body)
		}
		lower := d.request(ctx, path(agent, "invocations"), id(), ask{})
		lower.Header.Set("Authorization", "bearer "+good)
		Expect(send(lower).code).To(Equal(http.StatusOK))
		signed := d.request(ctx, path(agent, "invocations"), id(), ask{})
		Expect(caller.Sign(signed, "AKANY", "secret")).To(Succeed())
		Expect(send(signed).code).To(Equal(http.StatusForbidden))
		command := d.request(ctx, path(agent, "commands"), id(), map[string]string{"command": "true"})
		command.Header.Set("Authorization", "Bearer "+good)
		Expect(send(command).code).To(Equal(http.StatusForbidden))

		By("telling where tokens are had")
		a = get(ctx, d, path(agent, "invocations/.well-known/oauth-protected-resource"))
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.body).To(MatchJSON(`{"resource": "` + d.url + path(agent, "invocations") + `",
			"authorization_servers": ["` + issuer.URL + `"], "scopes_supported": ["api://agents/invoke"], "bearer_methods_supported": ["header"]}`))
		Expect(get(ctx, d, path(newRuntime(ctx, agent.Namespace), "invocations/.well-known/oauth-protected-resource")).code).To(Equal(http.StatusNotFound))

		By("an issuer that has a new key, and one that is down")
		issuer.id.Store("second")
		Expect(call(sign(jose.ES256, issuer.key, "second", issuer.claims(nil))).code).To(Equal(http.StatusOK))
		issuer.down.Store(true)
		Expect(call(sign(jose.ES256, issuer.key, "third", issuer.claims(nil))).code).To(Equal(http.StatusUnauthorized))
		Expect(call(sign(jose.ES256, issuer.key, "second", issuer.claims(nil))).code).To(Equal(http.StatusOK), "known keys are good")
	})

	It("is called with tokens whose other claims are as it says", func(ctx context.Context) {
		issuer := newIDP()
		d := openDoor(func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.AuthorizerConfiguration = &v1alpha1.AuthorizerConfiguration{CustomJWTAuthorizer: v1alpha1.CustomJWTAuthorizer{
				DiscoveryURL: issuer.authorizes().CustomJWTAuthorizer.DiscoveryURL,
				CustomClaims: []v1alpha1.CustomClaim{{
					InboundTokenClaimName: "https://example.com/team", InboundTokenClaimValueType: v1alpha1.ClaimString,
					AuthorizingClaimMatchValue: v1alpha1.ClaimMatch{
						ClaimMatchOperator: v1alpha1.ClaimEquals, ClaimMatchValue: v1alpha1.ClaimMatchValue{MatchValueString: "blue"},
					},
				}, {
					InboundTokenClaimName: "groups", InboundTokenClaimValueType: v1alpha1.ClaimStringArray,
					AuthorizingClaimMatchValue: v1alpha1.ClaimMatch{
						ClaimMatchOperator: v1alpha1.ClaimContainsAny, ClaimMatchValue: v1alpha1.ClaimMatchValue{MatchValueStringList: []string{"owners", "admins"}},
					},
				}},
			}}
		})
		for name, row := range map[string]struct {
			claims map[string]any
			says   string
		}{
			"both":         {map[string]any{"https://example.com/team": "blue", "groups": []string{"users", "admins"}}, ""},
			"one only":     {map[string]any{"https://example.com/team": "blue"}, "its claim groups is not there"},
			"another team": {map[string]any{"https://example.com/team": "red", "groups": []string{"admins"}}, "nothing of its claim https://example.com/team is allowed"},
			"no list":      {map[string]any{"https://example.com/team": "blue", "groups": "admins"}, "its claim groups is of another type than it should be"},
		} {
			r := d.request(ctx, path(agent, "invocations"), id(), ask{})
			r.Header.Set("Authorization", "Bearer "+sign(jose.ES256, issuer.key, "first", issuer.claims(row.claims)))
			a := send(r)
			if row.says == "" {
				Expect(a.code).To(Equal(http.StatusOK), "%s: %s", name, a.body)
				continue
			}
			Expect(a.code).To(Equal(http.StatusUnauthorized), name)
			Expect(a.failed.Message).To(Equal("The token is not meant for the runtime: "+row.says), name)
		}
	})

	It("may have an issuer that its discovery URL names and is not at", func(ctx context.Context) {
		issuer := newIDP()
		issuer.name = "https://sts.example/tenant/"
		d := openDoor(func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.AuthorizerConfiguration = issuer.authorizes() })
		for name, code := range map[string]int{issuer.name: http.StatusOK, issuer.URL + "/": http.StatusUnauthorized} {
			r := d.request(ctx, path(agent, "invocations"), id(), ask{})
			r.Header.Set("Authorization", "Bearer "+sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"iss": name})))
			Expect(send(r).code).To(Equal(code), name)
		}
	})

	It("tells where tokens are had in the words of whoever asks", func(ctx context.Context) {
		issuer := newIDP()
		d := openDoor(func(o *gateway.Options) {
			o.Issuers, o.PublicURL = issuer.Client().Transport, "https://agents.example/api/"
		})
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.AuthorizerConfiguration = issuer.authorizes()
			s.AuthorizerConfiguration.CustomJWTAuthorizer.AllowedScopes = nil
		})
		at := "/runtimes/" + agent.Namespace + "%2F" + agent.Name + "/invocations" // which clients write in more than one way
		a := send(d.request(ctx, at+"?qualifier=DEFAULT&other=%22", id(), ask{}))
		Expect(a.header.Get("WWW-Authenticate")).To(Equal(
			`Bearer resource_metadata="https://agents.example/api` + at + `/.well-known/oauth-protected-resource?qualifier=DEFAULT"`))
		told := get(ctx, d, at+"/.well-known/oauth-protected-resource?qualifier=DEFAULT")
		Expect(told.body).To(MatchJSON(`{"resource": "https://agents.example/api` + at + `?qualifier=DEFAULT",
			"authorization_servers": ["` + issuer.URL + `"], "bearer_methods_supported": ["header"]}`))
		stop := send(d.request(ctx, path(agent, "stopruntimesession"), id(), ask{}))
		Expect(stop.header.Get("WWW-Authenticate")).To(Equal(
			`Bearer resource_metadata="https://agents.example/api` + path(agent, "invocations") + `/.well-known/oauth-protected-resource"`))
	})

	DescribeTable("may have an issuer with OAuth's metadata (RFC 8414)", func(ctx context.Context, path8414, named string, code int) {
		issuer := newIDP()
		issuer.name = issuer.URL + named
		d := openDoor(func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.AuthorizerConfiguration = issuer.authorizes()
			s.AuthorizerConfiguration.CustomJWTAuthorizer.DiscoveryURL = issuer.URL + path8414
		})
		r := d.request(ctx, path(agent, "invocations"), id(), ask{})
		r.Header.Set("Authorization", "Bearer "+sign(jose.ES256, issuer.key, "first", issuer.claims(nil)))
		a := send(r)
		Expect(a.code).To(Equal(code), a.body)
		if code != http.StatusOK {
			Expect(a.failed.Message).To(ContainSubstring("could not be asked"))
			return
		}
		told := get(ctx, d, path(agent, "invocations/.well-known/oauth-protected-resource"))
		Expect(told.body).To(ContainSubstring(`"authorization_servers":["` + issuer.URL + strings.TrimSuffix(named, "/") + `"]`))
	},
		Entry("at a host", "/.well-known/oauth-authorization-server", "", http.StatusOK),
		Entry("whose name ends with a slash", "/.well-known/oauth-authorization-server", "/", http.StatusOK),
		Entry("at a path", "/.well-known/oauth-authorization-server/tenant", "/tenant", http.StatusOK),
		Entry("but none that is another", "/.well-known/oauth-authorization-server/tenant", "/other", http.StatusUnauthorized),
	)
})
