package controllers_test

import (
	"context"
	"net/http"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// tried has a runtime's versions tried, by sessions whose agents may take their time.
func tried(agent *v1alpha1.AgentRuntime) {
	agent.Spec.Validation, agent.Spec.ProvisioningTimeoutSeconds = v1alpha1.ValidationStart, 7200
	agent.Labels = map[string]string{"shard": "a"}
}

// pendingPods keeps the pods of a version from starting.
func pendingPods(name string) func(*v1alpha1.AgentRuntimeSpec) {
	return func(s *v1alpha1.AgentRuntimeSpec) {
		image(name)(s)
		s.Template.Annotations = map[string]string{"pending": "yes"}
	}
}

// startingPods takes that back.
func startingPods(name string) func(*v1alpha1.AgentRuntimeSpec) {
	return func(s *v1alpha1.AgentRuntimeSpec) {
		image(name)(s)
		s.Template.Annotations = nil
	}
}

// verdict is the condition Validated of a runtime, which is read anew.
func verdict(ctx context.Context, agent *v1alpha1.AgentRuntime) func() (metav1.Condition, error) {
	return func() (metav1.Condition, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
		if c := meta.FindStatusCondition(agent.Status.Conditions, v1alpha1.ConditionValidated); c != nil {
			return *c, err
		}
		return metav1.Condition{}, err
	}
}

func judged(status metav1.ConditionStatus, reason string, message types.GomegaMatcher) types.GomegaMatcher {
	return And(HaveField("Status", status), HaveField("Reason", reason), HaveField("Message", message))
}

// trialsOf are the sessions that try versions of a runtime.
func trialsOf(ctx context.Context, agent *v1alpha1.AgentRuntime) func() ([]v1alpha1.AgentSession, error) {
	return func() ([]v1alpha1.AgentSession, error) {
		var list v1alpha1.AgentSessionList
		err := api.List(ctx, &list, client.InNamespace(agent.Namespace), client.HasLabels{v1alpha1.LabelTrial}, client.MatchingLabels{v1alpha1.LabelRuntime: agent.Name})
		return list.Items, err
	}
}

// trialIn is the session that tries a version, with its pod.
func trialIn(ctx context.Context, agent *v1alpha1.AgentRuntime, version int64) *v1alpha1.AgentSession {
	GinkgoHelper()
	trial := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: lifecycle.TrialName(agent.Name, string(agent.UID), version)}}
	Eventually(func() (*v1alpha1.PodStatus, error) {
		err := client.IgnoreNotFound(api.Get(ctx, client.ObjectKeyFromObject(trial), trial))
		return trial.Status.Pod, err
	}).ShouldNot(BeNil())
	return trial
}

// crash has the agent of a session exit with words before it ever answered.
func crash(ctx context.Context, session *v1alpha1.AgentSession, words string) {
	GinkgoHelper()
	agentSays(ctx, session, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: words}})
}

