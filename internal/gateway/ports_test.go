package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestPathsOfSessionEndpoints(t *testing.T) {
	for path, want := range map[string]sessionEndpoint{
		"/runtimes/a-1/sessions/DEFAULT/id/8081":             {"DEFAULT", "id", 8081, "/"},
		"/runtimes/a-1/sessions/PROD/id/8081/":               {"PROD", "id", 8081, "/"},
		"/runtimes/a%2Fb/sessions/DEFAULT/i%2Fd/12000/a%2Fb": {"DEFAULT", "i/d", 12000, "/a%2Fb"},
		"/runtimes/a/sessions/DEFAULT/id/8081//../8082/":     {"DEFAULT", "id", 8081, "//../8082/"},
	} {
		got, is := sessionEndpointOf(httptest.NewRequest(http.MethodGet, path, nil))
		NewWithT(t).Expect(is).To(BeTrue(), path)
		NewWithT(t).Expect(got).To(Equal(want), path)
	}
	for _, path := range []string{
		"/runtimes/a/sessions/DEFAULT/id", "/runtimes/a/sessions/DEFAULT/id/", "/runtimes/a/sessions/DEFAULT/id/x", "/runtimes/a/sessions/DEFAULT/id/08081/",
		"/runtimes/a/sessions/DEFAULT/id/123456/", "/runtimes/a/sessions/DEFAULT//8081/", "/runtimes/a/b/sessions/DEFAULT/id/8081/", "/sessions/DEFAULT/id/8081/",
	} {
		_, is := sessionEndpointOf(httptest.NewRequest(http.MethodGet, path, nil))
		NewWithT(t).Expect(is).To(BeFalse(), path)
	}
}

func TestTheAgentsOwnPortIsNotReached(t *testing.T) {
	g := NewWithT(t)
	session, c := &v1alpha1.AgentSession{}, &call{op: opPort}
	reach := func(port string) error {
		return c.reachesPort(httptest.NewRequest(http.MethodGet, "/runtimes/a/sessions/DEFAULT/id/"+port+"/invocations", nil), session)
	}
	for port, protocol := range map[string]v1alpha1.ProtocolConfiguration{
		"8080": {}, "8000": {ServerProtocol: v1alpha1.ProtocolMCP}, "9000": {ServerProtocol: v1alpha1.ProtocolA2A}, "9999": {Port: 9999},
	} {
		session.Status.Runtime = &v1alpha1.ActivationRuntime{ProtocolConfiguration: protocol}
		g.Expect(reach(port)).To(MatchError(ContainSubstring("is the agent's own")), port)
		g.Expect(reach("8081")).To(Succeed())
	}
	session.Status.Runtime = &v1alpha1.ActivationRuntime{ProtocolConfiguration: v1alpha1.ProtocolConfiguration{Port: 9999}}
	g.Expect(reach("8080")).To(Succeed(), "the agent is at 9999")
}

// A connection becomes a WebSocket or nothing else: what it would become is not the gateway's
// to bound.
func TestWhatAConnectionToAPortBecomes(t *testing.T) {
	for upgrade, want := range map[string][]string{"websocket": {"websocket", "Upgrade"}, "WebSocket": {"WebSocket", "Upgrade"}, "h2c": {"", ""}, "": {"", ""}} {
		g := NewWithT(t)
		in := httptest.NewRequest(http.MethodGet, "/runtimes/a/sessions/DEFAULT/id/8081/", nil)
		in.Header.Set("Upgrade", upgrade)
		out := in.Clone(t.Context())
		out.Header.Set("Connection", "Upgrade") // as ReverseProxy does
		session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{Pod: &v1alpha1.PodStatus{IP: "10.1.2.3"}}}
		rewriteToPort(&httputil.ProxyRequest{In: in, Out: out}, &call{op: opPort, payload: &Payload{}}, session)
		g.Expect(out.URL.Host).To(Equal("10.1.2.3:8081"))
		g.Expect([]string{out.Header.Get("Upgrade"), out.Header.Get("Connection")}).To(Equal(want), upgrade)
	}
}

// The servers of all sessions are at one origin: none of them says what holds for all.
func TestWhatIsForAWholeOriginIsKeptBack(t *testing.T) {
	g := NewWithT(t)
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}
	for _, name := range []string{
		"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc", "Service-Worker-Allowed", "NEL", "Report-To", "Access-Control-Allow-Origin", "X-Amzn-RequestId",
	} {
		answer.Header.Set(name, "x")
	}
	answer.Header.Set("Content-Type", "text/html")
	answer.Header.Set("Etag", "x")
	g.Expect(passOnFromPort(answer, &call{op: opPort})).To(Succeed())
	g.Expect(answer.Header).To(Equal(http.Header{"Content-Type": {"text/html"}, "Etag": {"x"}}))
}

func TestASignatureGoesNoFurther(t *testing.T) {
	g := NewWithT(t)
	for query, want := range map[string]string{
		"":                          "",
		"a=b&&c":                    "a=b&&c",
		"a=1&X-Amz-Signature=x&b=2": "a=1&b=2",
		"%58-Amz-Date=1":            "",
		"X-Amzn-Bedrock=1&a=%zz":    "X-Amzn-Bedrock=1&a=%zz",
	} {
		g.Expect(withoutSignature(query)).To(Equal(want), query)
	}
}
