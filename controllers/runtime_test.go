package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// newRuntime makes a runtime whose agents say which image they are.
func newRuntime(namespace, name, image string, change ...func(*v1alpha1.AgentRuntime)) *v1alpha1.AgentRuntime {
	agent := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.AgentRuntimeSpec{
			Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: image}}}},
			ProtocolConfiguration:  v1alpha1.ProtocolConfiguration{Port: kubelet.Port()},
			LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 7200, MaxLifetime: 14400},
		},
	}
	for _, f := range change {
		f(agent)
	}
	return agent
}

// sessionOf makes a session of a runtime.
func sessionOf(agent *v1alpha1.AgentRuntime, name string, change ...func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: name},
		Spec:       v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: agent.Name}},
	}
	for _, f := range change {
		f(session)
	}
	return session
}

// updateRuntime makes a version more, and returns its number.
func updateRuntime(ctx context.Context, agent *v1alpha1.AgentRuntime, change func(*v1alpha1.AgentRuntimeSpec)) int64 {
	GinkgoHelper()
	Expect(api.Get(ctx, client.ObjectKeyFromObject(agent), agent)).To(Succeed())
	base := agent.DeepCopy()
	change(&agent.Spec)
	Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
	return agent.Generation
}

func image(name string) func(*v1alpha1.AgentRuntimeSpec) {
	return func(s *v1alpha1.AgentRuntimeSpec) { s.Template.Spec.Containers[0].Image = name }
}

