package gateway_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// unused is an address on which nobody listens, and which no system gives to one who asks for
// any: before it is listened on, it would be another's.
func unused() string {
	GinkgoHelper()
	var listener net.Listener
	Eventually(func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		return err
	}).Should(Succeed())
	defer listener.Close()
	return listener.Addr().String()
}

// buildGateway builds the gateway's own binary, once.
var buildGateway = sync.OnceValues(func() (string, error) {
	return gexec.BuildWithEnvironment("github.com/agentsession/agentsession/cmd/gateway", []string{"CGO_ENABLED=0"}, "-trimpath") // as make test has compiled it
})

var _ = AfterSuite(gexec.CleanupBuildArtifacts)

// startGateway starts the gateway's own binary, and waits until it is ready.
func startGateway(environment []string, args ...string) (d *door, ready func() int, process *gexec.Session) {
	GinkgoHelper()
	binary, err := buildGateway()
	Expect(err).NotTo(HaveOccurred())
	kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	content, err := plane.Kubeconfig()
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(kubeconfig, content, 0o600)).To(Succeed())
	d, health := &door{url: "http://" + unused()}, "http://"+unused()
	command := exec.Command(binary, append([]string{
		"--authentication=none", "--metrics-bind-address=0", "--allow-loopback-agents",
		"--bind-address=" + d.url[len("http://"):], "--health-probe-bind-address=" + health[len("http://"):],
	}, args...)...)
	command.Env = append(append(os.Environ(), "KUBECONFIG="+kubeconfig), environment...)
	process, err = gexec.Start(command, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(process.Kill)
	ready = func() int {
		response, err := http.Get(health + "/readyz")
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	Eventually(ready).WithTimeout(time.Minute).Should(Equal(http.StatusOK))
	return d, ready, process
}

var _ = Describe("The gateway's own process", func() {
	It("that is told to end is not ready, serves on for a while, and cuts nobody", func(ctx context.Context) {
		agent := newRuntime(ctx, newNamespace(ctx))
		d, ready, process := startGateway(nil, "--shutdown-delay=20s")
		session := id()
		response, err := http.DefaultClient.Do(d.request(ctx, path(agent, "invocations"), session, ask{Chunks: 2, Sleep: "15s"}))
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

	It("trusts the authorities of $SSL_CERT_DIR with issuers, and no others that nobody knows", func(ctx context.Context) {
		issuer, roots := newIDP(), GinkgoT().TempDir()
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.AuthorizerConfiguration = issuer.authorizes() })
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
		Expect(os.WriteFile(filepath.Join(roots, "private.crt"), authority, 0o600)).To(Succeed())
		for environment, code := range map[string]int{"SSL_CERT_DIR=" + roots: http.StatusOK, "SSL_CERT_DIR=": http.StatusUnauthorized} {
			d, _, _ := startGateway([]string{environment})
			r := d.request(ctx, path(agent, "invocations"), id(), ask{})
			r.Header.Set("Authorization", "Bearer "+sign(jose.ES256, issuer.key, "first", issuer.claims(nil)))
			a := send(r)
			Expect(a.code).To(Equal(code), "%s: %s", environment, a.body)
		}
	})
})
