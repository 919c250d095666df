package gateway_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/netutil"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// oneThread serves one connection after the other, each for as long as its client keeps it, as
// Python's http.server does in HTTP/1.1. It returns its port, at which all pods reach it, and
// how many calls would have kept their connection.
func oneThread(ctx context.Context) (port int32, keeping *atomic.Int32) {
	GinkgoHelper()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "0.0.0.0:0")
	Expect(err).NotTo(HaveOccurred())
	keeping = &atomic.Int32{}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == contract.PingPath {
			_, _ = io.WriteString(w, `{"status":"Healthy"}`)
			return
		}
		if !r.Close {
			keeping.Add(1)
		}
		_, _ = io.WriteString(w, `{}`)
	})}
	go server.Serve(netutil.LimitListener(listener, 1))
	DeferCleanup(server.Close)
	return int32(listener.Addr().(*net.TCPAddr).Port), keeping
}

var _ = Describe("An agent that serves one connection at a time", func() {
	It("can be called by every gateway, while another calls it again and again", func(ctx context.Context) {
		port, keeping := oneThread(ctx)
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.ProtocolConfiguration.Port = port })
		one, other := openDoor(), openDoor()
		var session string
		Eventually(func() bool { // an agent whose first answer was slow is found out later
			session = id()
			a := one.invoke(ctx, agent, session, ask{})
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			if sessionOf(ctx, agent, session).Status.Pod.OneConnection {
				return true
			}
			Expect(one.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
			return false
		}).Should(BeTrue())
		keeping.Store(0)

		calling, stop := context.WithCancel(ctx)
		defer stop()
		called, ended := make(chan struct{}, 1), make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(ended)
			for calling.Err() == nil {
				if fetch(one.request(calling, path(agent, "invocations"), session, ask{})).code == http.StatusOK {
					select {
					case called <- struct{}{}:
					default:
					}
				}
				time.Sleep(10 * time.Millisecond) // each call is a line of the log
			}
		}()
		Eventually(called).Should(Receive())
		within, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for range 3 {
			a := fetch(other.request(within, path(agent, "invocations"), session, ask{}))
			Expect(a.err).NotTo(HaveOccurred())
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		stop()
		<-ended
		Expect(keeping.Load()).To(BeZero())
		Expect(sessionOf(ctx, agent, session).Status).To(And(HaveField("Activation", BeEquivalentTo(1)), HaveField("Pod.OneConnection", true)))
	})
})
