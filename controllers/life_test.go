package controllers_test

import (
	"context"
	"io"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/test/ontime"
)

var _ = Describe("The life of a session", Ordered, func() {
	var namespace string
	gathered := func() ontime.Families {
		GinkgoHelper()
		list, err := metrics.Registry.Gather()
		Expect(err).NotTo(HaveOccurred())
		families := ontime.Families{}
		for _, family := range list {
			families[family.GetName()] = family
		}
		return families
	}
	var before ontime.Families
	BeforeAll(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		before = gathered()
		startOperator(namespace)
	})
	AfterAll(func() {
		if suite, _ := GinkgoConfiguration(); len(suite.FocusStrings) == 0 { // a part may have no stop of one of the kinds
			Expect(ontime.Check(before, gathered(), canary())).To(Succeed())
		}
	})

	It("starts, is idle, is stopped for idleness, and can be woken", func(ctx context.Context) {
		session := newSession(namespace, "idle")
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.PingStatus).To(Equal("Healthy"))
		Expect(status.Activation).To(BeEquivalentTo(1))
		Expect(status.Pod.Name).To(Equal("idle-1"))
		Expect(status.Pod.IP).To(HavePrefix("127."))
		Expect(status.RuntimeSessionID).To(BeEquivalentTo(session.UID))
		Expect(status.TimeScale).To(BeEquivalentTo(scale))
		Expect(*status.LifecycleConfiguration).To(Equal(v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 28800}))
		Expect(status.NextStop.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(status.NextStop.At.Sub(status.IdleSince.Time)).To(Equal(60 * time.Second / scale))
		Expect(meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
		Expect(meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionPingContract)).To(BeTrue())

		due := status.NextStop.At
		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(status.LastTermination.PingStatus).To(Equal("Healthy"))
		Expect(status.LastTermination.Activation).To(BeEquivalentTo(1))
		Expect(status.LastTermination.At.Time).NotTo(BeTemporally("<", due.Time))
		Expect(status.Pod).To(BeNil())
		Expect(status.NextStop).To(BeNil())
		Expect(meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("spec.activation to 2"))
		Expect(podsOf(ctx, session)).NotTo(ContainElement(HaveField("Name", "idle-1")))

		By("applying the same manifest again, which wakes nobody")
		base := session.DeepCopy()
		session.Labels = map[string]string{"touched": "yes"}
		Expect(api.Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
		Consistently(reading(ctx, session)).WithTimeout(time.Second).Should(HaveField("State", v1alpha1.StateStopped))

		By("raising the activation")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		eventually(ctx, session, And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
		Expect(session.Status.Pod.Name).To(Equal("idle-2"))
		Expect(session.Status.IdleSince.Time).NotTo(BeTemporally("<", status.LastTermination.At.Time))
	})

	It("remembers how its activations ended, and how they spent their time", func(ctx context.Context) {
		session := newSession(namespace, "remembered", func(s *v1alpha1.AgentSession) {
			s.Spec.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{ // of which the API server makes requests
				corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("2Gi"),
			}
		})
		fromItsFirstMoment(namespace, session.Name, busy)
		Expect(api.Create(ctx, session)).To(Succeed())
		began := eventuallyState(ctx, session, v1alpha1.StateActive).Usage
		Expect(began).To(HaveField("ActiveSeconds", BeZero()))
		Eventually(time.Now).Should(BeTemporally(">", began.CountedAt.Add(2*time.Second)))
		agentOf(ctx, session).Say(contract.Healthy)
		worked := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(worked.Usage.ActiveSeconds).To(BeEquivalentTo(worked.Usage.CountedAt.Sub(began.CountedAt.Time).Seconds()))
		Expect(worked.Reserved).To(HaveValue(And(
			HaveField("MilliCPU", BeEquivalentTo(1500)), HaveField("MemoryMiB", BeEquivalentTo(2048)),
			HaveField("Active", v1alpha1.ResourceTime{MilliCPUSeconds: 1500 * worked.Usage.ActiveSeconds, MemoryMiBSeconds: 2048 * worked.Usage.ActiveSeconds}))))
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.Usage).To(BeNil())
		Expect(status.Reserved).To(HaveValue(And(HaveField("MilliCPU", BeZero()), HaveField("Active", worked.Reserved.Active),
			HaveField("Idle.MilliCPUSeconds", 1500*status.History[0].IdleSeconds), HaveField("Idle.MemoryMiBSeconds", 2048*status.History[0].IdleSeconds))))
		reserved := status.Reserved
		first := v1alpha1.PastActivation{
			Reason: v1alpha1.StopIdleTimeout, Message: status.LastTermination.Message, Activation: 1,
			From: new(worked.Pod.CreatedAt), Until: *status.LastTermination.At, ActiveSeconds: worked.Usage.ActiveSeconds,
			IdleSeconds: status.History[0].IdleSeconds,
		}
		Expect(status.History).To(Equal([]v1alpha1.PastActivation{first}))
		lived := int64(first.Until.Sub(first.From.Time).Seconds())
		idled := int64(status.LastTermination.DueAt.Sub(worked.Usage.CountedAt.Time).Seconds())
		Expect(first.IdleSeconds).To(And(BeNumerically(">", 0), BeNumerically(">=", idled), BeNumerically("<=", lived-first.ActiveSeconds)))

		fromItsFirstMoment(namespace, session.Name, func(*node.Agent) {})
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation, s.LifecycleConfiguration = 2, nil })
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.History).To(HaveExactElements(
			And(HaveField("Reason", v1alpha1.StopRequested), HaveField("Activation", BeEquivalentTo(2)), HaveField("ActiveSeconds", BeZero())), Equal(first)))
		Expect(status.Reserved.Active).To(Equal(reserved.Active))
		Expect(status.Reserved.Idle.MilliCPUSeconds).To(Equal(reserved.Idle.MilliCPUSeconds + 1500*status.History[0].IdleSeconds))
	})

	It("keeps a busy session beyond the idle timeout, reports it stuck, and ends it at its maximal lifetime", func(ctx context.Context) {
		session := newSession(namespace, "forgetful", func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration.MaxLifetime = 400 // 20 s
			s.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 60}
		})
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			busy(agent)
			agent.Tell(telling("index", 7*time.Second, nil))
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateActive)
		Expect(status.NextStop.Reason).To(Equal(v1alpha1.StopMaxLifetime))
		Expect(status.NextStop.At.Time).To(Equal(status.Pod.CreatedAt.Add(20 * time.Second)))
		Expect(status.IdleSince).To(BeNil())
		eventually(ctx, session, HaveField("Conditions", ContainElement(And(
			HaveField("Type", v1alpha1.ConditionStuck), HaveField("Status", metav1.ConditionTrue),
			HaveField("Message", MatchRegexp(`HealthyBusy for 3s without a break; task "index" has run for \d+s`))))))
		Expect(session.Status.State).To(Equal(v1alpha1.StateActive))
		message := stuckMessage(session)

		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopMaxLifetime))
		Expect(stuckMessage(session)).To(Equal(message), "that the task grows older is not worth a write")
		Expect(status.LastTermination.PingStatus).To(Equal("HealthyBusy"))
		Expect(meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStuck)).To(BeTrue())
		Expect(eventuallyTold(ctx, session)).To(ConsistOf("MaxLifetime"))
	})

	It("stops a session whose task has ended by its own journal, long before it was busy for too long", func(ctx context.Context) {
		session := newSession(namespace, "journal", func(s *v1alpha1.AgentSession) {
			s.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 28800, Action: v1alpha1.StuckStop}
		})
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			busy(agent)
			agent.Tell(telling("chore", 9*time.Second, new(4*time.Second)))
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopStuckBusy))
		Expect(status.LastTermination.Message).To(MatchRegexp(`task "chore", begun \d+s ago, is still noted \d+s after an event`))
	})

	It("stops a stuck session if it is asked to", func(ctx context.Context) {
		session := newSession(namespace, "stuck", func(s *v1alpha1.AgentSession) {
			s.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 160, Action: v1alpha1.StuckStop}
		})
		fromItsFirstMoment(namespace, session.Name, busy)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateActive)
		Expect(session.Status.NextStop.Reason).To(Equal(v1alpha1.StopStuckBusy))
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopStuckBusy))
		Expect(status.LastTermination.Message).To(HavePrefix("HealthyBusy for 8s without a break, and"), "an agent without /tasks")
	})

	It("goes from busy to idle by the agent's own stamp", func(ctx context.Context) {
		session := newSession(namespace, "research")
		fromItsFirstMoment(namespace, session.Name, busy)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateActive)
		agent, stamp := agentOf(ctx, session), session.Status.HealthyAt.Add(time.Second)
		Eventually(time.Now).Should(BeTemporally(">", stamp.Add(time.Second)))
		agent.SayAt(contract.Healthy, stamp)
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.IdleSince.Time).To(BeTemporally("==", stamp))
		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})

	It("is stopped by desiredState and woken by taking that back", func(ctx context.Context) {
		session := newSession(namespace, "echo", neverIdle)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredRunning })
		Eventually(reading(ctx, session)).Should(And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
	})

	It("replaces a running compute when the activation is raised", func(ctx context.Context) {
		session := newSession(namespace, "again", neverIdle)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Template.Spec.Containers[0].Image = "agent:2" })
		Consistently(reading(ctx, session)).WithTimeout(time.Second).Should(HaveField("State", v1alpha1.StateIdle), "a template is for the next activation")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 5 })
		Eventually(reading(ctx, session)).Should(And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(5))))
		Expect(session.Status.LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
		Expect(podsOf(ctx, session)).To(ContainElement(And(HaveField("Name", "again-5"), HaveField("Spec.Containers", ConsistOf(HaveField("Image", "agent:2"))))))
	})

	It("takes a change of the timeouts at once", func(ctx context.Context) {
		session := newSession(namespace, "changed", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration = nil })
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(*status.LifecycleConfiguration).To(Equal(v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 900, MaxLifetime: 28800}))
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
		})
		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})

	It("does not idle out while an invocation is in flight", func(ctx context.Context) {
		session := newSession(namespace, "in-use", neverIdle)
		running(ctx, session)
		inUse(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
		})
		eventually(ctx, session, HaveField("LifecycleConfiguration.IdleRuntimeSessionTimeout", BeEquivalentTo(60)))
		Consistently(reading(ctx, session), 4*time.Second).Should(HaveField("State", v1alpha1.StateActive), "for longer than its idle timeout")
		until := metav1.NowMicro().Add(4 * time.Second)
		base := session.DeepCopy()
		session.Status.Traffic = &v1alpha1.Traffic{LastInvocationAt: new(metav1.NewMicroTime(until.Add(-time.Hour))), InUseUntil: new(metav1.NewMicroTime(until))}
		Expect(api.Status().Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(status.LastTermination.DueAt.Time).To(And(
			BeTemporally(">=", until.Add(2*time.Second)), BeTemporally("<=", until.Add(4*time.Second+2*canary()))), "whole seconds are said")
		Expect(status.Traffic.LastInvocationAt).NotTo(BeNil(), "the operator leaves the gateway's part alone")
		Expect(status.Traffic.InUseUntil).To(BeNil(), "but a compute that is gone is not in use")
	})

	It("deletes a stopped session after its time to live", func(ctx context.Context) {
		session := newSession(namespace, "short-lived", func(s *v1alpha1.AgentSession) { s.Spec.TTLSecondsAfterStopped = ptr.To[int32](20) })
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(func() bool {
			return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(session), session))
		}).Should(BeTrue())
	})

	It("tells that an agent sends no stamps, and warns of nothing", func(ctx context.Context) {
		session := newSession(namespace, "stampless")
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			agent.Answer(func() (int, string) { return http.StatusOK, `{"status":"Healthy"}` })
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		eventually(ctx, session, because(v1alpha1.ConditionPingContract, v1alpha1.ReasonTimestampMissing))
		Expect(conditionOf(session, v1alpha1.ConditionPingContract).Status).To(Equal(metav1.ConditionTrue))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Eventually(eventsOf(ctx, session)).To(ContainElement(And(
			HaveField("Reason", v1alpha1.ReasonTimestampMissing), HaveField("Type", corev1.EventTypeNormal))))
	})

	It("takes an agent that says healthy in a word of its own for one that is alive", func(ctx context.Context) {
		session := newSession(namespace, "healthy")
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			agent.Answer(func() (int, string) { return http.StatusOK, `{"status": "healthy"}` })
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		eventually(ctx, session, because(v1alpha1.ConditionPingContract, v1alpha1.ReasonStatusUnknown))
		Expect(conditionOf(session, v1alpha1.ConditionPingContract)).To(HaveValue(And(HaveField("Status", metav1.ConditionFalse),
			HaveField("Message", HavePrefix(`GET /ping was answered with the status "healthy", which counts as Healthy and never as busy. `)))))
		Expect(session.Status.PingStatus).To(Equal("Healthy"))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Eventually(eventsOf(ctx, session)).To(ContainElement(And(
			HaveField("Reason", v1alpha1.ReasonStatusUnknown), HaveField("Type", corev1.EventTypeWarning))))
	})

	It("takes it for a failure where its spec is strict, from the moment at which it is", func(ctx context.Context) {
		session := newSession(namespace, "strict", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration = nil })
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) { agent.Answer(func() (int, string) { return http.StatusOK, `OK` }) })
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Ping.Answers = v1alpha1.PingAnswersStrict })
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(HaveValue(And(HaveField("Reason", v1alpha1.StopUnhealthy),
			HaveField("Message", ContainSubstring(`GET /ping was answered with "OK" and no proper JSON object, a failed ping since spec.ping.answers is Strict`)))))
	})

	It("asks MCP servers by MCP's ping, and stops them by their traffic", func(ctx context.Context) {
		agent := newRuntime(namespace, "tools", "tools", func(a *v1alpha1.AgentRuntime) {
			a.Spec.ProtocolConfiguration.ServerProtocol, a.Spec.ProtocolConfiguration.Path = v1alpha1.ProtocolMCP, "/tools"
			a.Spec.LifecycleConfiguration.IdleRuntimeSessionTimeout = 60
		})
		Expect(api.Create(ctx, agent)).To(Succeed())
		session := sessionOf(agent, "mcp")
		fromItsFirstMoment(namespace, session.Name, func(server *node.Agent) {
			absent(server)
			server.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked, err := io.ReadAll(r.Body); err != nil || r.Method != http.MethodPost || r.URL.Path != "/tools" || string(asked) != contract.MCPPing {
					http.NotFound(w, r)
					return
				}
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}`)
			}))
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.PingStatus).To(Equal("Healthy"))
		Expect(conditionOf(session, v1alpha1.ConditionPingContract)).To(HaveValue(And(
			HaveField("Reason", v1alpha1.ReasonPingMCP), HaveField("Status", metav1.ConditionTrue))))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination).To(HaveValue(And(
			HaveField("Reason", v1alpha1.StopIdleTimeout), HaveField("Message", ContainSubstring("MCP's ping")))))
		eventuallyTold(ctx, session)
		Eventually(eventsOf(ctx, session)).Should(HaveLen(4), "as many as of any life")
		Consistently(eventsOf(ctx, session), time.Second).Should(HaveLen(4))
	})

	DescribeTable("ends with the right reason", func(ctx context.Context, name string, harm func(context.Context, *v1alpha1.AgentSession), reason v1alpha1.StopReason, message string) {
		session := newSession(namespace, name, func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration = nil
			if reason == v1alpha1.StopStartFailed {
				s.Spec.ProvisioningTimeoutSeconds = 60
				s.Spec.Template.Annotations = map[string]string{"pending": "yes"}
			}
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		if reason != v1alpha1.StopStartFailed {
			eventuallyState(ctx, session, v1alpha1.StateIdle)
		}
		harm(ctx, session)
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(reason))
		Expect(status.LastTermination.Message).To(ContainSubstring(message))
		Expect(status.History).To(HaveLen(1))
		Expect(status.History[0].Message).To(Equal(lifecycle.Cut(status.LastTermination.Message, 400)))
		Expect(eventuallyTold(ctx, session)).To(HaveLen(1))
		Eventually(eventsOf(ctx, session)).To(ContainElement(And(HaveField("Action", "Stop"), HaveField("Note", ContainSubstring(message)))))
	},
		Entry("an agent that hangs", "hangs", func(ctx context.Context, s *v1alpha1.AgentSession) {
			agentOf(ctx, s).Hang()
		}, v1alpha1.StopUnhealthy, "GET /ping was not answered within"),
		Entry("an agent that answers 500", "fails", func(ctx context.Context, s *v1alpha1.AgentSession) {
			agentOf(ctx, s).Answer(func() (int, string) { return http.StatusInternalServerError, "" })
		}, v1alpha1.StopUnhealthy, "GET /ping was answered with 500"),
		Entry("a pod that never runs", "pending", func(context.Context, *v1alpha1.AgentSession) {},
			v1alpha1.StopStartFailed, "did not start within 3s of the creation of its pod (spec.provisioningTimeoutSeconds): "),
		Entry("an agent that exits", "exits", func(ctx context.Context, s *v1alpha1.AgentSession) {
			terminate(ctx, s, corev1.PodStatus{Phase: corev1.PodFailed}, "Error", 1)
		}, v1alpha1.StopAgentExited, "exited with code 1: Error. Its last words: no model, no agent"),
		Entry("an agent that runs out of memory", "oom", func(ctx context.Context, s *v1alpha1.AgentSession) {
			terminate(ctx, s, corev1.PodStatus{Phase: corev1.PodFailed}, "OOMKilled", 137)
		}, v1alpha1.StopAgentExited, "137: OOMKilled"),
		Entry("a pod that is evicted", "evicted", func(ctx context.Context, s *v1alpha1.AgentSession) {
			terminate(ctx, s, corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on memory\x1b[31m"}, "Error", 137)
		}, v1alpha1.StopComputeLost, "Evicted: The node was low on memory?[31m"),
		Entry("a pod that somebody deletes", "deleted", func(ctx context.Context, s *v1alpha1.AgentSession) {
			Expect(api.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Status.Pod.Name}})).To(Succeed())
		}, v1alpha1.StopComputeLost, "omebody else delete"), // the pod may have gone before the operator looks
	)
})

// patchSpec changes a spec as a user would.
func patchSpec(ctx context.Context, session *v1alpha1.AgentSession, change func(*v1alpha1.AgentSessionSpec)) {
	GinkgoHelper()
	base := session.DeepCopy()
	change(&session.Spec)
	Expect(api.Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
}

// terminate reports the agent ended, as the kubelet would.
func terminate(ctx context.Context, session *v1alpha1.AgentSession, status corev1.PodStatus, reason string, code int32) {
	GinkgoHelper()
	var pod corev1.Pod
	Expect(api.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
	base := pod.DeepCopy()
	pod.Status.Phase, pod.Status.Reason, pod.Status.Message = status.Phase, status.Reason, status.Message
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: reason, ExitCode: code, Message: "no model,\nno agent\n",
	}}
	Expect(api.Status().Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
}

func conditionOf(session *v1alpha1.AgentSession, kind string) *metav1.Condition {
	return meta.FindStatusCondition(session.Status.Conditions, kind)
}

func reasonOf(session *v1alpha1.AgentSession, kind string) string {
	if c := conditionOf(session, kind); c != nil {
		return c.Reason
	}
	return ""
}

// telling is an agent with one task.
func telling(name string, age time.Duration, ended *time.Duration) func() contract.Tasks {
	return func() contract.Tasks {
		return contract.Tasks{ActiveCount: 1, RunningJobs: []contract.RunningTask{{Name: name, Duration: age, Ended: ended}}}
	}
}

func stuckMessage(session *v1alpha1.AgentSession) string {
	if c := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionStuck); c != nil {
		return c.Message
	}
	return ""
}
