package controllers_test

import (
	"context"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// overtaken is the client of an operator that somebody overtakes between its decision
// and its write.
type overtaken struct {
	client.Client

	creates, deletes func(client.Object)
}

func (o overtaken) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if o.creates != nil {
		o.creates(object)
	}
	return o.Client.Create(ctx, object, opts...)
}

func (o overtaken) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	if o.deletes != nil {
		o.deletes(object)
	}
	return o.Client.Delete(ctx, object, opts...)
}

// lateDeletion is the way to an API server at which somebody is faster than the first deletion
// of an object of a resource.
type lateDeletion struct {
	http.RoundTripper

	resource string
	faster   func(name string)
	once     *sync.Once
	answered chan struct{}
}

func (l lateDeletion) RoundTrip(r *http.Request) (*http.Response, error) {
	before, name := path.Split(r.URL.Path)
	if r.Method != http.MethodDelete || path.Base(before) != l.resource {
		return l.RoundTripper.RoundTrip(r)
	}
	first := false
	l.once.Do(func() {
		defer GinkgoRecover()
		first = true
		l.faster(name)
	})
	answer, err := l.RoundTripper.RoundTrip(r)
	if first {
		close(l.answered)
	}
	return answer, err
}

var _ = Describe("What happens meanwhile", func() {
	var namespace string
	BeforeEach(func(ctx context.Context) { namespace = newNamespace(ctx) })

	// replace makes a pod of somebody's in the place of a session's, by its name.
	replace := func(ctx context.Context, name string) *corev1.Pod {
		GinkgoHelper()
		bury(ctx, namespace, name)
		Eventually(gone(ctx, namespace, name)).Should(BeTrue())
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "another", Image: "another"}}},
		}
		Expect(api.Create(ctx, pod)).To(Succeed())
		return pod
	}

	It("makes no other pod by the same name the session's", func(ctx context.Context) {
		first := startOperator(namespace)
		session := newSession(namespace, "twin", neverIdle)
		running(ctx, session)
		first.end()
		another := replace(ctx, "twin-1")
		startOperator(namespace)
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopComputeLost))
		Expect(podNamed(ctx, namespace, "twin-1")()).To(And(HaveField("UID", another.UID), HaveField("DeletionTimestamp", BeNil())))
	})

	It("costs nobody a pod by the same name", func(ctx context.Context) {
		var another *corev1.Pod
		var once sync.Once
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Client = overtaken{Client: r.Client, deletes: func(object client.Object) {
				defer GinkgoRecover()
				once.Do(func() { another = replace(ctx, object.GetName()) })
			}}
		})
		session := newSession(namespace, "swapped", neverIdle)
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(podNamed(ctx, namespace, "swapped-1")()).To(And(HaveField("UID", another.UID), HaveField("DeletionTimestamp", BeNil())))
	})

	DescribeTable("costs nobody what has the name of what is deleted",
		func(ctx context.Context, resource string, named func(string) client.Object, leave func(context.Context)) {
			var another client.Object
			answered := make(chan struct{})
			late := lateDeletion{resource: resource, once: &sync.Once{}, answered: answered, faster: func(name string) {
				another = named(name)
				displace(ctx, another)
			}}
			overtaken := rest.CopyConfig(config)
			overtaken.Wrap(func(next http.RoundTripper) http.RoundTripper {
				late := late
				late.RoundTripper = next
				return late
			})
			start(overtaken, controllers.ManagerOptions(), namespace)
			leave(ctx)
			Eventually(answered).Should(BeClosed())
			there := another.DeepCopyObject().(client.Object)
			Expect(api.Get(ctx, client.ObjectKeyFromObject(another), there)).To(Succeed())
			Expect(there).To(And(HaveField("UID", another.GetUID()), HaveField("DeletionTimestamp", BeNil())))
		},
		Entry("a pod of a session that was deleted", "pods",
			func(name string) client.Object {
				return &corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "another", Image: "another"}}},
				}
			},
			func(ctx context.Context) {
				session := newSession(namespace, "departed", neverIdle)
				running(ctx, session)
				Expect(api.Delete(ctx, session)).To(Succeed())
			}),
		Entry("the storage of an earlier session", "persistentvolumeclaims",
			func(name string) client.Object { return foreignClaim(namespace, name) },
			func(ctx context.Context) {
				session := newSession(namespace, "again", neverIdle, stored)
				running(ctx, session)
				Expect(api.Delete(ctx, session)).To(Succeed())
				Eventually(gone(ctx, namespace, "again-1")).Should(BeTrue())
				Expect(api.Create(ctx, newSession(namespace, "again", neverIdle, stored))).To(Succeed())
			}),
		Entry("the session that tried a version", "agentsessions",
			func(name string) client.Object {
				return newSession(namespace, name, func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped })
			},
			func(ctx context.Context) {
				Expect(api.Create(ctx, newRuntime(namespace, "valid", "first", tried))).To(Succeed())
			}),
		Entry("a version of an earlier runtime", "controllerrevisions",
			func(name string) client.Object { return revisionNamed(namespace, name) },
			func(ctx context.Context) {
				agent, left := newRuntime(namespace, "anew", "first"), revisionNamed(namespace, "anew-1")
				earlier := metav1.NewControllerRef(agent, v1alpha1.GroupVersion.WithKind("AgentRuntime"))
				earlier.UID = "11111111-2222-3333-4444-555555555555"
				left.OwnerReferences = []metav1.OwnerReference{*earlier}
				Expect(api.Create(ctx, left)).To(Succeed())
				Expect(api.Create(ctx, agent)).To(Succeed())
			}),
		Entry("an old version", "controllerrevisions",
			func(name string) client.Object { return revisionNamed(namespace, name) },
			func(ctx context.Context) {
				agent := newRuntime(namespace, "aged", "1")
				Expect(api.Create(ctx, agent)).To(Succeed())
				Eventually(versionsOf(ctx, agent)).Should(ContainElement(int64(1)))
				for n := int64(2); n <= 12; n++ { // one more than are kept beside the newest
					Expect(updateRuntime(ctx, agent, image(strconv.FormatInt(n, 10)))).To(Equal(n))
					Eventually(versionsOf(ctx, agent)).Should(ContainElement(n))
				}
			}),
	)

	It("keeps a session that is woken as it expires", func(ctx context.Context) {
		var once sync.Once
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Client = overtaken{Client: r.Client, deletes: func(object client.Object) {
				defer GinkgoRecover()
				if read, is := object.(*v1alpha1.AgentSession); is {
					once.Do(func() {
						patchSpec(ctx, read.DeepCopy(), func(s *v1alpha1.AgentSessionSpec) { s.Activation, s.DesiredState = 2, v1alpha1.DesiredRunning })
					})
				}
			}}
		})
		session := newSession(namespace, "woken", neverIdle, func(s *v1alpha1.AgentSession) { s.Spec.TTLSecondsAfterStopped = new(int32(0)) })
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventually(ctx, session, And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
	})

	It("takes over a pod with the version that it was made of", func(ctx context.Context) {
		agent := newRuntime(namespace, "changes", "first")
		Expect(api.Create(ctx, agent)).To(Succeed())
		var once sync.Once
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Client = overtaken{Client: r.Client, creates: func(object client.Object) {
				defer GinkgoRecover()
				if pod, is := object.(*corev1.Pod); is { // made of the version before, by an operator that died
					once.Do(func() {
						pod := pod.DeepCopy()
						pod.Labels[v1alpha1.LabelVersion], pod.Spec.Containers[0].Image = "1", "first"
						Expect(api.Create(ctx, pod)).To(Succeed())
					})
				}
			}}
		})
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(1))
		updateRuntime(ctx, agent, image("second"))
		Eventually(versionsOf(ctx, agent)).Should(HaveLen(2))
		session := sessionOf(agent, "old")
		Expect(api.Create(ctx, session)).To(Succeed())
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).Runtime.AgentRuntimeVersion).To(BeEquivalentTo(1))
		Expect(imageOf(ctx, session)).To(Equal("first"))
	})

	// The agent sends no stamps: how long it is idle is what operators have seen.
	It("adds to the idle time no more than nobody looked, over two restarts", func(ctx context.Context) {
		session := newSession(namespace, "seen", func(s *v1alpha1.AgentSession) { s.Spec.LifecycleConfiguration.IdleRuntimeSessionTimeout = 600 })
		fromItsFirstMoment(namespace, session.Name, func(agent *node.Agent) {
			agent.Answer(func() (int, string) { return http.StatusOK, `{"status":"Healthy"}` })
		})
		operator := startOperator(namespace)
		running(ctx, session)
		idle, due := session.Status.IdleSince.Time, session.Status.NextStop.At.Time
		Eventually(time.Now).Should(BeTemporally(">", idle.Add(5*time.Second)), "for a while it is seen")
		for range 2 {
			operator.end()
			seen := time.Now()
			Eventually(time.Now).Should(BeTemporally(">", seen.Add(2*time.Second)))
			operator = startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
				r.LastLeader = func() time.Time { return seen }
			})
			later := due.Add(time.Second)
			Eventually(reading(ctx, session)).Should(HaveField("NextStop.At.Time", BeTemporally(">=", later)))
			Expect(session.Status.NextStop.At.Time).To(BeTemporally("<=", due.Add(time.Since(seen)+time.Second)))
			due = session.Status.NextStop.At.Time
		}
	})

	It("leaves what was foreseen as it is until the agent has answered", func(ctx context.Context) {
		operator := startOperator(namespace)
		session := newSession(namespace, "silent", neverIdle)
		fromItsFirstMoment(namespace, session.Name, busy)
		Expect(api.Create(ctx, session)).To(Succeed())
		began := eventuallyState(ctx, session, v1alpha1.StateActive).HealthyAt.Time
		Eventually(time.Now).Should(BeTemporally(">", began.Add(3*time.Second)))
		agent := agentOf(ctx, session)
		agent.SayAt(contract.Healthy, began) // its stamp, which no operator knows before it answers, counts
		foreseen := eventuallyState(ctx, session, v1alpha1.StateIdle).NextStop
		Expect(foreseen.Reason).To(Equal(v1alpha1.StopIdleTimeout))
		Expect(session.Status.PingStatusSince.Time).To(BeTemporally(">", session.Status.IdleSince.Time))
		operator.end()
		agent.Hang()
		startOperator(namespace)
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopUnhealthy))
		for _, version := range seen.of(client.ObjectKeyFromObject(session)) {
			if version.Status.State == v1alpha1.StateIdle {
				Expect(version.Status.NextStop).To(Equal(foreseen))
			}
		}
	})
})

// displace puts an object in the place of another, by its name.
func displace(ctx context.Context, by client.Object) {
	GinkgoHelper()
	old := by.DeepCopyObject().(client.Object)
	Expect(api.Delete(ctx, old, client.GracePeriodSeconds(0))).To(Succeed())
	unprotected := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`))
	Expect(client.IgnoreNotFound(api.Patch(ctx, old, unprotected))).To(Succeed())
	Eventually(func() error { return api.Create(ctx, by) }).Should(Succeed())
}

// revisionNamed is a ControllerRevision that nobody owns.
func revisionNamed(namespace, name string) *appsv1.ControllerRevision {
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       runtime.RawExtension{Raw: []byte(`{}`)}, Revision: 1,
	}
}
