package gateway

import (
	"net/http"
	"testing"

	. "github.com/onsi/gomega"

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
