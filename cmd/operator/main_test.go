package main

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/prober"
)

func TestFlagsAreChecked(t *testing.T) {
	for name, row := range map[string]struct {
		options options
		says    string
	}{
		"as it is":                {options{probe: probeCentral, timeScale: 1}, ""},
		"scaled":                  {options{probe: probeCentral, timeScale: maxTimeScale}, ""},
		"scaled too far":          {options{probe: probeCentral, timeScale: maxTimeScale + 1}, "--time-scale is 201: it must be from 1 to 200"},
		"not scaled":              {options{probe: probeCentral, timeScale: 0}, "--time-scale is 0"},
		"a lease":                 {options{probe: probeCentral, timeScale: 1, leaderElect: true, leaderNamespace: "x"}, ""},
		"nobody asks":             {options{probe: probeNone, timeScale: 1}, ""},
		"a node":                  {options{probe: probeNode, nodeName: "n", timeScale: 1}, ""},
		"a node of no name":       {options{probe: probeNode, timeScale: 1}, "--probe=node needs --node-name"},
		"a node with a lease":     {options{probe: probeNode, nodeName: "n", timeScale: 1, leaderElect: true, leaderNamespace: "x"}, "--leader-elect is not for --probe=node"},
		"another probe":           {options{probe: "nodes", timeScale: 1}, `--probe is "nodes": it must be central, node or none`},
		"another region":          {options{probe: probeCentral, timeScale: 1, region: "us-gov-west-1"}, ""},
		"no region":               {options{probe: probeCentral, timeScale: 1, region: "local"}, `--region is "local": it must be as AWS's are, for example us-east-1`},
		"a gateway":               {options{probe: probeCentral, timeScale: 1, gatewayURL: "https://agents.example:8443/gateway"}, ""},
		"no URL of a gateway":     {options{probe: probeCentral, timeScale: 1, gatewayURL: "agents.example"}, `--gateway-url is "agents.example": it must be`},
		"a shard":                 {options{probe: probeNone, timeScale: 1, leaderElect: true, leaderNamespace: "x", selector: shard(t, "shard=a")}, ""},
		"a shard without a lease": {options{probe: probeCentral, timeScale: 1, selector: shard(t, "shard=a")}, `--watch-label-selector is "shard=a": it needs --leader-elect`},
		"a shard of a node":       {options{probe: probeNode, nodeName: "n", timeScale: 1, selector: shard(t, "shard=a")}, `--watch-label-selector is "shard=a": it is not for --probe=node`},
		"a lease of no place":     {options{probe: probeCentral, timeScale: 1, leaderElect: true}, "--leader-election-namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			if row.options.region == "" {
				row.options.region = controllers.DefaultRegion
			}
			err := row.options.validate()
			if row.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(row.says)))
		})
	}
}

func shard(t *testing.T, text string) (s apiserver.Selector) {
	t.Helper()
	NewWithT(t).Expect(s.Set(text)).To(Succeed())
	return s
}

// lease is a lease that is held by whom it says.
type lease struct {
	resourcelock.Interface
	record resourcelock.LeaderElectionRecord
}

func (l *lease) Identity() string { return "me" }

func (l *lease) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record := l.record
	return &record, nil, nil
}

func TestTheLockRemembersWhenThePredecessorWasSeen(t *testing.T) {
	g := NewWithT(t)
	behind := &lease{}
	l := &lock{Interface: behind}
	get := func(holder string, renewed int64) {
		behind.record = resourcelock.LeaderElectionRecord{HolderIdentity: holder, RenewTime: metav1.Unix(renewed, 0)}
		_, _, err := l.Get(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(l.predecessorSeen()).To(BeZero())
	get("other", 100)
	get("other", 102)
	g.Expect(l.predecessorSeen()).To(Equal(time.Unix(102, 0)))
	get("me", 110)
	g.Expect(l.predecessorSeen()).To(Equal(time.Unix(102, 0)), "our own renewals do not count")
	get("", 120) // released on cancel
	g.Expect(l.predecessorSeen()).To(Equal(time.Unix(120, 0)))
}

// TestItWaitsForTheAPIServer: while that is away, the process neither ends nor fails its
// liveness check; it is not ready, and ends when it is told to.
func TestItWaitsForTheAPIServer(t *testing.T) {
	g := NewWithT(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	mgr, _, err := newManager(&rest.Config{Host: "http://127.0.0.1:1"}, options{probe: probeCentral, healthAddress: address, metricsAddress: "0"})
	g.Expect(err).NotTo(HaveOccurred())
	reconciler := &controllers.AgentSessionReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("test"), Prober: prober.New(prober.Options{})}
	g.Expect(reconciler.SetupWithManager(mgr)).To(Succeed())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- apiserver.Start(ctx, mgr) }()
	says := func(path string) func() (int, error) {
		return func() (int, error) {
			answer, err := http.Get("http://" + address + path)
			if err != nil {
				return 0, err
			}
			return answer.StatusCode, answer.Body.Close()
		}
	}
	g.Eventually(says("/healthz"), time.Minute).Should(Equal(http.StatusOK))
	g.Expect(says("/healthz/agentsession")()).To(Equal(http.StatusOK), "its workers are looked at")
	g.Expect(says("/healthz/prober")()).To(Equal(http.StatusOK), "so is who asks the agents")
	g.Expect(says("/healthz/nobody")()).To(Equal(http.StatusNotFound))
	g.Eventually(says("/readyz"), time.Minute).Should(Equal(http.StatusInternalServerError))
	g.Expect(ended).NotTo(Receive())
	stop()
	g.Eventually(ended, time.Minute).Should(Receive(BeNil()))
}

// TestItTrustsMozillasAuthorities: it has set Go's fallback, which may be done once in a process,
// and is linked to have that taken beside an authority of the cluster's own.
func TestItTrustsMozillasAuthorities(t *testing.T) {
	g := NewWithT(t)
	const child = "IS_THE_OPERATOR"
	if os.Getenv(child) != "" {
		g.Expect(run(options{})).To(MatchError(ContainSubstring("--time-scale is 0")))
		g.Expect(func() { x509.SetFallbackRoots(x509.NewCertPool()) }).To(Panic())
		return
	}
	operator := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestItTrustsMozillasAuthorities$")
	operator.Env = append(os.Environ(), child+"=yes")
	out, err := operator.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	settings, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.DefaultGODEBUG}}", ".").Output()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(settings)).To(ContainSubstring("x509usefallbackroots=1"))
}
