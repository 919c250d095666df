package gateway_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/gateway"
)

// broken is a way to the API server on which each request fails while it is set. Watches that
// are open stay.
type broken struct {
	http.RoundTripper

	fails atomic.Pointer[failing]
}

type failing func(*http.Request) (*http.Response, error)

func (b *broken) RoundTrip(r *http.Request) (*http.Response, error) {
	if fails := b.fails.Load(); fails != nil {
		return (*fails)(r)
	}
	return b.RoundTripper.RoundTrip(r)
}

// answers has each request answered in the place of the API server.
func answers(code int, kind, body string) failing {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: code, ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	}
}

var _ = Describe("A gateway whose API server cannot be asked", func() {
	DescribeTable("answers 503 and when to try again, to those who need it",
		func(ctx context.Context, fails failing) {
			way, cache := &broken{}, &late{were: map[client.ObjectKey]*v1alpha1.AgentSession{}}
			url, shut, err := plane.DoorThrough(func(next http.RoundTripper) http.RoundTripper {
				way.RoundTripper = next
				return way
			}, func(o *gateway.Options) {
				cache.Client = o.Client
				o.Client = cache
			})
			Expect(err).NotTo(HaveOccurred())
			d, other := newDoor(url, shut), openDoor()
			agent, running, ending, unborn := newRuntime(ctx, newNamespace(ctx)), id(), id(), id()
			for _, session := range []string{running, ending} {
				a := other.invoke(ctx, agent, session, ask{})
				Expect(a.code).To(Equal(http.StatusOK), a.body)
			}
			Eventually(func() int { return d.invoke(ctx, agent, running, ask{}).code }).Should(Equal(http.StatusOK))
			near := sessionOf(ctx, agent, ending)
			near.Status.Traffic, near.Status.NextStop = nil, &v1alpha1.NextStop{Reason: v1alpha1.StopIdleTimeout, At: metav1.Now()}
			cache.shows(near)

			way.fails.Store(&fails)
			for what, a := range map[string]answer{
				"a call of a new session":      d.invoke(ctx, agent, unborn, ask{}),
				"a call near the idle timeout": d.invoke(ctx, agent, ending, ask{}),
				"a stop":                       d.stop(ctx, agent, running, ""),
			} {
				Expect(a.code).To(Equal(http.StatusServiceUnavailable), "%s: %s", what, a.body)
				Expect(a.header.Get("Retry-After")).To(Equal("2"), what)
				Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("InternalServerException"), what)
				Expect(a.failed.Message).To(HavePrefix("The API server of the cluster cannot be asked at the moment"), what)
			}
			Expect(d.invoke(ctx, agent, running, ask{}).code).To(Equal(http.StatusOK), "it needs nothing of it")

			way.fails.Store(nil)
			for _, session := range []string{unborn, ending} {
				a := d.invoke(ctx, agent, session, ask{})
				Expect(a.code).To(Equal(http.StatusOK), a.body)
			}
			Expect(sessionOf(ctx, agent, ending).Status.Activation).To(BeEquivalentTo(1))
			Expect(d.stop(ctx, agent, running, "").code).To(Equal(http.StatusOK))
		},
		Entry("when it does not listen", failing(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		})),
		Entry("when a load balancer says so for it", answers(http.StatusBadGateway, "text/html", "<html>Bad Gateway</html>")),
		Entry("when its etcd is away", answers(http.StatusInternalServerError, "application/json",
			`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcdserver: no leader","code":500}`)),
	)
})
