package agentruntime_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

func (a *agent) dial(t *testing.T, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	conn, response, err := websocket.Dial(t.Context(), strings.Replace(a.url, "http", "ws", 1)+"/ws",
		&websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, response, err
}

func TestCheck18WebSocket(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	_, response, err := a.dial(t, nil)
	g.Expect(err).To(HaveOccurred())
	g.Expect(response.StatusCode).To(Equal(http.StatusForbidden), "no handler")

	for name, row := range map[string]struct {
		handler agentruntime.WebSocketHandler
		want    websocket.StatusCode
	}{
		"end":   {func(context.Context, *websocket.Conn) error { return nil }, websocket.StatusNormalClosure},
		"error": {func(context.Context, *websocket.Conn) error { return errors.New("boom") }, websocket.StatusInternalError},
		"panic": {func(context.Context, *websocket.Conn) error { panic("boom") }, websocket.StatusInternalError},
		"own": {func(_ context.Context, c *websocket.Conn) error {
			return c.Close(websocket.StatusPolicyViolation, "")
		}, websocket.StatusPolicyViolation},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			a.WebSocket(row.handler)
			conn, _, err := a.dial(t, nil)
			g.Expect(err).NotTo(HaveOccurred())
			_, _, err = conn.Read(t.Context())
			var closed websocket.CloseError
			g.Expect(errors.As(err, &closed)).To(BeTrue())
			g.Expect(closed.Code).To(Equal(row.want))
			g.Expect(closed.Reason).To(BeEmpty())
		})
	}
}

func TestWebSocketEcho(t *testing.T) {
	g := NewWithT(t)
	a := newAgentWith(t, agentruntime.Options{BusyWhileInvoking: true})
	a.WebSocket(func(ctx context.Context, conn *websocket.Conn) error {
		for {
			kind, message, err := conn.Read(ctx)
			if err != nil {
				return err
			}
			message = append([]byte(agentruntime.SessionID(ctx)+" "), message...)
			if err := conn.Write(ctx, kind, message); err != nil {
				return err
			}
		}
	})
	conn, _, err := a.dial(t, http.Header{"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": {"s"}})
	g.Expect(err).NotTo(HaveOccurred())
	conn.SetReadLimit(1 << 20)
	long := strings.Repeat("x", 65536) // AgentCore's largest frame
	g.Expect(conn.Write(t.Context(), websocket.MessageText, []byte(long))).To(Succeed())
	_, echoed, err := conn.Read(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(echoed)).To(Equal("s " + long))
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"), "an open WebSocket is an invocation in flight")

	g.Expect(conn.Close(websocket.StatusNormalClosure, "")).To(Succeed())
	g.Eventually(a.log.String).Should(ContainSubstring("WebSocket completed"))
	g.Expect(a.log.String()).NotTo(ContainSubstring(`"ERROR"`), "the client closed in order")
	g.Eventually(func() string { return a.ping(t).Status }).Should(Equal("Healthy"))

	conn, _, err = a.dial(t, nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(conn.CloseNow()).To(Succeed())
	g.Eventually(func() int { return strings.Count(a.log.String(), "WebSocket completed") }).Should(Equal(2))
	g.Expect(a.log.String()).NotTo(ContainSubstring(`"ERROR"`), "a client that is gone is no fault of the agent's")
}

func TestWebSocketFromAnotherOrigin(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	a.WebSocket(func(context.Context, *websocket.Conn) error { return nil })
	_, response, err := a.dial(t, http.Header{"Origin": {"https://evil.example"}})
	g.Expect(err).To(HaveOccurred())
	g.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
	g.Expect(a.do(t, http.MethodGet, "/ws", "", nil).code).To(Equal(http.StatusUpgradeRequired))
}