var _ = Describe("The versions of a runtime with spec.validation", func() {
	var namespace string
	var running *operator
	BeforeEach(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		running = startOperator(namespace)
	})
	starting := func(ctx context.Context, agent *v1alpha1.AgentRuntime, name string) *v1alpha1.AgentSession {
		GinkgoHelper()
		session := sessionOf(agent, name)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		return session
	}

	It("are tried once each, and DEFAULT follows those that were healthy", func(ctx context.Context) {
		agent := newRuntime(namespace, "tried", "first", tried)
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionTrue, v1alpha1.ReasonHealthy, Equal("The agent of version 1 was healthy.")))
		Expect(agent.Status.Validation).To(HaveValue(Equal(v1alpha1.ValidationStatus{Version: 1, ValidVersion: 1})))
		Eventually(trialsOf(ctx, agent)).Should(BeEmpty())
		first := starting(ctx, agent, "tried-first")
		Expect(imageOf(ctx, first)).To(Equal("first"))

		By("a second version, whose agent takes its time")
		second := updateRuntime(ctx, agent, pendingPods("second"))
		trial := trialIn(ctx, agent, second)
		Expect(imageOf(ctx, trial)).To(Equal("second"))
		Expect(trial.Labels).To(HaveKeyWithValue("shard", "a"), "or no operator that selects by it would start it")
		Expect(verdict(ctx, agent)()).To(judged(metav1.ConditionUnknown, v1alpha1.ReasonTrying, ContainSubstring(trial.Name)))
		Expect(imageOf(ctx, starting(ctx, agent, "tried-meanwhile"))).To(Equal("first"))

		By("an endpoint more, which is no other content")
		pinned := updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
			s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "next", Version: second}}
		})
		Eventually(func() (int64, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.AgentRuntimeVersion, err
		}).Should(Equal(pinned))
		Expect(trialsOf(ctx, agent)()).To(ConsistOf(HaveField("UID", trial.UID)))

		By("another operator, which goes on with the same session")
		running.end()
		running = startOperator(namespace)
		crash(ctx, trial, "ModuleNotFoundError: No module named 'agent'")
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionFalse, string(v1alpha1.StopAgentExited),
			And(HavePrefix("Version 2 was tried without success: "), ContainSubstring("ModuleNotFoundError: No module named 'agent'"))))
		Expect(agent.Status.Validation).To(HaveValue(Equal(v1alpha1.ValidationStatus{Version: second, ValidVersion: 1})))
		Expect(meta.IsStatusConditionTrue(agent.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "DEFAULT leads to the first")
		Expect(meta.FindStatusCondition(agent.Status.Conditions, v1alpha1.ConditionSessionsStart)).To(HaveField("Status", metav1.ConditionTrue))
		Eventually(trialsOf(ctx, agent)).Should(BeEmpty())

		By("and another, which does not try it again")
		running.end()
		running = startOperator(namespace)
		Expect(imageOf(ctx, starting(ctx, agent, "tried-after"))).To(Equal("first"))
		Consistently(trialsOf(ctx, agent), 10*time.Second/scale).Should(BeEmpty())

		third := updateRuntime(ctx, agent, startingPods("third"))
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionTrue, v1alpha1.ReasonHealthy, ContainSubstring("version 4")))
		Expect(third).To(BeEquivalentTo(4))
		Expect(imageOf(ctx, starting(ctx, agent, "tried-third"))).To(Equal("third"))
		patchSpec(ctx, first, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		eventually(ctx, first, And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
		Expect(imageOf(ctx, first)).To(Equal("third"))

		By("what was valid, kept however many follow that are not")
		for range 12 {
			failed := updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) { s.ProvisioningTimeoutSeconds--; pendingPods("broken")(s) })
			crash(ctx, trialIn(ctx, agent, failed), "broken")
			Eventually(verdict(ctx, agent)).Should(And(HaveField("Status", metav1.ConditionFalse), HaveField("ObservedGeneration", failed)))
		}
		Expect(versionsOf(ctx, agent)()).NotTo(ContainElement(second + 1))
		Expect(imageOf(ctx, starting(ctx, agent, "tried-last"))).To(Equal("third"))
	})

	It("leave DEFAULT without any until one was healthy, which is said", func(ctx context.Context) {
		agent := newRuntime(namespace, "new", "first", tried, func(r *v1alpha1.AgentRuntime) { pendingPods("first")(&r.Spec) })
		Expect(api.Create(ctx, agent)).To(Succeed())
		session := sessionOf(agent, "new-session")
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(readyOf(ctx, session)).Should(And(HaveField("Reason", v1alpha1.ReasonRuntimeNotFound), HaveField("Message", ContainSubstring("no version that was tried with success yet"))))
		crash(ctx, trialIn(ctx, agent, 1), "no such file")
		Eventually(verdict(ctx, agent)).Should(HaveField("Status", metav1.ConditionFalse))
		Expect(agent.Status.Conditions).To(ContainElement(And(HaveField("Type", v1alpha1.ConditionReady), HaveField("Reason", v1alpha1.ReasonNoValidVersion))))
		Eventually(readyOf(ctx, session)).Should(HaveField("Message", ContainSubstring("no such file")))

		updateRuntime(ctx, agent, startingPods("second"))
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(imageOf(ctx, session)).To(Equal("second"))
	})

	It("follow each other, and only the newest is tried", func(ctx context.Context) {
		agent := newRuntime(namespace, "hurried", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(1))
		second := updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
			s.Validation, s.ProvisioningTimeoutSeconds = v1alpha1.ValidationStart, 7200
			pendingPods("second")(s)
		})
		trial := trialIn(ctx, agent, second)
		Expect(verdict(ctx, agent)()).To(HaveField("Reason", v1alpha1.ReasonTrying))
		Expect(agent.Status.Validation).To(HaveValue(Equal(v1alpha1.ValidationStatus{Version: second, ValidVersion: 1})), "it was served before versions were tried")
		third := updateRuntime(ctx, agent, startingPods("third"))
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionTrue, v1alpha1.ReasonHealthy, ContainSubstring("version 3")))
		Expect(agent.Status.Validation).To(HaveValue(Equal(v1alpha1.ValidationStatus{Version: third, ValidVersion: third})))
		Eventually(func() error { return api.Get(ctx, client.ObjectKeyFromObject(trial), trial) }).Should(MatchError(ContainSubstring("not found")))

		By("switching it off")
		fourth := updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) { s.Validation = v1alpha1.ValidationNone; pendingPods("fourth")(s) })
		Eventually(func() (*v1alpha1.ValidationStatus, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.Validation, err
		}).Should(BeNil())
		Expect(meta.FindStatusCondition(agent.Status.Conditions, v1alpha1.ConditionValidated)).To(BeNil())
		Expect(lifecycle.DefaultVersion(agent)).To(Equal(fourth))
		Expect(trialsOf(ctx, agent)()).To(BeEmpty())
	})
})

