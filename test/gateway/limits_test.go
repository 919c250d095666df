package gateway_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/gateway"
)

// aLot is more than the buffers between an agent and a caller hold.
var aLot = strings.Repeat("x", 24<<20)

// narrow connects a caller that can take little at once.
func narrow(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}
	return conn, err
}

// limits has a gateway with limits that a test can wait for.
func limits(request, stream time.Duration) func(*gateway.Options) {
	return func(o *gateway.Options) { o.RequestTimeout, o.StreamTimeout = request, stream }
}

// warm is a session that has answered.
func warm(ctx context.Context, agent *v1alpha1.AgentRuntime) (session string) {
	GinkgoHelper()
	session = id()
	Expect(openDoor().invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
	return session
}

var _ = Describe("The time of a call", func() {
	expectIdleStop := func(ctx context.Context, agent *v1alpha1.AgentRuntime, session string) {
		GinkgoHelper()
		Eventually(stateOf(ctx, agent, session)).WithTimeout(2 * time.Minute).Should(Equal(v1alpha1.StateStopped))
		Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	}

	It("ends also for a caller who takes nothing of his stream", func(ctx context.Context) {
		d, agent := openDoor(limits(time.Minute, 8*time.Second)), newRuntime(ctx, newNamespace(ctx), idlesIn(2*idle))
		session := warm(ctx, agent)
		var conn net.Conn
		client := &http.Client{Transport: &http.Transport{ReadBufferSize: 1 << 10, DialContext: func(ctx context.Context, network, address string) (_ net.Conn, err error) {
			conn, err = narrow(ctx, network, address)
			return conn, err
		}}}
		response, err := client.Do(d.request(ctx, path(agent, "invocations"), session, ask{Raw: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", Lots: len(aLot)}))
		Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		Expect(response.StatusCode).To(Equal(http.StatusOK))
		expectIdleStop(ctx, agent, session)
		Expect(d.shut()).To(Succeed(), "nothing is in flight")
		Expect(conn.(*net.TCPConn).SetReadBuffer(4 << 20)).To(Succeed()) // what is in the buffers comes in seconds
		_, err = io.ReadAll(response.Body)
		Expect(err).To(HaveOccurred(), "it is cut")
	})

	It("ends also for a caller who takes nothing of his WebSocket", func(ctx context.Context) {
		d, agent := openDoor(limits(time.Minute, 12*time.Second)), newRuntime(ctx, newNamespace(ctx), idlesIn(2*idle))
		session := warm(ctx, agent)
		socket, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(d.url, "http")+path(agent, "ws"), &websocket.DialOptions{
			HTTPHeader: http.Header{"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": {session}},
			HTTPClient: &http.Client{Transport: &http.Transport{DialContext: narrow}},
		})
		Expect(err).NotTo(HaveOccurred())
		defer socket.CloseNow()
		Expect(socket.Write(ctx, websocket.MessageText, []byte(`{"chunks":2000,"kind":"`+aLot[:16<<10]+`"}`))).To(Succeed())
		expectIdleStop(ctx, agent, session)
		Expect(d.shut()).To(Succeed(), "nothing is in flight")
	})

	It("is over with an error before the answer, and with a cut in it", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session := warm(ctx, agent)
		d := openDoor(limits(5*time.Second, 8*time.Second))
		late := d.invoke(ctx, agent, session, ask{Sleep: "1h"})
		Expect(late.code).To(Equal(http.StatusFailedDependency))
		Expect(late.header.Get("X-Amzn-ErrorType")).To(Equal("RuntimeClientError"))
		Expect(late.failed.Message).To(Equal("The invocation took longer than it may, 5s (the gateway's): the agent had not answered."))
		Eventually(plane.Gone).Should(Receive(Equal(session)))

		began := time.Now()
		stream := d.invoke(ctx, agent, session, ask{Chunks: 2, Sleep: "1h"})
		Expect(time.Since(began)).To(BeNumerically(">", 5*time.Second), "a stream may last longer")
		Expect(stream.code).To(Equal(http.StatusOK))
		Expect(stream.body).To(HavePrefix("data: 0"))
		Expect(stream.err).To(HaveOccurred(), "it is cut")
		Eventually(plane.Gone).Should(Receive(Equal(session)))
	})

	It("is over for a session that still starts, with words that say so", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), held, func(s *v1alpha1.AgentRuntimeSpec) {
			s.Limits.RequestTimeoutSeconds = 10 // in which a busy machine makes the session
		}), id()
		late := d.invoke(ctx, agent, session, ask{})
		Expect(late.code).To(Equal(http.StatusFailedDependency), late.body)
		Expect(late.failed.Message).To(Equal(
			"The invocation took longer than it may, 10s (limits.requestTimeoutSeconds of the runtime): the session was still starting."))
		letGo(ctx, agent)
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateIdle), "the start goes on")
	})

	It("is that of a stream for an answer of no known length, and for no other", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session := warm(ctx, agent)
		d := openDoor(limits(5*time.Second, time.Hour))
		chunked := d.invoke(ctx, agent, session, ask{Chunks: 2, Sleep: "3s", Kind: "application/json"})
		Expect(chunked.code).To(Equal(http.StatusOK), chunked.body)
		Expect(chunked.err).NotTo(HaveOccurred())
		Expect(chunked.body).To(Equal("data: 0\n\ndata: 1\n\n"))
		waiting, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		known := d.invoke(waiting, agent, session, ask{Raw: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata"})
		Expect(known.code).To(Equal(http.StatusOK))
		Expect(known.err).To(MatchError(io.ErrUnexpectedEOF), "it is cut")
	})
})

var _ = Describe("A large payload", func() {
	It("keeps its place until the agent has it, not until it has answered", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session := warm(ctx, agent)
		d := openDoor(func(o *gateway.Options) { o.QueueTimeout = 10 * time.Second })
		for range 17 { // one more than there are places for such as do not tell their length
			r := d.request(ctx, path(agent, "invocations"), session, []byte(`{"chunks":2,"sleep":"1h","pad":"`+aLot[:300<<10]+`"}`))
			r.ContentLength = -1
			response, err := http.DefaultClient.Do(r)
			Expect(err).NotTo(HaveOccurred())
			defer response.Body.Close()
			Expect(response.StatusCode).To(Equal(http.StatusOK))
		}
	})

	It("is refused before it comes, if it is too large", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		r := d.request(ctx, path(agent, "invocations"), id(), ask{})
		r.Body, _ = io.Pipe() // it does not come
		r.ContentLength = 100_000_001
		response, err := http.DefaultClient.Do(r)
		Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		Expect(response.StatusCode).To(Equal(http.StatusRequestEntityTooLarge))
		Expect(response.Header.Get("X-Amzn-ErrorType")).To(Equal("ValidationException"))
	})
})
