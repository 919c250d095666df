package gateway

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// machine has a clock that can be set, on the way to an API server whose clock can be too.
type machine struct {
	elapsed, set, far, takes time.Duration
	lines                    []string
	away                     error
}

func (m *machine) clock() *Clock {
	log := funcr.New(func(_, line string) { m.lines = append(m.lines, line) }, funcr.Options{})
	return newClock(log, func() time.Time { return noon.Add(m.elapsed + m.set) }, func() time.Duration { return m.elapsed })
}

// server is the time at the API server.
func (m *machine) server() time.Time { return noon.Add(m.elapsed + m.far) }

func (m *machine) RoundTrip(*http.Request) (*http.Response, error) {
	m.elapsed += m.takes
	return &http.Response{Header: http.Header{"Date": {m.server().Format(http.TimeFormat)}}}, m.away
}

func ask(t *testing.T, way http.RoundTripper) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example", http.NoBody)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	_, err = way.RoundTrip(r)
	return err
}

func TestTheClockIsTheAPIServers(t *testing.T) {
	g, m := NewWithT(t), &machine{}
	clock := m.clock()
	way := clock.Through(m)
	pass := func(ahead time.Duration, lines int) {
		t.Helper()
		m.elapsed += 7*time.Minute + 300*time.Millisecond
		g.Expect(ask(t, way)).To(Succeed())
		g.Expect(clock.Now()).To(BeTemporally("~", m.server(), clockTolerance))
		var said dto.Metric
		g.Expect(clockAhead.Write(&said)).To(Succeed())
		g.Expect(said.GetGauge().GetValue()).To(BeNumerically("~", ahead.Seconds(), 1))
		g.Expect(m.lines).To(HaveLen(lines))
	}
	pass(0, 0)
	m.set = time.Hour
	before := clock.Now()
	g.Expect(before).To(BeTemporally("~", m.server(), clockTolerance), "before any answer")
	pass(time.Hour, 1)
	pass(time.Hour, 1)
	g.Expect(m.lines[0]).To(And(ContainSubstring("is not the API server's"), ContainSubstring(`"ahead"="1h0m`)))
	m.set = -time.Hour
	pass(-time.Hour, 2)
	m.set = 3 * time.Second
	pass(3*time.Second, 2)
	m.set = 0
	pass(0, 3)
	g.Expect(m.lines[2]).To(ContainSubstring("again"))
	pass(0, 3)
	m.far = time.Hour
	pass(-time.Hour, 4)

	m.far, m.takes = 0, 2*slowAnswer
	was := clock.Now().Sub(m.server())
	g.Expect(ask(t, way)).To(Succeed())
	g.Expect(clock.Now().Sub(m.server())).To(Equal(was), "an answer that took long is of any moment")
	m.takes, m.away = 0, errors.New("silent")
	g.Expect(ask(t, way)).To(MatchError(m.away))
	g.Expect(clock.Now().Sub(m.server())).To(Equal(was))
}

// A machine that begins with a wrong clock writes right leases, and believes those of others.
func TestLeasesGoByTheAPIServersClock(t *testing.T) {
	for name, set := range map[string]time.Duration{"right": 0, "an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			g, m := NewWithT(t), &machine{set: set}
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			leased, near := sessionNo(1, leasedUntil(noon.Add(time.Minute))), sessionNo(2)
			leased.ResourceVersion, near.ResourceVersion = "", ""
			api := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(near).WithObjects(leased, near).Build()
			clock := m.clock()
			one := New(Options{Client: api, Clock: clock, Log: logr.Discard()})
			g.Expect(ask(t, clock.Through(m))).To(Succeed())

			_, err := one.use(t.Context(), leased, true)
			g.Expect(err).To(MatchError(errTaken))
			end, err := one.use(t.Context(), near, true)
			g.Expect(err).NotTo(HaveOccurred())
			seen := lifecycle.SeenOf(near)
			g.Expect(seen.Traffic.InUseUntil).To(BeTemporally("~", m.server().Add(seen.Lease), clockTolerance))
			end()
			one.traffic.flush()
			g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(near), near)).To(Succeed())
			g.Expect(near.Status.Traffic.InUseUntil).To(BeNil())
			g.Expect(near.Status.Traffic.LastInvocationAt.Time).To(BeTemporally("~", m.server(), clockTolerance))
		})
	}
}
