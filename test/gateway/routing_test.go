package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/gateway"
)

// any calls any free session of a runtime.
func (d *door) any(ctx context.Context, agent *v1alpha1.AgentRuntime, body ask) answer {
	GinkgoHelper()
	r := d.request(ctx, path(agent, "invocations"), "", body)
	r.Header.Set("X-AgentSession-Routing", "any")
	return send(r)
}

func atMost(n int32) func(*v1alpha1.AgentRuntimeSpec) {
	return func(s *v1alpha1.AgentRuntimeSpec) { s.MaxSessions = &n }
}

// shows is a way to the API server that tells how late its watch shows the sessions that
// are made on it.
type shows struct {
	http.RoundTripper

	mu    sync.Mutex
	made  map[string]time.Time // that were not shown yet
	worst time.Duration
}

func (s *shows) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/agentsessions") {
		return s.RoundTripper.RoundTrip(r)
	}
	var session v1alpha1.AgentSession
	if r.Method == http.MethodPost {
		if body, err := r.GetBody(); err == nil && json.NewDecoder(body).Decode(&session) == nil {
			s.mu.Lock()
			s.made[session.Name] = time.Now() // the watch may be faster than the answer
			s.mu.Unlock()
		}
	}
	answer, err := s.RoundTripper.RoundTrip(r)
	if r.Method == http.MethodPost && (err != nil || answer.StatusCode != http.StatusCreated) {
		s.mu.Lock()
		delete(s.made, session.Name)
		s.mu.Unlock()
	}
	if err == nil && r.URL.Query().Has("watch") {
		answer.Body = &showsBody{answer.Body, s}
	}
	return answer, err
}

type showsBody struct {
	io.ReadCloser

	of *shows
}

func (b *showsBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	for name, at := range b.of.made {
		if bytes.Contains(p[:n], []byte(name)) {
			b.of.worst = max(b.of.worst, time.Since(at))
			delete(b.of.made, name)
		}
	}
	return n, err
}

// late is how late the latest was, of those that were not shown yet too.
func (s *shows) late() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	worst := s.worst
	for _, at := range s.made {
		worst = max(worst, time.Since(at))
	}
	return worst
}

// openShowingDoor starts a gateway whose calls wait in line for as long as they must.
func openShowingDoor() (*door, *shows) {
	GinkgoHelper()
	way := &shows{made: map[string]time.Time{}}
	url, shut, err := plane.DoorThrough(func(next http.RoundTripper) http.RoundTripper {
		way.RoundTripper = next
		return way
	}, func(o *gateway.Options) { o.QueueTimeout = time.Hour })
	Expect(err).NotTo(HaveOccurred())
	return newDoor(url, shut), way
}

var _ = Describe("A call for any free session", func() {
	It("has one for itself, through several gateways, and leaves alone those that somebody named", func(ctx context.Context) {
		one, ofOne := openShowingDoor()
		two, ofTwo := openShowingDoor()
		doors := []*door{one, two}
		agent, named := newRuntime(ctx, newNamespace(ctx), atMost(3)), id()
		private := doors[0].invoke(ctx, agent, named, ask{})
		Expect(private.code).To(Equal(http.StatusOK), private.body)
		var all sync.WaitGroup
		for n := range 16 {
			all.Go(func() {
				defer GinkgoRecover()
				a := doors[n%2].any(ctx, agent, ask{Sleep: "50ms"})
				Expect(a.code).To(Equal(http.StatusOK), a.body)
				Expect(a.told.Others).To(BeZero())
				Expect(a.told.Pod).NotTo(Equal(private.told.Pod))
				of := a.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")
				Expect(sessionOf(ctx, agent, of).Status.Pod.Name).To(Equal(a.told.Pod))
			})
		}
		all.Wait()
		// Each gateway counts for itself, so that one more may start at once; and more
		// where what the other begins is not seen in the second that it waits for that.
		most := 4
		if late := max(ofOne.late(), ofTwo.late()); late > time.Second {
			AddReportEntry("a watch showed a session late", late)
			most = 6
		}
		Expect(len(podsOf(ctx, agent))).To(BeNumerically("<=", most))
		Expect(doors[1].invoke(ctx, agent, named, ask{}).told.Calls).To(BeEquivalentTo(2))
	})

	It("waits in line, as many as may and for as long as they may", func(ctx context.Context) {
		patient := openDoor(func(o *gateway.Options) { o.QueueLength, o.QueueTimeout = 1, time.Hour })
		hasty := openDoor(func(o *gateway.Options) { o.QueueTimeout = time.Millisecond })
		agent := newRuntime(ctx, newNamespace(ctx), atMost(1), func(s *v1alpha1.AgentRuntimeSpec) {
			s.OnDisconnect = v1alpha1.OnDisconnectCancel // or the agent would work on without its caller
		})
		Expect(patient.any(ctx, agent, ask{}).code).To(Equal(http.StatusOK))
		working, leave := context.WithCancel(ctx)
		var all sync.WaitGroup
		all.Go(func() { patient.any(working, agent, ask{Sleep: "1h"}) })
		throttled := func(d *door) func() string {
			return func() string {
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				return d.any(short, agent, ask{}).header.Get("X-Amzn-ErrorType")
			}
		}
		Eventually(throttled(hasty)).Should(Equal("ThrottlingException"), "its time is over")
		answers := make(chan answer, 2)
		for range cap(answers) { // one has its turn, the other waits for it
			all.Go(func() {
				a := patient.any(ctx, agent, ask{})
				for a.code == http.StatusTooManyRequests { // one of those below has the place
					a = patient.any(ctx, agent, ask{})
				}
				answers <- a
			})
		}
		Eventually(throttled(patient)).Should(Equal("ThrottlingException"), "as many wait as may")
		leave()
		for range cap(answers) {
			var a answer
			Eventually(answers).Should(Receive(&a))
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Expect(a.told.Others).To(BeZero())
		}
		all.Wait()
		Expect(podsOf(ctx, agent)).To(HaveLen(1))
	})

	It("wakes one that is stopped before it makes another", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		first := d.any(ctx, agent, ask{})
		session := first.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		eventuallyStopped(ctx, agent, session, d)
		second := d.any(ctx, agent, ask{})
		Expect(second.code).To(Equal(http.StatusOK), second.body)
		Expect(second.told.Calls).To(BeEquivalentTo(1), "a fresh memory")
		Expect(second.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")).To(Equal(session))
		Expect(sessionOf(ctx, agent, session).Status.Activation).To(BeEquivalentTo(2))
	})

	It("asks for it in words that are known, and for an invocation", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		for operation, value := range map[string]string{"invocations": "some", "stopruntimesession": "any"} {
			r := d.request(ctx, path(agent, operation), id(), ask{})
			r.Header.Set("X-AgentSession-Routing", value)
			a := send(r)
			Expect(a.code).To(Equal(http.StatusBadRequest))
			Expect(a.failed.FieldList[0].Name).To(Equal("X-Agentsession-Routing"))
		}
	})
})
