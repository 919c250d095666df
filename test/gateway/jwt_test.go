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
		var answer any = map[string]any{
			"issuer": p.URL + "/", "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
		}
		if r.URL.Path == "/keys" {
			answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: p.id.Load().(string), Algorithm: "ES256", Use: "sig"}}}
		}
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(answer) // the gateway may have gone
	}))
	DeferCleanup(p.Close)
	return p
}

// claims of a good token.
func (p *idp) claims(change map[string]any) map[string]any {
	claims := map[string]any{
		"iss": p.URL + "/", "sub": "somebody", "aud": []string{"others", "agents"}, "client_id": "app", "scope": "read invoke",
		"exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, change)
	return claims
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
			s.AuthorizerConfiguration = &v1alpha1.AuthorizerConfiguration{CustomJWTAuthorizer: v1alpha1.CustomJWTAuthorizer{
				DiscoveryURL:    issuer.URL + "/.well-known/openid-configuration",
				AllowedAudience: []string{"agents"}, AllowedClients: []string{"app"}, AllowedScopes: []string{"invoke"},
			}}
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
		for name, token := range map[string]string{
			"no token":                  "",
			"no JWT":                    "token",
			"another's signature":       sign(jose.ES256, stranger, "first", issuer.claims(nil)),
			"another's key":             sign(jose.ES256, stranger, "other", issuer.claims(nil)),
			"the public key as secret":  sign(jose.HS256, public, "first", issuer.claims(nil)),
			"no signature":              "eyJhbGciOiJub25lIn0." + good[len("eyJhbGciOiJFUzI1NiIsImtpZCI6ImZpcnN0In0."):],
			"expired":                   sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})),
			"without an end":            sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"exp": nil})),
			"not yet":                   sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})),
			"another issuer":            sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"iss": "https://elsewhere.example"})),
			"another audience":          sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"aud": "others"})),
			"another client":            sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"client_id": "apps"})),
			"another client, but party": sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"client_id": "apps", "azp": "app"})),
			"another scope":             sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"scope": "invoke-not"})),
		} {
			a := call(token)
			Expect(a.code).To(Equal(http.StatusUnauthorized), name)
			Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("UnauthorizedException"), name)
			Expect(a.header.Get("WWW-Authenticate")).To(Equal(
				`Bearer resource_metadata="`+d.url+path(agent, "invocations")+`/.well-known/oauth-protected-resource?qualifier=DEFAULT"`), name)
		}
		signed := d.request(ctx, path(agent, "invocations"), id(), ask{})
		Expect(caller.Sign(signed, "AKANY", "secret")).To(Succeed())
		Expect(send(signed).code).To(Equal(http.StatusForbidden))
		command := d.request(ctx, path(agent, "commands"), id(), map[string]string{"command": "true"})
		command.Header.Set("Authorization", "Bearer "+good)
		Expect(send(command).code).To(Equal(http.StatusForbidden))

		By("telling where tokens are had")
		a = get(ctx, d, path(agent, "invocations/.well-known/oauth-protected-resource"))
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.body).To(MatchJSON(`{"resource": "` + d.url + path(agent, "invocations") + `?qualifier=DEFAULT",
			"authorization_servers": ["` + issuer.URL + `"], "scopes_supported": ["invoke"], "bearer_methods_supported": ["header"]}`))
		Expect(get(ctx, d, path(newRuntime(ctx, agent.Namespace), "invocations/.well-known/oauth-protected-resource")).code).To(Equal(http.StatusNotFound))

		By("an issuer that has a new key, and one that is down")
		issuer.id.Store("second")
		Expect(call(sign(jose.ES256, issuer.key, "second", issuer.claims(nil))).code).To(Equal(http.StatusOK))
		issuer.down.Store(true)
		Expect(call(sign(jose.ES256, issuer.key, "third", issuer.claims(nil))).code).To(Equal(http.StatusUnauthorized))
		Expect(call(sign(jose.ES256, issuer.key, "second", issuer.claims(nil))).code).To(Equal(http.StatusOK), "known keys are good")
	})

	It("lets nothing of a caller's credentials through to others", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.RequestHeaderConfiguration = &v1alpha1.RequestHeaderConfiguration{RequestHeaderAllowlist: []string{"Authorization"}}
		})
		r := d.request(ctx, path(agent, "invocations"), id(), ask{})
		r.Header.Set("Authorization", "Bearer of-somebody")
		Expect(send(r).told.Header).NotTo(HaveKey("Authorization"))
	})
})
