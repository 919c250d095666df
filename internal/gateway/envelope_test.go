package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestEnvelopes(t *testing.T) {
	failures := []*failure{
		invalid("a", "wrong"),
		unauthorized("who?", "Bearer"),
		{Code: http.StatusPaymentRequired, Type: quotaExceeded, Message: "full"},
		denied("no"),
		notFound("gone"),
		conflict(),
		tooLarge(1),
		runtimeError("it died"),
		throttled("wait"),
		{Code: http.StatusInternalServerError, Type: internalError, Message: "oh"},
		{Code: http.StatusServiceUnavailable, Type: internalError, Message: "later"},
		{Code: http.StatusMethodNotAllowed, Type: "UnknownOperationException", Message: "POST"},
	}
	rpc := func(status, code int) func(*failure) reply {
		return func(f *failure) reply {
			return reply{status, "application/json", fmt.Appendf(nil, `{"jsonrpc":"2.0","error":{"code":%d,"message":%q},"id":"seven"}`, code, f.Message)}
		}
	}
	plain := func(status int) func(*failure) reply {
		return func(f *failure) reply { return reply{status, "application/json", marshal(f)} }
	}
	event := func(f *failure, code string) string {
		return fmt.Sprintf(`{"type":"RUN_ERROR","code":%q,"message":%q}`, code, f.Message)
	}
	want := map[v1alpha1.ServerProtocol]map[int]func(*failure) reply{
		"HTTP": {},
		"":     {}, // nobody knows it yet
		"MCP":  {402: rpc(200, -32003), 409: rpc(200, -32005), 424: rpc(200, -32010), 429: rpc(200, -32003), 500: rpc(200, -32603), 503: rpc(200, -32603)},
		"A2A": {
			400: rpc(400, -32052), 402: rpc(429, -32053), 404: rpc(404, -32501), 409: rpc(409, -32054), 413: rpc(413, -32052),
			424: rpc(424, -32055), 429: rpc(429, -32053), 500: rpc(500, -32603), 503: rpc(503, -32603),
		},
		"AGUI": {
			402: plain(429),
			409: func(f *failure) reply { return reply{409, "application/json", []byte(event(f, "SESSION_BUSY"))} },
			424: func(f *failure) reply {
				return reply{200, "text/event-stream", []byte("data: " + event(f, "AGENT_ERROR") + "\n\n")}
			},
		},
	}
	for protocol, rows := range want {
		for _, f := range failures {
			t.Run(fmt.Sprintf("%s %d", protocol, f.Code), func(t *testing.T) {
				g := NewWithT(t)
				body := `{"params":{"id":1},"id":"seven"}`
				c := call{op: opInvoke, protocol: protocol, payload: payloadOf(body), runtime: &v1alpha1.AgentRuntime{}}
				expected := plain(f.Code)
				if row := rows[f.Code]; row != nil {
					expected = row
				}
				tellsOf(g, c, f, expected(f))

				for _, op := range []operation{opCard, opSocket, opStop, opCommand, opShell} {
					c.op = op
					tellsOf(g, c, f, plain(f.Code)(f))
				}
			})
		}
	}
}

// tellsOf has a gateway tell of a failure, as it tells of all.
func tellsOf(g *WithT, c call, f *failure, want reply) {
	one := New(Options{})
	w := httptest.NewRecorder()
	recorded := &recorder{ResponseWriter: w, ready: &one.ready}
	one.fail(recorded, httptest.NewRequest(http.MethodPost, "/", http.NoBody), c, f)
	g.Expect(reply{w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()}).To(Equal(want))
	g.Expect(w.Header().Get("X-Amzn-Errortype")).To(Equal(f.Type))
	g.Expect(recorded.result()).To(Equal(f.Code), "what is counted and noted")
}
