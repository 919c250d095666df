package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// noonThere is an API server at which it is noon.
type noonThere struct{}

func (noonThere) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Date": {noon.Format(http.TimeFormat)}}, Body: http.NoBody}, nil
}

// A machine that begins with a wrong clock writes right leases, and believes those of others.
func TestLeasesGoByTheAPIServersClock(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"right": 0, "an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			leased, near := sessionNo(1, leasedUntil(noon.Add(time.Minute))), sessionNo(2)
			leased.ResourceVersion, near.ResourceVersion = "", ""
			api := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(near).WithObjects(leased, near).Build()
			clock := apiserver.NewClock(clocktesting.NewFakePassiveClock(noon.Add(ahead)), logr.Discard())
			way, err := rest.TransportFor(clock.Listen(&rest.Config{Host: "https://api.example", Transport: noonThere{}}))
			g.Expect(err).NotTo(HaveOccurred())
			one := New(Options{Client: api, Clock: clock, Log: logr.Discard()})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example", http.NoBody)
			g.Expect(err).NotTo(HaveOccurred())
			answer, err := way.RoundTrip(r)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(answer.Body.Close()).To(Succeed())

			_, err = one.use(t.Context(), leased, true)
			g.Expect(err).To(MatchError(errTaken))
			end, err := one.use(t.Context(), near, true)
			g.Expect(err).NotTo(HaveOccurred())
			seen := lifecycle.SeenOf(near)
			g.Expect(seen.Traffic.InUseUntil).To(BeTemporally("~", noon.Add(seen.Lease), time.Second))
			end()
			one.traffic.flush()
			g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(near), near)).To(Succeed())
			g.Expect(near.Status.Traffic.InUseUntil).To(BeNil())
			g.Expect(near.Status.Traffic.LastInvocationAt.Time).To(BeTemporally("~", noon, time.Second))
		})
	}
}
