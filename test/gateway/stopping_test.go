package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var _ = Describe("A session that is told to stop", func() {
	// A stream that has begun.
	stream := func(ctx context.Context, d *door, agent *v1alpha1.AgentRuntime, session string, do ask) *bufio.Reader {
		GinkgoHelper()
		response, err := http.DefaultClient.Do(d.request(ctx, path(agent, "invocations"), session, do))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(response.Body.Close)
		Expect(response.StatusCode).To(Equal(http.StatusOK))
		body := bufio.NewReader(response.Body)
		line, err := body.ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		Expect(line).To(Equal("data: 0\n"))
		return body
	}
	expectStopping := func(ctx context.Context, agent *v1alpha1.AgentRuntime, session string) {
		GinkgoHelper()
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopping))
		Expect(podsOf(ctx, agent)).To(HaveLen(1), "its agent is there and has not ended")
	}

	It("ends all calls of it at once, at each gateway, and none looks whole", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session, doors := warm(ctx, agent), []*door{openDoor(), openDoor()}
		bury := linger(ctx, agent)
		var streams []*bufio.Reader
		var sockets []*websocket.Conn
		plain := make(chan answer, len(doors))
		for _, d := range doors {
			streams = append(streams, stream(ctx, d, agent, session, ask{Chunks: 2, Sleep: "1h"}))
			socket, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(d.url, "http")+path(agent, "ws"), &websocket.DialOptions{
				HTTPHeader: http.Header{"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": {session}},
			})
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(socket.CloseNow)
			_, _, err = socket.Read(ctx)
			Expect(err).NotTo(HaveOccurred())
			sockets = append(sockets, socket)
			go func() {
				defer GinkgoRecover()
				plain <- d.invoke(ctx, agent, session, ask{Sleep: "1h"})
			}()
		}
		Eventually(func() int64 { return doors[0].invoke(ctx, agent, session, ask{}).told.Others }).Should(BeEquivalentTo(6))
		Expect(doors[0].stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		for i := range doors {
			_, err := io.ReadAll(streams[i])
			Expect(err).To(MatchError(io.ErrUnexpectedEOF))
			_, _, err = sockets[i].Read(ctx)
			Expect(err).To(HaveOccurred())
			Expect(websocket.CloseStatus(err)).To(BeEquivalentTo(-1), "no end that looks whole")
			var a answer
			Eventually(plain).Should(Receive(&a))
			Expect(a.code).To(Equal(http.StatusFailedDependency), a.body)
			Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("RuntimeClientError"))
			Expect(a.failed.Message).To(Equal("The session was stopped while its agent worked on this invocation: StopRequested."))
		}
		expectStopping(ctx, agent, session)
		for range 4 { // the agent's side too; that of a WebSocket does not tell
			Eventually(plane.Gone).Should(Receive(Equal(session)))
		}
		bury()
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
	})

	It("ends them too when its time is up", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{MaxLifetime: 300}
		})
		session, d := warm(ctx, agent), openDoor()
		bury := linger(ctx, agent)
		body := stream(ctx, d, agent, session, ask{Chunks: 2, Sleep: "1h"})
		_, err := io.ReadAll(body)
		Expect(err).To(MatchError(io.ErrUnexpectedEOF))
		expectStopping(ctx, agent, session)
		Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopMaxLifetime))
		bury()
	})

	It("ends them when it is deleted", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session, d := warm(ctx, agent), openDoor()
		body := stream(ctx, d, agent, session, ask{Chunks: 2, Sleep: "1h"})
		Expect(api.Delete(ctx, sessionOf(ctx, agent, session))).To(Succeed())
		_, err := io.ReadAll(body)
		Expect(err).To(MatchError(io.ErrUnexpectedEOF))
	})

	It("lets them use the grace that its agent has when its pod is taken away", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session, d := warm(ctx, agent), openDoor()
		bury := linger(ctx, agent)
		body := stream(ctx, d, agent, session, ask{Chunks: 2, Sleep: "6s"})
		pod := podsOf(ctx, agent)[0]
		Expect(api.Delete(ctx, &pod, client.GracePeriodSeconds(60))).To(Succeed())
		expectStopping(ctx, agent, session)
		By("calling it meanwhile, which wakes it")
		other := d.invoke(ctx, agent, session, ask{})
		Expect(other.code).To(Equal(http.StatusOK), other.body)
		Expect(other.told.Pod).NotTo(Equal(pod.Name))
		rest, err := io.ReadAll(body)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(rest)).To(ContainSubstring("data: 1"))
		bury()
	})
})
