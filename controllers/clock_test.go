package controllers_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
)

// set is by how much a clock was set.
type set struct{ atomic.Int64 }

func (s *set) by() time.Duration { return time.Duration(s.Load()) }

// machine is one whose clock is set. What passes on it is as everywhere.
type machine struct {
	begun time.Time
	set   set
}

func (m *machine) Now() time.Time                { return time.Now().Round(0).Add(m.set.by()) }
func (m *machine) Since(time.Time) time.Duration { return time.Since(m.begun) }

// dating is the way to an API server whose clock is set.
type dating struct {
	http.RoundTripper
	set *set
}

func (d dating) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := d.RoundTripper.RoundTrip(r)
	if err == nil {
		said, err := http.ParseTime(answer.Header.Get("Date"))
		if err != nil {
			return nil, err
		}
		answer.Header.Set("Date", said.Add(d.set.by()).Format(http.TimeFormat))
	}
	return answer, err
}

// unsure is what an answer that says whole seconds, and comes as late as it may and still
// be believed, leaves open.
const unsure = 7 * time.Second

var _ = Describe("Clocks", func() {
	idleFor := func(seconds int32, clock v1alpha1.IdleClock) func(*v1alpha1.AgentSession) {
		return func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration.IdleRuntimeSessionTimeout, s.Spec.Ping.IdleClock = seconds, clock
		}
	}

	It("are the API server's, whatever the machine's says when the operator begins", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		here := &machine{begun: time.Now()}
		here.set.Store(int64(2 * time.Minute))
		startBy(apiserver.NewClock(here, GinkgoLogr), config, controllers.ManagerOptions(), namespace)
		session := newSession(namespace, "ahead")
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.HealthyAt.Time).To(BeTemporally("~", time.Now(), time.Minute))
		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})

	It("are not moved by the machine's, which is set and set right again", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		here := &machine{begun: time.Now()}
		now := apiserver.NewClock(here, GinkgoLogr)
		startBy(now, config, controllers.ManagerOptions(), namespace)
		sessions := []*v1alpha1.AgentSession{
			newSession(namespace, "stamped", idleFor(300, v1alpha1.IdleClockAgentCore)), newSession(namespace, "observed", idleFor(300, v1alpha1.IdleClockObserved)),
		}
		due := map[*v1alpha1.AgentSession]time.Time{}
		for _, s := range sessions {
			fromItsFirstMoment(namespace, s.Name, busy)
			Expect(api.Create(ctx, s)).To(Succeed())
		}
		for _, s := range sessions {
			eventuallyState(ctx, s, v1alpha1.StateActive)
		}
		here.set.Store(int64(time.Hour))
		for _, s := range sessions {
			agentOf(ctx, s).Say(contract.Healthy)
			due[s] = eventuallyState(ctx, s, v1alpha1.StateIdle).NextStop.At.Time
			Expect(due[s]).To(BeTemporally("~", time.Now(), time.Minute))
		}
		Eventually(now.Skew).Should(BeNumerically("~", time.Hour, 5*time.Second), "a write showed it")
		here.set.Store(0)
		for _, s := range sessions {
			status := eventuallyState(ctx, s, v1alpha1.StateStopped)
			as := BeTemporally("==", due[s])
			if s.Spec.Ping.IdleClock == v1alpha1.IdleClockObserved { // time in which nobody could see the agent is added
				as = And(BeTemporally(">=", due[s]), BeTemporally("<=", due[s].Add(time.Second+2*canary())))
			}
			Expect(status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopIdleTimeout), HaveField("DueAt.Time", as)))
			Expect(time.Now()).To(BeTemporally(">=", due[s]))
		}
	})

	It("leave time out that the API server's says and that did not pass", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		there := &set{}
		dated := rest.CopyConfig(config)
		dated.Wrap(func(next http.RoundTripper) http.RoundTripper { return dating{next, there} })
		now := apiserver.NewClock(&machine{begun: time.Now()}, GinkgoLogr)
		startBy(now, dated, controllers.ManagerOptions(), namespace)
		worker := newSession(namespace, "worker", func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{MaxLifetime: 400} // 20 s
		})
		sessions := []*v1alpha1.AgentSession{
			worker, newSession(namespace, "stamped", idleFor(300, v1alpha1.IdleClockAgentCore)), newSession(namespace, "observed", idleFor(300, v1alpha1.IdleClockObserved)),
		}
		for _, s := range sessions {
			Expect(api.Create(ctx, s)).To(Succeed())
		}
		agent := agentOf(ctx, worker)
		due := map[*v1alpha1.AgentSession]time.Time{}
		for _, s := range sessions[1:] {
			due[s] = eventuallyState(ctx, s, v1alpha1.StateIdle).NextStop.At.Time
		}
		there.Store(int64(time.Hour))
		agent.Say(contract.HealthyBusy) // which is reported, and the answer tells of it
		due[worker] = eventuallyState(ctx, worker, v1alpha1.StateActive).Pod.CreatedAt.Add(20 * time.Second)
		Eventually(now.Steps).Should(Equal(1))
		for _, s := range sessions {
			eventually(ctx, s, And(HaveField("NextStop", Not(BeNil())),
				HaveField("Conditions", ContainElement(HaveField("Message", MatchRegexp("set forward by (1h0m0|59m5[3-9])s"))))))
			Expect(s.Status.NextStop.At.Time).To(BeTemporally(">=", due[s].Add(time.Hour-unsure)))
		}
		for _, s := range sessions {
			status := eventuallyState(ctx, s, v1alpha1.StateStopped)
			Expect(time.Now()).To(BeTemporally(">=", due[s].Add(-unsure)), s.Name)
			Expect(status.History[0].ActiveSeconds+status.History[0].IdleSeconds).To(BeNumerically("<", 600), "of the hour nothing was used")
			Expect(status.LastTermination.Reason).To(Equal(map[bool]v1alpha1.StopReason{true: v1alpha1.StopMaxLifetime, false: v1alpha1.StopIdleTimeout}[s == worker]))
		}
	})
})
