package gateway_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// mortal serves the agents of all pods at one port. Of those whose address is in ended nothing is
// heard any more.
func mortal(ctx context.Context) (port int32, ended *sync.Map) {
	GinkgoHelper()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "0.0.0.0:0")
	Expect(err).NotTo(HaveOccurred())
	ended = &sync.Map{}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if _, is := ended.Load(at.IP.String()); is {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == contract.PingPath {
			_, _ = io.WriteString(w, `{"status":"Healthy"}`)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})}
	go server.Serve(listener)
	DeferCleanup(server.Close)
	return int32(listener.Addr().(*net.TCPAddr).Port), ended
}

var _ = Describe("An agent that has exited", func() {
	It("costs its caller 424 until its node has said so, and is started again by the next call, which is no conflict", func(ctx context.Context) {
		port, ended := mortal(ctx)
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.ProtocolConfiguration.Port, s.Ping.FailureThreshold = port, 1000 // it is not stopped for that
		})
		session, doors := id(), []*door{openDoor(), openDoor()}
		for _, d := range doors {
			a := d.invoke(ctx, agent, session, ask{})
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		bury := linger(ctx, agent)
		ended.Store(sessionOf(ctx, agent, session).Status.Pod.IP, true)
		for _, d := range doors {
			a := d.invoke(ctx, agent, session, ask{})
			Expect(a.code).To(Equal(http.StatusFailedDependency), a.body)
			Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("RuntimeClientError"))
		}

		By("its node, where a sidecar keeps the pod for its whole grace")
		pod := podsOf(ctx, agent)[0]
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "agent", Image: "echo", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
		}}
		Expect(api.Status().Update(ctx, &pod)).To(Succeed())
		for _, d := range doors {
			Eventually(func() int {
				a := d.invoke(ctx, agent, session, ask{})
				Expect(a.code).To(BeElementOf(http.StatusOK, http.StatusFailedDependency), a.body)
				return a.code
			}).Should(Equal(http.StatusOK))
		}
		Expect(podsOf(ctx, agent)).To(HaveLen(2), "the one that has exited is there")
		status := sessionOf(ctx, agent, session).Status
		Expect(status.Activation).To(BeEquivalentTo(2))
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopAgentExited))
		bury()
	})
})
