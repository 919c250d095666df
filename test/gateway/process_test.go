package gateway_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// unused is an address on which nobody listens.
func unused() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	return listener.Addr().String()
}

var _ = Describe("The gateway's own process", func() {
	It("that is told to end is not ready, serves on for a while, and cuts nobody", func(ctx context.Context) {
		binary, err := gexec.Build("github.com/agentsession/agentsession/cmd/gateway")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gexec.CleanupBuildArtifacts)
		kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
		content, err := plane.Kubeconfig()
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(kubeconfig, content, 0o600)).To(Succeed())
		agent := newRuntime(ctx, newNamespace(ctx))
		d, health := &door{url: "http://" + unused()}, "http://"+unused()
		command := exec.Command(binary, "--authentication=none", "--metrics-bind-address=0", "--shutdown-delay=10s", "--allow-loopback-agents",
			"--bind-address="+d.url[len("http://"):], "--health-probe-bind-address="+health[len("http://"):])
		command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		process, err := gexec.Start(command, GinkgoWriter, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(process.Kill)
		ready := func() int {
			response, err := http.Get(health + "/readyz")
			if err != nil {
				return 0
			}
			defer response.Body.Close()
			return response.StatusCode
		}
		Eventually(ready).WithTimeout(time.Minute).Should(Equal(http.StatusOK))
		session := id()
		response, err := http.DefaultClient.Do(d.request(ctx, path(agent, "invocations"), session, ask{Chunks: 2, Sleep: "12s"}))
		Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()

		process.Signal(syscall.SIGTERM)
		Eventually(ready).Should(Equal(http.StatusInternalServerError))
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK), "some do not know it yet")
		Eventually(func() error {
			conn, err := net.Dial("tcp", d.url[len("http://"):])
			if err == nil {
				conn.Close()
			}
			return err
		}).Should(MatchError(syscall.ECONNREFUSED))
		Expect(io.ReadAll(response.Body)).To(BeEquivalentTo("data: 0\n\ndata: 1\n\n"))
		Eventually(process).WithTimeout(time.Minute).Should(gexec.Exit(0))
	})
})