// imageOf is the image of the session's compute.
func imageOf(ctx context.Context, session *v1alpha1.AgentSession) string {
	GinkgoHelper()
	var pod corev1.Pod
	Expect(api.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
	Expect(pod.Labels).To(And(
		HaveKeyWithValue(v1alpha1.LabelRuntime, session.Spec.RuntimeRef.Name),
		HaveKeyWithValue(v1alpha1.LabelVersion, fmt.Sprint(session.Status.Runtime.AgentRuntimeVersion))))
	return pod.Spec.Containers[0].Image
}

// versionsOf are the versions of a runtime that are kept.
func versionsOf(ctx context.Context, agent *v1alpha1.AgentRuntime) func() ([]int64, error) {
	return func() ([]int64, error) {
		var list appsv1.ControllerRevisionList
		err := api.List(ctx, &list, client.InNamespace(agent.Namespace), client.MatchingLabels{v1alpha1.LabelRuntime: agent.Name})
		var numbers []int64
		for i := range list.Items {
			numbers = append(numbers, list.Items[i].Revision)
		}
		return numbers, err
	}
}

var _ = Describe("Sessions of a runtime", Ordered, func() {
	var namespace string
	BeforeAll(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) { r.GatewayURL = "https://gateway.example" })
	})

	It("are told their own URL at the gateway if they speak A2A, unless their template tells them", func(ctx context.Context) {
		speaks := func(protocol v1alpha1.ServerProtocol, env ...corev1.EnvVar) func(*v1alpha1.AgentRuntime) {
			return func(agent *v1alpha1.AgentRuntime) {
				agent.Spec.ProtocolConfiguration.ServerProtocol = protocol
				agent.Spec.Template.Spec.Containers[0].Env = env
				agent.Spec.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
			}
		}
		told := func(agent *v1alpha1.AgentRuntime, qualifier string) []corev1.EnvVar {
			GinkgoHelper()
			session := sessionOf(agent, agent.Name+"-session", func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Qualifier = qualifier })
			Expect(api.Create(ctx, session)).To(Succeed()) // it may well be there before the ARN
			Expect(api.Create(ctx, agent)).To(Succeed())
			eventuallyState(ctx, session, v1alpha1.StateIdle)
			Expect(api.Get(ctx, client.ObjectKeyFromObject(agent), agent)).To(Succeed())
			var pod corev1.Pod
			Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
			return slices.DeleteFunc(pod.Spec.Containers[0].Env, func(v corev1.EnvVar) bool { return v.Name != "AGENTCORE_RUNTIME_URL" })
		}
		at := func(agent *v1alpha1.AgentRuntime, query string) corev1.EnvVar {
			arn := strings.NewReplacer(":", "%3A", "/", "%2F").Replace(agent.Status.AgentRuntimeArn)
			return corev1.EnvVar{Name: "AGENTCORE_RUNTIME_URL", Value: "https://gateway.example/runtimes/" + arn + "/invocations/" + query}
		}
		agent := newRuntime(namespace, "a2a", "a", speaks("A2A"))
		Expect(told(agent, "")).To(ConsistOf(at(agent, "")))
		agent = newRuntime(namespace, "a2a-pinned", "a", speaks("A2A"))
		Expect(told(agent, "PROD")).To(ConsistOf(at(agent, "?qualifier=PROD")))
		own := corev1.EnvVar{Name: "AGENTCORE_RUNTIME_URL", Value: "https://agent.example/"}
		Expect(told(newRuntime(namespace, "a2a-knows", "a", speaks("A2A", own)), "")).To(ConsistOf(own))
		Expect(told(newRuntime(namespace, "no-a2a", "a", speaks("HTTP")), "")).To(BeEmpty())
	})

	It("start from templates that the caches leave out", func(ctx context.Context) {
		large := corev1.EnvVar{Name: "LARGE", Value: strings.Repeat("a", 100_000)}
		started := func(session *v1alpha1.AgentSession, image string) {
			GinkgoHelper()
			Expect(api.Create(ctx, session)).To(Succeed())
			eventuallyState(ctx, session, v1alpha1.StateIdle)
			var pod corev1.Pod
			Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: session.Status.Pod.Name}, &pod)).To(Succeed())
			agent := pod.Spec.Containers[0]
			Expect(agent.Image).To(Equal(image))
			Expect(agent.Env).To(ContainElement(large))
		}
		started(newSession(namespace, "large", neverIdle, func(s *v1alpha1.AgentSession) {
			s.Spec.Template.Spec.Containers[0].Image, s.Spec.Template.Spec.Containers[0].Env = "own", []corev1.EnvVar{large}
		}), "own")

		agent := newRuntime(namespace, "large", "first", func(agent *v1alpha1.AgentRuntime) {
			agent.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{large}
			agent.Spec.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
		})
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(versionsOf(ctx, agent)).Should(ConsistOf(BeEquivalentTo(1)))
		updateRuntime(ctx, agent, image("second"))
		Eventually(versionsOf(ctx, agent)).Should(ConsistOf(BeEquivalentTo(1), BeEquivalentTo(2)))
		started(sessionOf(agent, "large-newest"), "second")
		started(sessionOf(agent, "large-pinned", func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Qualifier = "PROD" }), "first")
	})

	It("keep the version that they started with, and wake with the newest", func(ctx context.Context) {
		agent := newRuntime(namespace, "versions", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		session := sessionOf(agent, "versions-session")
		Expect(api.Create(ctx, session)).To(Succeed())
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(imageOf(ctx, session)).To(Equal("first"))
		Expect(status.Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(status.Runtime.ProtocolConfiguration).To(Equal(v1alpha1.ProtocolConfiguration{
			ServerProtocol: v1alpha1.ProtocolHTTP, Port: kubelet.Port(), Path: "/invocations",
		}))
		Expect(*status.LifecycleConfiguration).To(Equal(v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 7200, MaxLifetime: 14400}))

		By("a new version, with a shorter idle timeout")
		Expect(updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
			s.Template.Spec.Containers[0].Image = "second"
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 200}
			s.ProtocolConfiguration.Path = "/other"
		})).To(BeEquivalentTo(2))
		Eventually(versionsOf(ctx, agent)).Should(ConsistOf(BeEquivalentTo(1), BeEquivalentTo(2)))
		agentOf(ctx, session).Say("HealthyBusy")
		status = eventuallyState(ctx, session, v1alpha1.StateActive)
		Expect(status.Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(status.LifecycleConfiguration.IdleRuntimeSessionTimeout).To(BeEquivalentTo(7200))

		By("a value of the session's own, which counts at once")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) {
			s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 300}
		})
		Eventually(reading(ctx, session)).Should(HaveField("LifecycleConfiguration",
			HaveValue(Equal(v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 300, MaxLifetime: 14400}))))

		By("the next activation")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation, s.LifecycleConfiguration = 2, nil })
		eventually(ctx, session, And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
		Expect(imageOf(ctx, session)).To(Equal("second"))
		Expect(session.Status.Runtime.AgentRuntimeVersion).To(BeEquivalentTo(2))
		Expect(session.Status.Runtime.ProtocolConfiguration.Path).To(Equal("/other"))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})

	It("say in the runtime whether they start", func(ctx context.Context) {
		agent := newRuntime(namespace, "starts", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		said := func(about string) func() string {
			return func() string {
				Expect(api.Get(ctx, client.ObjectKeyFromObject(agent), agent)).To(Succeed())
				if c := meta.FindStatusCondition(agent.Status.Conditions, about); c != nil {
					return string(c.Status) + " " + c.Reason + ": " + c.Message
				}
				return ""
			}
		}
		Eventually(said(v1alpha1.ConditionReady)).Should(HavePrefix("True"))
		Expect(said(v1alpha1.ConditionSessionsStart)()).To(BeEmpty(), "nobody knows yet")
		good := sessionOf(agent, "starts-good")
		Expect(api.Create(ctx, good)).To(Succeed())
		eventuallyState(ctx, good, v1alpha1.StateIdle)
		Eventually(said(v1alpha1.ConditionSessionsStart)).Should(HavePrefix("True Healthy: "))

		updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) { s.Template.Annotations = map[string]string{"pending": "yes"} })
		bad := sessionOf(agent, "starts-bad")
		Expect(api.Create(ctx, bad)).To(Succeed())
		eventuallyState(ctx, bad, v1alpha1.StateStarting)
		var pod corev1.Pod
		Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: bad.Status.Pod.Name}, &pod)).To(Succeed())
		base := pod.DeepCopy()
		pod.Status.Phase, pod.Status.Reason = corev1.PodFailed, "OutOfmemory"
		Expect(api.Status().Patch(ctx, &pod, client.MergeFrom(base))).To(Succeed())
		Eventually(said(v1alpha1.ConditionSessionsStart)).Should(And(HavePrefix(`False StartFailed: The AgentSession "starts-bad" did not start: `), ContainSubstring("OutOfmemory")))
		patchSpec(ctx, good, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, good, v1alpha1.StateStopped)
		Consistently(said(v1alpha1.ConditionSessionsStart), time.Second).Should(HavePrefix("False"), "a stop is no start")
	})

	It("start with the version that their endpoint pins, once it is there", func(ctx context.Context) {
		agent := newRuntime(namespace, "endpoints", "first")
		session := sessionOf(agent, "endpoints-session", func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Qualifier = "PROD" })
		ready := func() string {
			_, _ = reading(ctx, session)()
			if c := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady); c != nil {
				return c.Reason + ": " + c.Message
			}
			return ""
		}
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(ready).Should(And(HavePrefix("RuntimeNotFound: "), ContainSubstring(`There is no AgentRuntime "endpoints"`)))
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(ready).Should(ContainSubstring(`has no endpoint "PROD"`))
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(1))
		updateRuntime(ctx, agent, image("second"))
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(2))
		updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
			s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
		})
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(imageOf(ctx, session)).To(Equal("first"))

		By("a version that never was")
		updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) { s.Endpoints[0].Version = 99 })
		Eventually(func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(agent), agent)).To(Succeed())
			g.Expect(agent.Status.Conditions).To(ContainElement(And(HaveField("Type", v1alpha1.ConditionReady), HaveField("Status", metav1.ConditionFalse),
				HaveField("Message", "The sessions of the endpoint PROD cannot start: version 99 has not been made yet, and 4 is the newest."))))
		}).Should(Succeed())
	})

	It("have every version, however fast they follow each other", func(ctx context.Context) {
		agent := newRuntime(namespace, "hasty", "image-1")
		Expect(api.Create(ctx, agent)).To(Succeed())
		for n := 2; n <= 11; n++ {
			base := agent.DeepCopy()
			image(fmt.Sprint("image-", n))(&agent.Spec)
			Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
		}
		Eventually(versionsOf(ctx, agent)).Should(ConsistOf(int64(1), int64(2), int64(3), int64(4), int64(5), int64(6), int64(7), int64(8), int64(9), int64(10), int64(11)))
		updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
			s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 7}}
		})
		session := sessionOf(agent, "hasty-session", func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Qualifier = "PROD" })
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(imageOf(ctx, session)).To(Equal("image-7"))
	})

	It("have an artifact that changes of endpoints leave as it is, and that is kept however many there are", func(ctx context.Context) {
		agent := newRuntime(namespace, "pinned", "agent:1")
		Expect(api.Create(ctx, agent)).To(Succeed())
		artifactAt := func(generation int64) func(Gomega) int64 {
			return func(g Gomega) int64 {
				g.Expect(api.Get(ctx, client.ObjectKeyFromObject(agent), agent)).To(Succeed())
				g.Expect(agent.Status.AgentRuntimeVersion).To(Equal(generation))
				return agent.Status.Artifact.Version
			}
		}
		Eventually(artifactAt(1)).WithTimeout(patience).Should(BeEquivalentTo(1))
		second := updateRuntime(ctx, agent, image("agent:2"))
		Eventually(artifactAt(second)).WithTimeout(patience).Should(Equal(second))
		for pinned := range int64(13) { // more than are kept
			last := updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
				s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "prod", Version: second + pinned}}
			})
			Eventually(artifactAt(last)).WithTimeout(patience).Should(Equal(second))
		}
	})

	It("are counted, and their runtime has a name of AWS's shape", func(ctx context.Context) {
		agent := newRuntime(namespace, "counted", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		for _, name := range []string{"counted-one", "counted-two"} {
			Expect(api.Create(ctx, sessionOf(agent, name))).To(Succeed())
		}
		stopped := sessionOf(agent, "counted-three", func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped })
		Expect(api.Create(ctx, stopped)).To(Succeed())
		Eventually(func() (v1alpha1.SessionCounts, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.Sessions, err
		}).Should(Equal(v1alpha1.SessionCounts{Idle: 2, Stopped: 1}))
		Expect(agent.Status.AgentRuntimeID).To(MatchRegexp(`^counted-[a-z0-9]{10}$`))
		Expect(agent.Status.AgentRuntimeArn).To(MatchRegexp(`^arn:aws:bedrock-agentcore:us-east-1:[0-9]{12}:runtime/` + agent.Status.AgentRuntimeID + `$`))
		Expect(agent.Status.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(meta.IsStatusConditionTrue(agent.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
	})

	It("lose no version that is pinned", func(ctx context.Context) {
		agent := newRuntime(namespace, "many", "first", func(r *v1alpha1.AgentRuntime) {
			r.Spec.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "OLD", Version: 1}}
		})
		Expect(api.Create(ctx, agent)).To(Succeed())
		Eventually(versionsOf(ctx, agent)).Should(ConsistOf(BeEquivalentTo(1)))
		for n := int64(2); n <= 14; n++ {
			Expect(updateRuntime(ctx, agent, image(fmt.Sprint("image-", n)))).To(Equal(n))
			Eventually(versionsOf(ctx, agent)).Should(ContainElement(n))
		}
		// The newest, ten before it, and the one that is pinned.
		Eventually(versionsOf(ctx, agent)).Should(ConsistOf(int64(1), int64(4), int64(5), int64(6), int64(7), int64(8), int64(9), int64(10), int64(11), int64(12), int64(13), int64(14)))
	})
})

