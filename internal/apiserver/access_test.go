package apiserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/internal/apiserver"
)

// patience is for what comes in its time, on a busy machine.
const patience = 2 * time.Minute

// refusing is an API server with a pod in each namespace, that lets nobody read the pods of
// some; bound tells whether it does of team-b now.
func refusing(t *testing.T, bound *atomic.Bool) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, rest, _ := strings.Cut(r.URL.Path, "/namespaces/")
		namespace, _, _ := strings.Cut(rest, "/")
		switch {
		case namespace == "team-b" && !bound.Load():
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
		case r.URL.Query().Get("watch") == "true" && r.URL.Query().Get("sendInitialEvents") == "true":
			w.WriteHeader(http.StatusUnprocessableEntity) // as one without streaming lists
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
		case r.URL.Query().Get("watch") == "true":
			w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's is one
			<-r.Context().Done()
		default:
			fmt.Fprintf(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"namespace":%q,"name":"agent","uid":"1","resourceVersion":"1"}}]}`, namespace)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return &rest.Config{Host: server.URL}
}

// TestANamespaceThatCannotBeRead: the cache is there without it, it is reported once, and it is
// served as soon as it can be read.
func TestANamespaceThatCannotBeRead(t *testing.T) {
	g := NewWithT(t)
	var bound atomic.Bool
	lines := make(chan string, 100)
	namespaces := apiserver.Namespaces{"team-a", "team-b"}
	config, access := namespaces.Follow(refusing(t, &bound), funcr.New(func(_, args string) { lines <- args }, funcr.Options{}))
	kinds, err := apiserver.Kinds(nil, nil)
	g.Expect(err).NotTo(HaveOccurred())
	options := cache.Options{Mapper: kinds}
	namespaces.Restrict(&options)
	all, err := cache.New(config, options)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = all.GetInformer(t.Context(), &corev1.Pod{}, cache.BlockUntilSynced(false))
	g.Expect(err).NotTo(HaveOccurred())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- all.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	within, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g.Expect(all.WaitForCacheSync(within)).To(BeTrue())

	names := func(g Gomega) (found []string) {
		var pods corev1.PodList
		g.Expect(all.List(t.Context(), &pods)).To(Succeed())
		for i := range pods.Items {
			found = append(found, pods.Items[i].Namespace)
		}
		return found
	}
	g.Expect(names(g)).To(ConsistOf("team-a"))
	g.Expect(access.Check(nil)).To(Succeed())
	unreadable := func() float64 { return testutil.ToFloat64(one{access.Series()[0], "team-b"}) }
	g.Expect(unreadable()).To(BeEquivalentTo(1))

	bound.Store(true)
	g.Eventually(names, patience).Should(ConsistOf("team-a", "team-b"))
	g.Eventually(unreadable, patience).Should(BeZero())
	var line string
	g.Eventually(lines, patience).Should(Receive(&line))
	g.Expect(line).To(And(ContainSubstring("A namespace cannot be read"), ContainSubstring(`"namespace"="team-b"`)))
	g.Eventually(lines, patience).Should(Receive(ContainSubstring("can be read again")))

	var pod corev1.Pod
	bound.Store(false)
	g.Expect(all.Get(t.Context(), client.ObjectKey{Namespace: "team-b", Name: "agent"}, &pod)).To(Succeed(), "what was shown stays")
}

// TestNoNamespaceCanBeRead: a process that can do nothing is not ready.
func TestNoNamespaceCanBeRead(t *testing.T) {
	g := NewWithT(t)
	var bound atomic.Bool
	config, access := apiserver.Namespaces{"team-b"}.Follow(refusing(t, &bound), funcr.New(func(string, string) {}, funcr.Options{}))
	transport, err := rest.HTTPClientFor(config)
	g.Expect(err).NotTo(HaveOccurred())
	list := func(path string) {
		answer, err := transport.Get(config.Host + path)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(answer.Body.Close()).To(Succeed())
	}
	g.Expect(access.Check(nil)).To(Succeed(), "nothing was asked yet")
	list("/api/v1/namespaces/team-b/pods/one")
	g.Expect(access.Check(nil)).To(Succeed(), "one object is not the namespace")
	list("/api/v1/namespaces/team-b/pods")
	list("/apis/apps/v1/namespaces/team-b/controllerrevisions")
	g.Expect(access.Check(nil)).To(MatchError(ContainSubstring("none of the namespaces team-b")))
	bound.Store(true)
	list("/api/v1/namespaces/team-b/pods")
	g.Expect(access.Check(nil)).NotTo(Succeed(), "one of two kinds may still not be read")
	list("/apis/apps/v1/namespaces/team-b/controllerrevisions")
	g.Expect(access.Check(nil)).To(Succeed())
}

// one is the series of one namespace.
type one struct {
	prometheus.Collector
	namespace string
}

func (o one) Collect(to chan<- prometheus.Metric) {
	vec, _ := o.Collector.(*prometheus.GaugeVec)
	vec.WithLabelValues(o.namespace).Collect(to)
}
