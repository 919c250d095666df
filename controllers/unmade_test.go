package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// podless is the client of an operator whose pods the API server cannot make for now,
// in other words each time.
type podless struct {
	client.Client
	tries *atomic.Int64
	until func(try int64) bool
}

func withoutPods(until func(try int64) bool) func(*controllers.AgentSessionReconciler) {
	return func(r *controllers.AgentSessionReconciler) { r.Client = podless{r.Client, &atomic.Int64{}, until} }
}

func (p podless) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if _, is := object.(*corev1.Pod); is {
		if try := p.tries.Add(1); !p.until(try) {
			return apierrors.NewInternalError(fmt.Errorf("failed calling webhook \"down.example.com\": try %d: %w", try, errors.New("connection refused")))
		}
	}
	return p.Client.Create(ctx, object, opts...)
}

// unanswered is the client of an operator whose pods wait for a webhook that does not
// answer: all of sessions named hung.
type unanswered struct {
	client.Client
	tries, now, most *atomic.Int64
}

func (u unanswered) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if _, is := object.(*corev1.Pod); !is || !strings.HasPrefix(object.GetName(), "hung-") {
		return u.Client.Create(ctx, object, opts...)
	}
	u.tries.Add(1)
	now := u.now.Add(1)
	defer u.now.Add(-1)
	for most := u.most.Load(); now > most && !u.most.CompareAndSwap(most, now); most = u.most.Load() {
	}
	<-ctx.Done()
	return fmt.Errorf("Post: %w", ctx.Err())
}

var _ = Describe("A pod that cannot be created for a while", func() {
	never := func(int64) bool { return false }
	slowly := func(s *v1alpha1.AgentSession) { s.Spec.ProvisioningTimeoutSeconds = 120 } // 6 s

	It("is told of once, with its words, and ends its start at its limit", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace, withoutPods(never))
		session := newSession(namespace, "unmade", slowly)
		reports := reportsOn(session)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventually(ctx, session, HaveField("Conditions", ContainElement(And(HaveField("Reason", v1alpha1.ReasonPodNotMade), HaveField("Message",
			MatchRegexp(`^The pod could not be created, which is tried again: create pod unmade-1: .*failed calling webhook "down.example.com": try \d+: connection refused\.$`))))))
		Expect(session.Status.State).To(Equal(v1alpha1.StateStarting))
		due := session.Status.NextStop
		Expect(due.Reason).To(Equal(v1alpha1.StopStartFailed))

		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopStartFailed), HaveField("DueAt.Time", BeTemporally("==", due.At.Time)),
			HaveField("Message", MatchRegexp(`^The pod could not be created within 6s \(spec\.provisioningTimeoutSeconds\): .*down\.example\.com`))))
		Expect(status.LastTermination.At.Time).To(BeTemporally("<", due.At.Add(2*time.Second+2*canary())), "and not when it is tried again")
		Expect(status.History[0].From).To(BeNil(), "it never had a pod")
		Eventually(reports).Should(Equal([]v1alpha1.SessionState{v1alpha1.StateStarting, v1alpha1.StateStarting, v1alpha1.StateStopped}),
			"that it starts, why it does not, and its end")
		Eventually(eventsOf(ctx, session)).Should(ContainElement(HaveField("Reason", v1alpha1.ReasonPodNotMade)))
		Consistently(reading(ctx, session), time.Second).Should(HaveField("State", v1alpha1.StateStopped), "nobody asked for another")
	})

	It("costs nothing that would not be written anyway when it comes right soon", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace, withoutPods(func(try int64) bool { return try > 3 }), func(r *controllers.AgentSessionReconciler) {
			r.TimeScale = 1 // soon is within ten seconds
		})
		session := newSession(namespace, "soon")
		reports := reportsOn(session)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Eventually(reports).Should(Equal([]v1alpha1.SessionState{v1alpha1.StateStarting, v1alpha1.StateStarting, v1alpha1.StateIdle}))
	})

	It("is told of at its first failure where nothing answers, and leaves workers for all else", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		const workers = 4
		var hung, now, most atomic.Int64
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Concurrency, r.Client = workers, unanswered{r.Client, &hung, &now, &most}
		})
		other := newSession(namespace, "other", neverIdle)
		running(ctx, other)
		sessions := make([]*v1alpha1.AgentSession, workers)
		for i := range sessions {
			sessions[i] = newSession(namespace, fmt.Sprintf("hung-%d", i), func(s *v1alpha1.AgentSession) { s.Spec.ProvisioningTimeoutSeconds = 3600 })
		}
		reports := reportsOn(sessions[0])
		for _, session := range sessions {
			Expect(api.Create(ctx, session)).To(Succeed())
		}
		Eventually(hung.Load).Should(BeNumerically(">", 0))
		patchSpec(ctx, other, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, other, v1alpha1.StateStopped)
		for _, session := range sessions {
			Eventually(readyOf(ctx, session)).Should(And(HaveField("Reason", v1alpha1.ReasonPodNotMade), HaveField("Message",
				"The pod could not be created, which is tried again: the API server has not answered within 5s, as where an admission webhook does not answer.")))
		}
		Expect(reports()).To(HaveExactElements(v1alpha1.StateStarting), "in the report of the start")
		Eventually(hung.Load).Should(BeNumerically(">", workers), "it is tried again, for longer")
		Expect(most.Load()).To(BeNumerically("<", workers), "there was always a worker for a stop")
	})

	It("is given up with its words", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		var made atomic.Bool
		startOperator(namespace, withoutPods(func(int64) bool { return made.Load() }))
		session := newSession(namespace, "dropped")
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(readyOf(ctx, session)).Should(HaveField("Reason", v1alpha1.ReasonPodNotMade))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopStartFailed), HaveField("Message", And(HavePrefix("PodNotMade: "), HaveSuffix("(given up: spec.desiredState is Stopped)")))))
		made.Store(true)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredRunning })
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).Activation).To(BeEquivalentTo(2))
	})
})
