package gateway_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// still is a way to the API server on which what is locked stands still.
type still struct {
	http.RoundTripper

	watches, traffic sync.RWMutex
	held             chan struct{} // gets one for each write of traffic that is about to go
}

func pass(gate *sync.RWMutex) {
	gate.RLock()
	defer gate.RUnlock()
}

func (s *still) RoundTrip(r *http.Request) (*http.Response, error) {
	sessions := strings.Contains(r.URL.Path, "/agentsessions")
	if sessions && r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/status") {
		s.held <- struct{}{}
		pass(&s.traffic)
	}
	answer, err := s.RoundTripper.RoundTrip(r)
	if err == nil && sessions && r.URL.Query().Has("watch") {
		answer.Body = &stillBody{answer.Body, &s.watches}
	}
	return answer, err
}

type stillBody struct {
	io.ReadCloser

	gate *sync.RWMutex
}

func (b *stillBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	pass(b.gate)
	return n, err
}

// openStillDoor starts a gateway, and returns its way to the API server.
func openStillDoor() (*door, *still) {
	GinkgoHelper()
	way := &still{held: make(chan struct{}, 1000)}
	url, shut, err := plane.DoorThrough(func(next http.RoundTripper) http.RoundTripper {
		way.RoundTripper = next
		return way
	}, waiting)
	Expect(err).NotTo(HaveOccurred())
	return newDoor(url, shut), way
}

func hold(gate *sync.RWMutex) {
	gate.Lock()
	DeferCleanup(gate.Unlock)
}

var _ = Describe("A gateway whose API server stands still", func() {
	// calls has a call go through while a longer one is told, which it ends.
	calls := func(ctx context.Context, told func(agent *v1alpha1.AgentRuntime, session string)) func(d *door) {
		return func(d *door) {
			GinkgoHelper()
			agent, session, long := newRuntime(ctx, newNamespace(ctx)), id(), make(chan answer, 1)
			first := d.invoke(ctx, agent, session, ask{})
			Expect(first.code).To(Equal(http.StatusOK), first.body)
			go func() {
				defer GinkgoRecover()
				long <- d.invoke(ctx, agent, session, ask{Wait: "1h"})
			}()
			told(agent, session)
			short, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			a := d.invoke(short, agent, session, ask{Wakes: true})
			Expect(a.err).NotTo(HaveOccurred())
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Eventually(long).Should(Receive(&a))
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
	}

	It("has no call wait for what it writes in the background", func(ctx context.Context) {
		d, way := openStillDoor()
		hold(&way.traffic)
		calls(ctx, func(*v1alpha1.AgentRuntime, string) { Eventually(way.held).Should(Receive()) })(d)
	})

	It("has no call wait until its watch shows what it wrote", func(ctx context.Context) {
		d, way := openStillDoor()
		calls(ctx, func(agent *v1alpha1.AgentRuntime, session string) {
			hold(&way.watches)
			Eventually(func() *v1alpha1.Traffic { return sessionOf(ctx, agent, session).Status.Traffic }).Should(
				HaveValue(HaveField("InUseUntil", Not(BeNil()))))
		})(d)
	})

	It("looks for sessions that its watch does not show", func(ctx context.Context) {
		other := openDoor()
		d, way := openStillDoor()
		agent := newRuntime(ctx, newNamespace(ctx))
		hold(&way.watches)
		By("one that it starts, and others that another gateway has started, and stopped")
		began, started, stopped := id(), id(), id()
		for _, session := range []string{started, stopped} {
			Expect(other.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		}
		Expect(other.stop(ctx, agent, stopped, "").code).To(Equal(http.StatusOK))
		Eventually(stateOf(ctx, agent, stopped)).Should(Equal(v1alpha1.StateStopped))
		for session, activation := range map[string]int{began: 1, started: 1, stopped: 2} {
			a := d.invoke(ctx, agent, session, ask{})
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Expect(sessionOf(ctx, agent, session).Status.Activation).To(BeEquivalentTo(activation))
		}
	})
})
