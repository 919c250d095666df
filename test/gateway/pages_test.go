package gateway_test

import (
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/front"
)

var _ = Describe("A web page", func() {
	const origin, stranger = "https://app.example:8443", "https://app.example"

	// serves is a gateway and a runtime that pages of some origins may call.
	serves := func(ctx context.Context, origins ...v1alpha1.Origin) (*door, *v1alpha1.AgentRuntime, string) {
		GinkgoHelper()
		issuer := newIDP()
		d := openDoor(front.Authenticated, func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.AuthorizerConfiguration, s.AllowedOrigins = issuer.authorizes(), origins
		})
		return d, agent, sign(jose.ES256, issuer.key, "first", issuer.claims(nil))
	}
	preflight := func(ctx context.Context, d *door, at, from, method string, headers ...string) answer {
		GinkgoHelper()
		r, err := http.NewRequestWithContext(ctx, http.MethodOptions, d.url+at, nil)
		Expect(err).NotTo(HaveOccurred())
		r.Header.Set("Origin", from)
		r.Header.Set("Access-Control-Request-Method", method)
		r.Header["Access-Control-Request-Headers"] = headers
		return fetch(r)
	}

	It("of an origin that the runtime names calls it", func(ctx context.Context) {
		d, agent, token := serves(ctx, "http://localhost:5173", origin)
		at := path(agent, "invocations")
		a := preflight(ctx, d, at, origin, http.MethodPost, "authorization,content-type,x-amzn-bedrock-agentcore-runtime-session-id")
		Expect(a.code).To(Equal(http.StatusNoContent), a.body)
		Expect(a.body).To(BeEmpty())
		Expect(a.header).To(And(
			HaveKeyWithValue("Access-Control-Allow-Origin", []string{origin}),
			HaveKeyWithValue("Access-Control-Allow-Methods", []string{"POST"}),
			HaveKeyWithValue("Access-Control-Allow-Headers", []string{"authorization, content-type, x-amzn-bedrock-agentcore-runtime-session-id"}),
			HaveKeyWithValue("Access-Control-Max-Age", []string{"600"}),
			HaveKeyWithValue("Vary", []string{"Origin"}),
			Not(HaveKey("Access-Control-Allow-Credentials")),
		))
		call := func(from, token string) answer {
			GinkgoHelper()
			r := d.request(ctx, at, id(), ask{})
			r.Header.Set("Origin", from)
			r.Header.Set("Authorization", "Bearer "+token)
			return send(r)
		}
		for token, code := range map[string]int{token: http.StatusOK, "another": http.StatusUnauthorized} {
			a := call(origin, token)
			Expect(a.code).To(Equal(code), a.body)
			Expect(a.header).To(And(
				HaveKeyWithValue("Access-Control-Allow-Origin", []string{origin}), HaveKeyWithValue("Vary", []string{"Origin"}),
				HaveKeyWithValue("Access-Control-Expose-Headers", ConsistOf(And(
					ContainSubstring("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"), ContainSubstring("WWW-Authenticate"), ContainSubstring("Retry-After"),
				))),
			), "also of a refusal: the page has to know of it")
			a = call(stranger, token)
			Expect(a.code).To(Equal(code), "whose page it is, its browser looks at")
			Expect(a.header).To(And(Not(HaveKey("Access-Control-Allow-Origin")), HaveKeyWithValue("Vary", []string{"Origin"})))
		}

		By("and reads where tokens are had")
		metadata := at + "/.well-known/oauth-protected-resource"
		Expect(preflight(ctx, d, metadata, origin, http.MethodGet, "mcp-protocol-version").code).To(Equal(http.StatusNoContent))
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+metadata, nil)
		Expect(err).NotTo(HaveOccurred())
		r.Header.Set("Origin", origin)
		Expect(send(r).header.Get("Access-Control-Allow-Origin")).To(Equal(origin))
	})

	It("of another origin does not learn whether there is a runtime", func(ctx context.Context) {
		d, agent, token := serves(ctx, origin)
		silent, silents, _ := serves(ctx)
		refusal := func(a answer) http.Header {
			GinkgoHelper()
			Expect(a.code).To(Equal(http.StatusMethodNotAllowed), a.body)
			header := maps.Clone(a.header)
			header["Body"] = []string{a.body}
			header.Del("Date")
			header.Del("X-Amzn-RequestId")
			return header
		}
		none := refusal(preflight(ctx, d, "/runtimes/none%2Fnone/invocations", stranger, http.MethodPost, "authorization"))
		Expect(none).NotTo(HaveKey(HavePrefix("Access-Control-")))
		Expect(refusal(preflight(ctx, d, path(agent, "invocations"), stranger, http.MethodPost, "authorization"))).To(Equal(none))
		Expect(refusal(preflight(ctx, silent, path(silents, "invocations"), origin, http.MethodPost, "authorization"))).To(Equal(none), "no list")
		open := newRuntime(ctx, agent.Namespace)
		Expect(refusal(preflight(ctx, d, path(open, "invocations"), origin, http.MethodPost, "authorization"))).To(Equal(none), "no authorizer")
		Expect(preflight(ctx, d, path(agent, "invocations"), origin, http.MethodDelete).code).To(Equal(http.StatusMethodNotAllowed))
		Expect(preflight(ctx, d, "/sessions", origin, http.MethodGet).code).To(Equal(http.StatusMethodNotAllowed))

		By("nor opens a WebSocket")
		connect := func(d *door, agent *v1alpha1.AgentRuntime, token string, from ...string) (code int, refusal string) {
			_, response, refusal := dial(ctx, "ws"+strings.TrimPrefix(d.url, "http")+path(agent, "ws"), &websocket.DialOptions{
				HTTPHeader: http.Header{"Origin": from}, Subprotocols: []string{
					authn.BearerProtocol + "." + base64.RawURLEncoding.EncodeToString([]byte(token)), authn.BearerProtocol,
				},
			})
			return response.StatusCode, refusal
		}
		code, says := connect(d, agent, token, stranger)
		Expect(code).To(Equal(http.StatusForbidden))
		Expect(says).To(ContainSubstring("none of the runtime's allowedOrigins"))
		code, _ = connect(d, agent, "another", stranger)
		Expect(code).To(Equal(http.StatusUnauthorized), "whom nobody knows is told of no list")
		for _, from := range [][]string{{origin}, nil} {
			code, says := connect(d, agent, token, from...)
			Expect(code).To(Equal(http.StatusSwitchingProtocols), says)
		}
	})

	It("of any origin opens a WebSocket of a runtime that names none", func(ctx context.Context) {
		d, agent, token := serves(ctx)
		_, response, refusal := dial(ctx, "ws"+strings.TrimPrefix(d.url, "http")+path(agent, "ws"), &websocket.DialOptions{
			HTTPHeader: http.Header{"Origin": {stranger}, "Authorization": {"Bearer " + token}},
		})
		Expect(refusal).To(BeEmpty())
		Expect(response.StatusCode).To(Equal(http.StatusSwitchingProtocols))
	})
})
