package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/front"
)

const endpointHeader = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Endpoint-Url"

// visit is what a server in a session was asked.
type visit struct {
	Method, URI, Host, Body string
	Header                  http.Header
}

// serveIn serves in the pod of a session, at a port that runtimes may allow.
func serveIn(ctx context.Context, agent *v1alpha1.AgentRuntime, session string) (port int) {
	GinkgoHelper()
	ip := sessionOf(ctx, agent, session).Status.Pod.IP
	var listener net.Listener
	for port = 8001; ; port++ {
		Expect(port).To(BeNumerically("<", 8100), "no port of "+ip+" is free")
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("%s:%d", ip, port)); err == nil {
			break
		}
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(visited)}}
	server.Start()
	DeferCleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return port
}

// visited is a server in a session, which tells what it is asked.
func visited(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/stream":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 0\n\n")   // the caller may have gone
		_ = http.NewResponseController(w).Flush() // as above
		<-r.Context().Done()
	case "/socket":
		socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer socket.CloseNow()
		kind, message, err := socket.Read(r.Context())
		if err == nil {
			_ = socket.Write(r.Context(), kind, append(message, r.URL.RawQuery...)) // as above
		}
	default:
		raw, _ := io.ReadAll(r.Body) // what there is of it
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("X-Amzn-ErrorType", "Mine")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(http.StatusTeapot)
		_ = json.NewEncoder(w).Encode(visit{r.Method, r.RequestURI, r.Host, string(raw), r.Header}) // as above
	}
}

func allows(ports ...v1alpha1.AllowedPort) func(*v1alpha1.AgentRuntimeSpec) {
	return func(s *v1alpha1.AgentRuntimeSpec) { s.AllowedPorts = ports }
}

var someports = v1alpha1.AllowedPort{PortRange: &v1alpha1.PortRange{From: 8000, To: 8100}}

// reach sends a request to a port of a session.
func reach(ctx context.Context, method, at string, body string, headers ...string) (answer, visit) {
	GinkgoHelper()
	r, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, told := fetch(r), visit{}
	_ = json.Unmarshal([]byte(a.body), &told) // or it was refused
	return a, told
}

