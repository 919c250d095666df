package gateway

import (
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// ReverseProxy would leave the connection of a switch that it refuses open.
func TestOnlyAWebSocketIsSwitchedTo(t *testing.T) {
	for upgrade, op := range map[string]operation{"h2c": opSocket, "": opSocket, "websocket": opInvoke} {
		answer := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Upgrade": {upgrade}}}
		NewWithT(t).Expect(passOn(answer, &call{op: op}, &v1alpha1.AgentSession{})).To(MatchError(agentFailed(http.StatusSwitchingProtocols)), upgrade)
	}
	answer := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Upgrade": {"WebSocket"}}}
	NewWithT(t).Expect(passOn(answer, &call{op: opSocket}, &v1alpha1.AgentSession{})).To(Succeed())
}

func TestHeadersThatReachAnAgent(t *testing.T) {
	const custom = contract.HeaderCustomPrefix + "Token"
	all := strings.Repeat("x", maxHeaderValue)
	for name, row := range map[string]struct {
		in   http.Header
		want http.Header // beside those of every call
		says string
	}{
		"encoded":                 {http.Header{"Content-Encoding": {"gzip"}}, http.Header{"Content-Encoding": {"gzip"}}, ""},
		"a custom one":            {http.Header{custom: {all}}, http.Header{custom: {all}}, ""},
		"a custom one too long":   {http.Header{custom: {all + "x"}}, nil, "'" + custom + "' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		"two too long together":   {http.Header{custom: {all, "x"}}, nil, custom},
		"an allowed one":          {http.Header{"X-Tenant": {all}}, http.Header{"X-Tenant": {all}}, ""},
		"an allowed one too long": {http.Header{"X-Tenant": {all + "x"}}, nil, "X-Tenant"},
		"the gateway's own":       {http.Header{"Authorization": {"Bearer secret"}}, http.Header{}, ""},
		"another one too long":    {http.Header{"Cookie": {all + "x"}}, http.Header{}, ""},
		"baggage":                 {http.Header{"Baggage": {all + "x"}}, http.Header{"Baggage": {all + "x"}}, ""},
		"baggage too long":        {http.Header{"Baggage": {all + all + "x"}}, http.Header{}, ""},
		"for the next hop only":   {http.Header{"Connection": {"keep-alive, x-tenant", "Accept"}, "X-Tenant": {"a"}, "Accept": {"b"}, custom: {"c"}}, http.Header{custom: {"c"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := &call{id: "id", session: "session", payload: &Payload{}, runtime: &v1alpha1.AgentRuntime{}}
			out, err := headersFor(row.in, c, &v1alpha1.RequestHeaderConfiguration{RequestHeaderAllowlist: []string{"x-tenant", "authorization"}})
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			row.want["User-Agent"] = []string{""}
			row.want.Set(contract.HeaderSessionID, "session")
			row.want.Set(contract.HeaderRequestID, "id")
			g.Expect(out).To(Equal(row.want))
		})
	}
}

func TestAgentsOnTheGatewaysOwnMachineAreNotCalled(t *testing.T) {
	g := NewWithT(t)
	for _, url := range []string{"http://127.0.0.1:1/", "http://[::ffff:169.254.169.254]/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = toAgents(false).RoundTrip(r)
		g.Expect(err).To(MatchError(ContainSubstring("it is not called")))
	}
}