var _ = Describe("A runtime whose version cannot be recorded", func() {
	It("says so, and has its names and sessions all the same", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		left := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "again-1"}, Data: runtime.RawExtension{Raw: []byte(`{}`)}, Revision: 1}
		Expect(api.Create(ctx, left)).To(Succeed())
		agent := newRuntime(namespace, "again", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		startOperator(namespace)
		Eventually(func() (*metav1.Condition, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return meta.FindStatusCondition(agent.Status.Conditions, v1alpha1.ConditionReady), err
		}).Should(And(HaveField("Reason", v1alpha1.ReasonVersionNameTaken), HaveField("Message", ContainSubstring("again-1"))))
		Expect(agent.Status.AgentRuntimeArn).NotTo(BeEmpty())
		session := sessionOf(agent, "again-session")
		Expect(api.Create(ctx, session)).To(Succeed())
		eventuallyState(ctx, session, v1alpha1.StateIdle)

		Expect(api.Delete(ctx, left)).To(Succeed())
		Eventually(func() (*metav1.Condition, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return meta.FindStatusCondition(agent.Status.Conditions, v1alpha1.ConditionReady), err
		}).Should(HaveField("Status", metav1.ConditionTrue))
	})
})

var _ = Describe("A runtime with the name of one that was deleted", func() {
	It("records its versions in the place of those that are left of that one", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent := newRuntime(namespace, "anew", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		earlier := *metav1.NewControllerRef(agent, v1alpha1.GroupVersion.WithKind("AgentRuntime"))
		earlier.UID = "11111111-2222-3333-4444-555555555555"
		left := &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "anew-1", OwnerReferences: []metav1.OwnerReference{earlier}, Labels: map[string]string{v1alpha1.LabelRuntime: agent.Name}},
			Data:       runtime.RawExtension{Raw: []byte(`{}`)}, Revision: 1,
		}
		Expect(api.Create(ctx, left)).To(Succeed())
		startOperator(namespace)
		Eventually(func() (*metav1.Condition, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return meta.FindStatusCondition(agent.Status.Conditions, v1alpha1.ConditionReady), err
		}).Should(HaveField("Status", metav1.ConditionTrue))
		var recorded appsv1.ControllerRevision
		Expect(api.Get(ctx, client.ObjectKeyFromObject(left), &recorded)).To(Succeed())
		Expect(metav1.IsControlledBy(&recorded, agent)).To(BeTrue())
	})
})