var _ = Describe("A version of which no session can be had", func() {
	It("has failed, in the words of who refused the pod", func(ctx context.Context) {
		namespace := newNamespace(ctx, "pod-security.kubernetes.io/enforce", "restricted")
		startOperator(namespace)
		agent := newRuntime(namespace, "refused", "first", tried)
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionFalse, v1alpha1.ReasonPodRefused, ContainSubstring("violates PodSecurity")))
		Eventually(trialsOf(ctx, agent)).Should(BeEmpty())
	})

	It("has failed where another object has its session's name", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent := newRuntime(namespace, "taken", "first", tried)
		Expect(api.Create(ctx, agent)).To(Succeed())
		stranger := newSession(namespace, lifecycle.TrialName("taken", string(agent.UID), 1), neverIdle)
		Expect(api.Create(ctx, stranger)).To(Succeed())
		startOperator(namespace)
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionFalse, v1alpha1.ReasonTrialRefused, ContainSubstring(stranger.Name)))
		Expect(api.Get(ctx, client.ObjectKeyFromObject(stranger), stranger)).To(Succeed())
	})
})

var _ = Describe("A version with a warm-up hook", Ordered, func() {
	var namespace string
	BeforeAll(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) { r.TimeScale = 1 }) // the hook's 120 s
	})
	hooked := func(namespace, name string, answer http.HandlerFunc) *v1alpha1.AgentRuntime {
		agent := newRuntime(namespace, name, "first", tried, func(r *v1alpha1.AgentRuntime) {
			r.Spec.Template.Annotations = map[string]string{"serve": name}
			r.Spec.HooksConfiguration = &v1alpha1.HooksConfiguration{Build: v1alpha1.BuildHooks{Warmup: v1alpha1.Hook{Action: v1alpha1.HookAction{
				HTTPPost: v1alpha1.HTTPPostAction{Path: "/warm-up"},
			}}}}
		})
		programs.Store(name, answer)
		return agent
	}

	It("is valid when the hook was answered, once", func(ctx context.Context) {
		asked, answer := make(chan string, 10), make(chan struct{})
		agent := hooked(namespace, "warm", func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Method + " " + r.URL.Path
			<-answer
			w.WriteHeader(http.StatusAccepted)
		})
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(asked).Should(Receive(Equal("POST /warm-up")))
		trial := trialIn(ctx, agent, 1)
		for i := range 10 { // each has the runtime looked at
			base := trial.DeepCopy()
			trial.Annotations = map[string]string{"touched": strconv.Itoa(i)}
			Expect(api.Patch(ctx, trial, client.MergeFrom(base))).To(Succeed())
		}
		Expect(verdict(ctx, agent)()).To(HaveField("Reason", v1alpha1.ReasonTrying), "it is healthy, and not warm")
		close(answer)
		Eventually(verdict(ctx, agent)).Should(HaveField("Status", metav1.ConditionTrue))
		Expect(asked).NotTo(Receive())
	})

	It("has failed when it was refused", func(ctx context.Context) {
		agent := hooked(namespace, "cold", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionFalse, v1alpha1.ReasonWarmupFailed, HaveSuffix("The warm-up hook: the answer was 418")))
		Eventually(trialsOf(ctx, agent)).Should(BeEmpty())
	})

	It("has failed when there was no answer in time", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(namespace)
		agent := hooked(namespace, "silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(verdict(ctx, agent)).Should(judged(metav1.ConditionFalse, v1alpha1.ReasonWarmupFailed, HaveSuffix("The warm-up hook: no answer in time")))
	})

	It("needs validation, and the agent's own port", func(ctx context.Context) {
		agent := hooked(namespace, "never", nil)
		agent.Spec.Validation = ""
		Expect(api.Create(ctx, agent)).To(MatchError(ContainSubstring("hooksConfiguration needs validation Start")))
		agent.Spec.Validation = v1alpha1.ValidationStart
		agent.Spec.HooksConfiguration.Build.Warmup.Action.HTTPPost.Port = agent.Spec.ProtocolConfiguration.Port + 1
		Expect(api.Create(ctx, agent)).To(MatchError(ContainSubstring("port of a hook must be the agent's")))
		agent.Spec.HooksConfiguration.Build.Warmup.Action.HTTPPost.Port--
		Expect(api.Create(ctx, agent, client.DryRunAll)).To(Succeed())
		agent.Spec.ProtocolConfiguration = v1alpha1.ProtocolConfiguration{ServerProtocol: v1alpha1.ProtocolMCP}
		agent.Spec.HooksConfiguration.Build.Warmup.Action.HTTPPost.Port = 8000
		Expect(api.Create(ctx, agent, client.DryRunAll)).To(Succeed())
	})
})
