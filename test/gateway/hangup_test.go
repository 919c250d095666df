package gateway_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var _ = Describe("A caller who hangs up", func() {
	// others are the calls that the agent has when one more comes.
	others := func(ctx context.Context, d *door, agent *v1alpha1.AgentRuntime, session string) func() int64 {
		return func() int64 { return d.invoke(ctx, agent, session, ask{}).told.Others }
	}
	// hangsUp makes a call, and leaves when the agent has it.
	hangsUp := func(ctx context.Context, from, d *door, agent *v1alpha1.AgentRuntime, session string, do ask) {
		GinkgoHelper()
		before := others(ctx, d, agent, session)()
		calling, leave := context.WithCancel(ctx)
		gone := make(chan answer, 1)
		r := from.request(calling, path(agent, "invocations"), session, do)
		go func() {
			response, err := http.DefaultClient.Do(r)
			if err == nil {
				_ = response.Body.Close()
			}
			gone <- answer{err: err}
		}()
		Eventually(others(ctx, d, agent, session)).Should(Equal(before + 1))
		leave()
		Expect((<-gone).err).To(MatchError(context.Canceled))
	}

	It("leaves the agent to work to its end, the session in use, and the gateway there", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session, other, d := warm(ctx, agent), openDoor(), openDoor()
		hangsUp(ctx, d, other, agent, session, ask{Wait: "1h"})
		Eventually(func() *v1alpha1.Traffic { return sessionOf(ctx, agent, session).Status.Traffic }).Should(HaveField("InUseUntil", Not(BeNil())))
		ended := make(chan error, 1)
		go func() { ended <- d.shut() }()
		Consistently(ended, 4*time.Second).ShouldNot(Receive())
		Expect(other.invoke(ctx, agent, session, ask{Wakes: true}).code).To(Equal(http.StatusOK))
		Eventually(ended).Should(Receive(BeNil()))
		Expect(others(ctx, other, agent, session)()).To(BeZero(), "it has come to its end")
		Expect(plane.Gone).NotTo(Receive(Equal(session)))
		Eventually(func() *v1alpha1.Traffic { return sessionOf(ctx, agent, session).Status.Traffic }).Should(HaveField("InUseUntil", BeNil()))
	})

	It("leaves it no longer than a call may take", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session, other, d := warm(ctx, agent), openDoor(), openDoor(limits(20*time.Second, time.Hour))
		hangsUp(ctx, d, other, agent, session, ask{Sleep: "1h"})
		Eventually(plane.Gone).Should(Receive(Equal(session)))
		Expect(d.shut()).To(Succeed(), "nothing is in flight")
	})

	It("ends the work if the runtime says so", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.OnDisconnect = v1alpha1.OnDisconnectCancel })
		session, d := warm(ctx, agent), openDoor()
		hangsUp(ctx, d, d, agent, session, ask{Sleep: "1h"})
		Eventually(plane.Gone).Should(Receive(Equal(session)))
	})

	It("ends a stream that comes when he has gone", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session, d := warm(ctx, agent), openDoor()
		for _, do := range []ask{
			{Wait: "1h", Chunks: 2, Sleep: "1h"},
			{Wait: "1h", Raw: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata"},
		} {
			hangsUp(ctx, d, d, agent, session, do)
			Expect(d.invoke(ctx, agent, session, ask{Wakes: true}).code).To(Equal(http.StatusOK))
			Eventually(plane.Gone).Should(Receive(Equal(session)))
		}
	})

	It("leaves no more of such work than there are places for", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		session, d := warm(ctx, agent), openDoor()
		for range 16 {
			hangsUp(ctx, d, d, agent, session, ask{Sleep: "1h"})
		}
		Consistently(plane.Gone).ShouldNot(Receive(Equal(session)))
		hangsUp(ctx, d, d, agent, session, ask{Sleep: "1h"})
		Eventually(plane.Gone).Should(Receive(Equal(session)))
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		eventuallyStopped(ctx, agent, session, d)
		Expect(d.shut()).To(Succeed())
	})

	It("has had nothing done for him while his session starts, which goes on", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), held), id()
		calling, leave := context.WithCancel(ctx)
		gone := make(chan error, 1)
		r := d.request(calling, path(agent, "invocations"), session, ask{})
		go func() {
			response, err := http.DefaultClient.Do(r)
			if err == nil {
				_ = response.Body.Close()
			}
			gone <- err
		}()
		Eventually(func() int { return len(podsOf(ctx, agent)) }).Should(Equal(1))
		leave()
		Expect(<-gone).To(MatchError(context.Canceled))
		Expect(d.shut()).To(Succeed(), "nobody waits for it")
		letGo(ctx, agent)
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateIdle))
		Expect(openDoor().invoke(ctx, agent, session, ask{}).told.Calls).To(BeEquivalentTo(1))
	})
})
