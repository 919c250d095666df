package controllers_test

import (
	"context"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// leases are what operators know of each other: who has led, by selector, and until when.
type leases struct {
	mu sync.Mutex
	of map[string]lifecycle.Leader
}

func (l *leases) leader(_ context.Context, selector string) lifecycle.Leader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[selector]
}

func (l *leases) set(selector string, leader lifecycle.Leader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]lifecycle.Leader{}
	}
	l.of[selector] = leader
}

// shard runs the operator with a selector.
func (l *leases) shard(namespace, selector string, adjust ...func(*controllers.AgentSessionReconciler)) *operator {
	GinkgoHelper()
	var chosen apiserver.Selector
	Expect(chosen.Set(selector)).To(Succeed())
	l.set(chosen.String(), lifecycle.Leader{Leads: true})
	return start(config, controllers.SelectedManagerOptions(chosen.Selector), namespace, append(adjust, func(r *controllers.AgentSessionReconciler) {
		r.Selector, r.Leader = chosen.Selector, l.leader
	})...)
}

// crash ends one, which says so in its lease.
func (l *leases) crash(o *operator, selector string) {
	o.end()
	l.set(selector, lifecycle.Leader{SeenAt: time.Now()})
}

var _ = Describe("Operators with selectors", func() {
	var (
		namespace string
		known     *leases
	)
	BeforeEach(func(ctx context.Context) { namespace, known = newNamespace(ctx), &leases{} })

	labelled := func(shard string) func(*v1alpha1.AgentSession) {
		return func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration = nil
			if shard != "" {
				s.Labels = map[string]string{"shard": shard}
			}
		}
	}
	relabel := func(ctx context.Context, session client.Object, shard string) {
		GinkgoHelper()
		base := session.DeepCopyObject().(client.Object)
		session.SetLabels(map[string]string{"shard": shard})
		Expect(api.Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
	}
	governedBy := func(selector string) OmegaMatcher {
		return HaveField("Operator", HaveValue(And(HaveField("Selector", selector), HaveField("SeenAt", BeNil()))))
	}

	It("look after their own sessions and runtimes each, and leave the others'", func(ctx context.Context) {
		agent := newRuntime(namespace, "shared", "first")
		agent.Labels = map[string]string{"shard": "a"}
		Expect(api.Create(ctx, agent)).To(Succeed())
		known.shard(namespace, "shard=a")
		sessions := map[string]*v1alpha1.AgentSession{}
		for _, shard := range []string{"a", "b", ""} {
			sessions[shard] = newSession(namespace, "own-"+shard+"x", labelled(shard))
			Expect(api.Create(ctx, sessions[shard])).To(Succeed())
		}
		Expect(eventuallyState(ctx, sessions["a"], v1alpha1.StateIdle).Operator).To(HaveValue(HaveField("Selector", "shard=a")))
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(1))
		Consistently(func(g Gomega) {
			for _, shard := range []string{"b", ""} {
				_, err := reading(ctx, sessions[shard])()
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(sessions[shard].Status).To(BeZero())
			}
		}, time.Second).Should(Succeed())

		known.shard(namespace, "shard in (b)")
		Expect(eventuallyState(ctx, sessions["b"], v1alpha1.StateIdle).Operator).To(HaveValue(HaveField("Selector", "shard=b")))
		of := sessionOf(agent, "of-a-runtime-of-a", func(s *v1alpha1.AgentSession) { s.Labels = map[string]string{"shard": "b"} })
		Expect(api.Create(ctx, of)).To(Succeed())
		Expect(eventuallyState(ctx, of, v1alpha1.StateIdle).Operator).To(HaveValue(HaveField("Selector", "shard=b")))
		patchSpec(ctx, sessions["b"], func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, sessions["b"], v1alpha1.StateStopped)

		By("a runtime that changes the operator")
		relabel(ctx, agent, "b")
		updateRuntime(ctx, agent, image("second"))
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(2))
		Eventually(func() (int32, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.Sessions.Idle, err
		}).Should(BeEquivalentTo(1))
		Expect(sessions[""].Status).To(BeZero())
		_, err := reading(ctx, sessions["a"])()
		Expect(err).NotTo(HaveOccurred())
		Expect(sessions["a"].Status.State).To(Equal(v1alpha1.StateIdle))
	})

	// The agent sends no stamps: how long it is idle is what operators have seen.
	It("hand a session over with its pod and its clocks when its labels change", func(ctx context.Context) {
		known.shard(namespace, "shard=a")
		known.shard(namespace, "shard=b")
		session := newSession(namespace, "moves", labelled("a"), func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 1200, MaxLifetime: 28800}
		})
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			agent.Answer(func() (int, string) { return http.StatusOK, `{"status":"Healthy"}` })
		})
		agent := running(ctx, session)
		pod, idle, due := session.Status.Pod, session.Status.IdleSince.Time, session.Status.NextStop.At.Time
		for _, shard := range []string{"b", "a"} {
			Eventually(time.Now).Should(BeTemporally(">", idle.Add(8*time.Second)), "for a while it is seen")
			relabelled := time.Now()
			relabel(ctx, session, shard)
			Eventually(reading(ctx, session)).Should(governedBy("shard=" + shard))
			Eventually(agent.Pings).Should(BeNumerically(">", agent.Pings()+2))
			took := time.Since(relabelled)
			Consistently(reading(ctx, session), time.Second).Should(HaveField("Pod", Equal(pod)))
			// What nobody saw is added to the idle time, and no more.
			Expect(session.Status.NextStop.At.Time).To(BeTemporally("<=", due.Add(took+2*time.Second)))
			due, idle = session.Status.NextStop.At.Time, relabelled
		}
		Expect(podNamed(ctx, namespace, pod.Name)()).To(And(HaveField("UID", pod.UID), HaveField("DeletionTimestamp", BeNil())))
		begun, before := time.Now(), agent.Pings()
		Eventually(agent.Pings).Should(BeNumerically(">", before+20))
		Expect(agent.Pings()-before).To(BeNumerically("<", 2+int(1.5*time.Since(begun).Seconds()*10)), "one each 100 ms, and not two")
		for _, version := range seen.of(client.ObjectKeyFromObject(session)) {
			Expect(version.Status.Activation).To(BeNumerically("<=", 1))
			Expect(version.Status.State).NotTo(Or(Equal(v1alpha1.StateStopping), Equal(v1alpha1.StateStopped)))
		}
	})

	It("leave a session that matches none as it is", func(ctx context.Context) {
		known.shard(namespace, "shard=a")
		session := newSession(namespace, "nobodys", labelled("a"), func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 28800}
		})
		fromItsFirstMoment(namespace, session.Name, busy)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateActive)
		agent := agentOf(ctx, session)
		relabel(ctx, session, "c")
		Eventually(reading(ctx, session)).Should(HaveField("Operator.SeenAt", Not(BeNil())))
		version, asked := session.ResourceVersion, agent.Pings()
		Eventually(func(g Gomega) { // who has written that is about to ask no more
			asked = agent.Pings()
			g.Consistently(agent.Pings, time.Second).Should(Equal(asked))
		}).Should(Succeed())
		Consistently(func(g Gomega) {
			_, err := reading(ctx, session)()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(session.ResourceVersion).To(Equal(version))
			g.Expect(agent.Pings()).To(Equal(asked))
		}, 2*time.Second).Should(Succeed())
		Expect(podNamed(ctx, namespace, session.Status.Pod.Name)()).To(HaveField("DeletionTimestamp", BeNil()))

		By("and take it up again")
		relabel(ctx, session, "a")
		Eventually(reading(ctx, session)).Should(governedBy("shard=a"))
		Eventually(agent.Pings).Should(BeNumerically(">", asked+5))
		Expect(session.Status.Activation).To(BeEquivalentTo(1))

		By("until it is deleted")
		Expect(api.Delete(ctx, session)).To(Succeed())
		Eventually(gone(ctx, namespace, session.Status.Pod.Name)).Should(BeTrue())
	})

	It("take a session from one that leads no more, and from no other", func(ctx context.Context) {
		first := known.shard(namespace, "shard")
		session := newSession(namespace, "first-come", labelled("a"))
		agent := running(ctx, session)
		second := known.shard(namespace, "shard=a")
		Consistently(reading(ctx, session), 3*time.Second).Should(governedBy("shard"), "both select it, and the first stays")
		known.crash(first, "shard")
		Eventually(reading(ctx, session)).Should(governedBy("shard=a"))
		agent.Say(contract.HealthyBusy)
		eventuallyState(ctx, session, v1alpha1.StateActive)

		By("one without a selector")
		known.crash(second, "shard=a")
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) { r.Leader = known.leader })
		Eventually(reading(ctx, session)).Should(HaveField("Operator", BeNil()))
	})

	It("take a session from one that began after its labels had changed", func(ctx context.Context) {
		first := known.shard(namespace, "shard=a")
		session := newSession(namespace, "unknown", labelled("a"))
		running(ctx, session)
		first.end()
		relabel(ctx, session, "b")
		known.shard(namespace, "shard=a")
		known.shard(namespace, "shard=b")
		Eventually(reading(ctx, session)).Should(governedBy("shard=b"))
		Expect(session.Status.Activation).To(BeEquivalentTo(1))
	})
})