var _ = Describe("A session endpoint", func() {
	It("reaches the servers of a session as they are", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), allows(someports)), id()
		a := d.invoke(ctx, agent, session, ask{})
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		at := a.header.Get(endpointHeader)
		Expect(at).To(Equal(d.url + "/runtimes/" + agent.Status.AgentRuntimeID + "/sessions/DEFAULT/" + session))
		port := serveIn(ctx, agent, session)

		a, got := reach(ctx, http.MethodPatch, fmt.Sprintf("%s/%d/a%%2Fb/../c?x=1&accountId=2&qualifier=none&%%58-Amz-Date=3", at, port), "body",
			"Accept", "text/plain", "Content-Type", "text/css", "Cookie", "a=b", "X-Amz-Date", "now", "X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "me",
			"X-Amzn-Bedrock-AgentCore-Runtime-Custom-A", "b", "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "other", "Authorization", "Basic x", "X-Mine", "y", "WorkloadAccessToken", "z")
		Expect(a.code).To(Equal(http.StatusTeapot), a.body)
		Expect(got.Method).To(Equal(http.MethodPatch))
		Expect(got.URI).To(Equal("/a%2Fb/../c?x=1&accountId=2&qualifier=none"))
		Expect(got.Body).To(Equal("body"))
		Expect(got.Host).To(Equal(fmt.Sprintf("localhost:%d", port)))
		Expect(got.Header).To(And(
			HaveKeyWithValue("Accept", []string{"text/plain"}), HaveKeyWithValue("Content-Type", []string{"text/css"}), HaveKeyWithValue("X-Mine", []string{"y"}),
			HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Custom-A", []string{"b"}), HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Session-Id", []string{session}),
			Not(Or(HaveKey("Cookie"), HaveKey("Authorization"), HaveKey("X-Amz-Date"), HaveKey("X-Amzn-Bedrock-Agentcore-Runtime-User-Id"), HaveKey("Workloadaccesstoken"))),
		))
		Expect(a.header).To(And(HaveKeyWithValue("Etag", []string{`"1"`}), HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Session-Id", []string{session}),
			Not(Or(HaveKey("Set-Cookie"), HaveKey("X-Amzn-Errortype"), HaveKey("Access-Control-Allow-Origin")))))
		_, got = reach(ctx, http.MethodGet, fmt.Sprintf("%s/%d", at, port), "")
		Expect(got.URI).To(Equal("/"))

		By("and WebSockets")
		socket, _, refusal := dial(ctx, fmt.Sprintf("ws%s/%d/socket?a=b", strings.TrimPrefix(at, "http"), port), nil)
		Expect(refusal).To(BeEmpty())
		Expect(socket.Write(ctx, websocket.MessageText, []byte("hello "))).To(Succeed())
		_, message, err := socket.Read(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(message)).To(Equal("hello a=b"))

		By("and no other ports")
		for to, row := range map[string]struct {
			code int
			says string
		}{
			"/8101/":                               {http.StatusForbidden, "The port 8101 is none of the runtime's allowedPorts"},
			fmt.Sprintf("/%d/", plane.Port):        {http.StatusForbidden, "allowedPorts"},
			"/8100/":                               {http.StatusFailedDependency, "No server answers at the port"},
			"/80/":                                 {http.StatusNotFound, "is followed by a port"},
			"":                                     {http.StatusNotFound, "is followed by a port"},
			"/../../none/" + session + "/8100/":    {http.StatusNotFound, "is followed by a port"},
			"%2F..%2F" + session + "/8100/":        {http.StatusNotFound, "has no compute"},
			"/99999999999999999999/../../8100/../": {http.StatusNotFound, "is followed by a port"},
		} {
			a, _ := reach(ctx, http.MethodGet, at+to, "")
			Expect(a.code).To(Equal(row.code), to+": "+a.body)
			Expect(a.failed.Message).To(ContainSubstring(row.says), to)
		}
		a, _ = reach(ctx, http.MethodGet, strings.Replace(at, "DEFAULT", "none", 1)+"/8100/", "")
		Expect(a.code).To(Equal(http.StatusNotFound))
		Expect(a.failed.Message).To(ContainSubstring("No endpoint or agent found"))
	})

	It("leaves out the port of its own version's agent, and of no other", func(ctx context.Context) {
		d := openDoor()
		agent := newRuntime(ctx, newNamespace(ctx), allows(someports))
		session := id()
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		port := int32(serveIn(ctx, agent, session))
		agent.Spec.ProtocolConfiguration.Port = port // of the next version, which this session has not
		Expect(api.Update(ctx, agent)).To(Succeed())
		at := fmt.Sprintf("%s/runtimes/%s/sessions/DEFAULT/", d.url, agent.Status.AgentRuntimeID)
		a, _ := reach(ctx, http.MethodGet, fmt.Sprintf("%s%s/%d/", at, session, port), "")
		Expect(a.code).To(Equal(http.StatusTeapot), a.body)
	})

	It("starts no session, and keeps one in use", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), allows(someports), idlesIn(2*idle)), id()
		at := fmt.Sprintf("%s/runtimes/%s/sessions/DEFAULT/%s", d.url, agent.Status.AgentRuntimeID, session)
		a, _ := reach(ctx, http.MethodGet, at+"/8100/", "")
		Expect(a.code).To(Equal(http.StatusNotFound), a.body)
		Expect(a.failed.Message).To(ContainSubstring("invoke it first"))
		Expect(podsOf(ctx, agent)).To(BeEmpty())

		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		port := serveIn(ctx, agent, session)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/%d/stream", at, port), nil)
		Expect(err).NotTo(HaveOccurred())
		stream, err := http.DefaultClient.Do(r)
		Expect(err).NotTo(HaveOccurred())
		defer stream.Body.Close()
		Expect(stream.StatusCode).To(Equal(http.StatusOK))
		Eventually(func() *v1alpha1.AgentSession { return sessionOf(ctx, agent, session) }).Should(
			HaveField("Status.Traffic", HaveValue(HaveField("InUseUntil", Not(BeNil())))))

		By("until somebody stops it, which ends what reaches it")
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		_, err = io.ReadAll(stream.Body)
		Expect(err).To(HaveOccurred(), "it is cut")
		Eventually(func() string {
			a, _ := reach(ctx, http.MethodGet, at+"/8100/", "")
			return a.failed.Message
		}).Should(ContainSubstring("invoke it first"))
		Expect(sessionOf(ctx, agent, session).Spec.DesiredState).To(Equal(v1alpha1.DesiredStopped), "nothing woke it")
	})

	It("is for those who may invoke", func(ctx context.Context) {
		issuer := newIDP()
		d := openDoor(front.Authenticated, func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		namespace := newNamespace(ctx)
		key, secret := newKey(ctx, namespace, "invocations")
		signed := func(method, at, body string) *http.Request {
			GinkgoHelper()
			r, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader([]byte(body)))
			Expect(err).NotTo(HaveOccurred())
			Expect(caller.Sign(r, key, secret)).To(Succeed())
			return r
		}
		agent, session := newRuntime(ctx, namespace, allows(someports)), id()
		invoke := d.request(ctx, path(agent, "invocations"), session, ask{})
		var a answer
		Eventually(func() int { // the gateway learns of the key
			Expect(caller.Sign(invoke, key, secret)).To(Succeed())
			invoke.Body, _ = invoke.GetBody()
			a = fetch(invoke)
			return a.code
		}).Should(Equal(http.StatusOK))
		port := serveIn(ctx, agent, session)
		at := fmt.Sprintf("%s/%d", a.header.Get(endpointHeader), port)
		a = fetch(signed(http.MethodPut, at+"/a?b=c", "body"))
		Expect(a.code).To(Equal(http.StatusTeapot), a.body)
		unsigned, _ := reach(ctx, http.MethodGet, at+"/", "")
		Expect(unsigned.code).To(Equal(http.StatusForbidden))
		other, _ := reach(ctx, http.MethodGet, at+"/", "", "Authorization", "Bearer x")
		Expect(other.code).To(Equal(http.StatusUnauthorized))
		socket, _, refusal := dial(ctx, presign(ctx, d, strings.TrimPrefix(at, d.url)+"/socket", url.Values{"a": {"b"}}, key, secret), nil)
		Expect(refusal).To(BeEmpty())
		Expect(socket.Write(ctx, websocket.MessageText, []byte("?"))).To(Succeed())
		_, message, err := socket.Read(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(message)).To(Equal("?a=b"), "and nothing of the signature")

		By("with tokens of the runtime's issuer, where it has one")
		const page = "https://app.example"
		guarded := newRuntime(ctx, namespace, allows(someports), func(s *v1alpha1.AgentRuntimeSpec) {
			s.AuthorizerConfiguration, s.AllowedOrigins = issuer.authorizes(), []v1alpha1.Origin{page}
		})
		token := sign(jose.ES256, issuer.key, "first", issuer.claims(nil))
		session = id()
		invoke = d.request(ctx, path(guarded, "invocations"), session, ask{})
		invoke.Header.Set("Authorization", "Bearer "+token)
		a = fetch(invoke)
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		at = fmt.Sprintf("%s/%d", a.header.Get(endpointHeader), serveIn(ctx, guarded, session))
		a, got := reach(ctx, http.MethodGet, at+"/", "", "Authorization", "Bearer "+token, "Origin", page)
		Expect(a.code).To(Equal(http.StatusTeapot), a.body)
		Expect(got.Header).NotTo(HaveKey("Authorization"))
		Expect(a.header["Access-Control-Allow-Origin"]).To(Equal([]string{page}))
		a, _ = reach(ctx, http.MethodGet, at+"/", "")
		Expect(a.code).To(Equal(http.StatusUnauthorized))
		Expect(a.header.Get("WWW-Authenticate")).To(ContainSubstring("/invocations/.well-known/oauth-protected-resource?qualifier=DEFAULT"))
		a, _ = reach(ctx, http.MethodOptions, at+"/a", "", "Origin", page, "Access-Control-Request-Method", http.MethodDelete)
		Expect(a.code).To(Equal(http.StatusNoContent))
		Expect(a.header.Get("Access-Control-Allow-Methods")).To(Equal(http.MethodDelete))
		protocols := []string{authn.BearerProtocol + "." + base64.RawURLEncoding.EncodeToString([]byte(token)), authn.BearerProtocol}
		_, response, refusal := dial(ctx, "ws"+strings.TrimPrefix(at, "http")+"/socket", &websocket.DialOptions{Subprotocols: protocols})
		Expect(refusal).To(BeEmpty())
		Expect(response.Header.Get("Sec-WebSocket-Protocol")).To(Equal(authn.BearerProtocol))
	})

	It("is told of to nobody whose runtime allows no port", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		a := d.invoke(ctx, agent, session, ask{})
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.header).NotTo(HaveKey(http.CanonicalHeaderKey(endpointHeader)))
		a, _ = reach(ctx, http.MethodGet, fmt.Sprintf("%s/runtimes/%s/sessions/DEFAULT/%s/8100/", d.url, agent.Status.AgentRuntimeID, session), "")
		Expect(a.code).To(Equal(http.StatusForbidden), a.body)
	})
})