var _ = Describe("A version that was made while no operator was running", func() {
	It("is not there, no other takes its number, and what to do is said", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent := newRuntime(namespace, "quick", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
			image("second")(s)
			s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
		})
		startOperator(namespace)
		session := sessionOf(agent, "quick-session", func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Qualifier = "PROD" })
		Expect(api.Create(ctx, session)).To(Succeed())
		Eventually(readyOf(ctx, session)).Should(And(HaveField("Reason", v1alpha1.ReasonRuntimeNotFound), HaveField("Message", ContainSubstring("apply what it was once more"))))
		Eventually(func() ([]metav1.Condition, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(agent), agent)
			return agent.Status.Conditions, err
		}).Should(ContainElement(And(HaveField("Reason", v1alpha1.ReasonVersionNotFound),
			HaveField("Message", And(ContainSubstring("version 1 is not there: either it was never recorded"), ContainSubstring("Pin one that is there (2), or apply what it was once more"))))))
		Expect(versionsOf(ctx, agent)()).To(ConsistOf(int64(2)))

		By("doing so")
		again := updateRuntime(ctx, agent, image("first"))
		Eventually(versionsOf(ctx, agent)).Should(ContainElement(again))
		updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) { s.Endpoints[0].Version = again })
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(imageOf(ctx, session)).To(Equal("first"))
	})
})

var _ = Describe("An operator that dies before it says which version it started", func() {
	It("is followed by one that goes on with that version", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		agent := newRuntime(namespace, "left", "first", func(r *v1alpha1.AgentRuntime) { r.Spec.LifecycleConfiguration.IdleRuntimeSessionTimeout = 200 })
		Expect(api.Create(ctx, agent)).To(Succeed())
		first := startOperator(namespace)
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(1))
		first.end()

		session := sessionOf(agent, "left-session")
		Expect(api.Create(ctx, session)).To(Succeed())
		dying := startOperator(namespace, dyingAfter(1))
		Eventually(func() []corev1.Pod { return podsOf(ctx, session) }).Should(HaveLen(1))
		dying.end()
		updateRuntime(ctx, agent, func(s *v1alpha1.AgentRuntimeSpec) {
			image("second")(s)
			s.LifecycleConfiguration = nil
		})

		startOperator(namespace)
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(imageOf(ctx, session)).To(Equal("first"))
		Expect(status.Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(status.NextStop.At.Sub(status.IdleSince.Time)).To(Equal(200 * time.Second / scale))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})
})
