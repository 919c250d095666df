package controllers_test

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// nodeUser is a user with the rights of the processes on the nodes, no more.
func nodeUser(ctx context.Context) *rest.Config {
	GinkgoHelper()
	user, err := environment.AddUser(envtest.User{Name: "node-prober"}, nil)
	Expect(err).NotTo(HaveOccurred())
	raw, err := os.ReadFile("../config/node-probe/rbac.yaml")
	Expect(err).NotTo(HaveOccurred())
	var role rbacv1.ClusterRole
	for document := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		if err := yaml.UnmarshalStrict(document, &role); err == nil && role.Kind == "ClusterRole" {
			break
		}
	}
	Expect(role.Name).To(Equal("node-prober"))
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "node-prober"}},
	}
	for _, object := range []client.Object{&role, binding} {
		Expect(api.Create(ctx, object)).To(Succeed())
		DeferCleanup(api.Delete, object)
	}
	config := user.Config()
	config.QPS = -1
	return config
}

var _ = Describe("Agents that are asked from their own nodes", Ordered, func() {
	var (
		namespace string
		user      *rest.Config
	)
	startNode := func(name string) *operator {
		return start(user, controllers.NodeManagerOptions(name), namespace, func(r *controllers.AgentSessionReconciler) { r.Node = name })
	}
	on := func(node string, change ...func(*v1alpha1.AgentSession)) func(*v1alpha1.AgentSession) {
		return func(s *v1alpha1.AgentSession) {
			s.Spec.Template.Annotations = map[string]string{"node": node}
			for _, f := range change {
				f(s)
			}
		}
	}
	lasting := func(idle, life int32) func(*v1alpha1.AgentSession) {
		return func(s *v1alpha1.AgentSession) {
			s.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: idle, MaxLifetime: life}
		}
	}
	create := func(ctx context.Context, name string, change func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
		GinkgoHelper()
		session := newSession(namespace, name, change)
		Expect(api.Create(ctx, session)).To(Succeed())
		return session
	}
	change := func(ctx context.Context, session *v1alpha1.AgentSession, changes ...func(*v1alpha1.AgentSession)) {
		GinkgoHelper()
		base := session.DeepCopy()
		for _, f := range changes {
			f(session)
		}
		Expect(api.Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
	}
	stays := func(ctx context.Context, session *v1alpha1.AgentSession) {
		GinkgoHelper()
		version := session.ResourceVersion
		Consistently(func() (string, error) {
			_, err := reading(ctx, session)()
			return session.ResourceVersion, err
		}, 3*time.Second).Should(Equal(version), "nothing is written")
	}

	BeforeAll(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		user = nodeUser(ctx)
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) { r.Prober = nil })
		startNode("a")
	})

	It("live, end and wake by the same rules", func(ctx context.Context) {
		session := create(ctx, "life", on("a", lasting(28800, 28800)))
		status := eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(status.Pod.Node).To(Equal("a"))
		agentOf(ctx, session).Say(contract.HealthyBusy)
		eventuallyState(ctx, session, v1alpha1.StateActive)
		agentOf(ctx, session).Say(contract.Healthy)
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		change(ctx, session, lasting(60, 28800))
		status = eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopIdleTimeout), HaveField("PingStatus", "Healthy")))
		Expect(podsOf(ctx, session)).To(BeEmpty())

		change(ctx, session, lasting(28800, 28800), func(s *v1alpha1.AgentSession) { s.Spec.Activation = 2 })
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).Activation).To(BeEquivalentTo(2))
		change(ctx, session, func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped })
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
	})

	It("can be selected by their node", func(ctx context.Context) {
		session := create(ctx, "selected", on("a", lasting(28800, 28800)))
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		names := func(node string) (names []string) {
			var list v1alpha1.AgentSessionList
			Expect(api.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{"status.pod.node": node})).To(Succeed())
			for i := range list.Items {
				names = append(names, list.Items[i].Name)
			}
			return names
		}
		Expect(names("a")).To(ContainElement("selected"))
		Expect(names("b")).NotTo(ContainElement("selected"))

		By("watching only what is on the node")
		for node, want := range map[string]OmegaMatcher{"a": ContainElement("selected"), "b": Not(ContainElement("selected"))} {
			opts := controllers.NodeManagerOptions(node)
			opts.Cache.Scheme, opts.Cache.ReaderFailOnMissingInformer = opts.Scheme, false
			watched, err := cache.New(user, opts.Cache)
			Expect(err).NotTo(HaveOccurred())
			running, stop := context.WithCancel(ctx)
			go watched.Start(running)
			DeferCleanup(stop)
			Expect(watched.WaitForCacheSync(ctx)).To(BeTrue())
			for _, list := range []client.ObjectList{&v1alpha1.AgentSessionList{}, &corev1.PodList{}} {
				Expect(watched.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
				var sessions []string
				Expect(meta.EachListItem(list, func(o runtime.Object) error {
					sessions = append(sessions, cmp.Or(o.(client.Object).GetLabels()[v1alpha1.LabelSession], o.(client.Object).GetName()))
					return nil
				})).To(Succeed())
				Expect(sessions).To(want)
			}
		}
	})

	It("end by what only their node knows", func(ctx context.Context) {
		hung := create(ctx, "hung", on("a", lasting(28800, 28800)))
		eventuallyState(ctx, hung, v1alpha1.StateIdle)
		agentOf(ctx, hung).Hang()

		startNode("lonely") // where nothing else happens that would move its cache on
		fromItsFirstMoment(namespace, "absent", absent)
		silent := create(ctx, "absent", on("lonely", lasting(28800, 28800)))
		reports := reportsOn(silent)
		eventually(ctx, silent, And(HaveField("State", v1alpha1.StateStarting), HaveField("Conditions", ContainElement(
			And(HaveField("Type", v1alpha1.ConditionPingContract), HaveField("Reason", Not(Equal(v1alpha1.ReasonPingUnknown))))))))

		fromItsFirstMoment(namespace, "stuck", busy)
		stuck := create(ctx, "stuck", on("a", lasting(28800, 28800), func(s *v1alpha1.AgentSession) {
			s.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 60, Action: v1alpha1.StuckStop}
		}))

		Expect(eventuallyState(ctx, hung, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopUnhealthy))
		Expect(eventuallyState(ctx, stuck, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopStuckBusy))
		Expect(eventuallyState(ctx, silent, v1alpha1.StateStopped).LastTermination).To(And(
			HaveField("Reason", v1alpha1.StopStartTimeout), HaveField("Message", ContainSubstring("GET /ping was answered with 404"))))
		Eventually(reports).Should(ContainElement(v1alpha1.StateStopped))
		Expect(len(reports())).To(BeNumerically("<=", 8), "not one for each of 60 pings")
	})

	It("take up a change of their spec, and cost nothing without one", func(ctx context.Context) {
		session := create(ctx, "changed", on("a", lasting(28800, 28800)))
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Eventually(func() string {
			_, _ = reading(ctx, session)()
			return reasonOf(session, v1alpha1.ConditionPingContract)
		}).
			Should(Equal(v1alpha1.ReasonPingConforms))
		stays(ctx, session)
		change(ctx, session, lasting(60, 28800))
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})

	It("are nobody's where no process runs, and end by the clocks that need none", func(ctx context.Context) {
		var agent atomic.Pointer[node.Agent]
		fromItsFirstMoment(namespace, "elsewhere", agent.Store)
		session := create(ctx, "elsewhere", on("b", lasting(60, 60)))
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Expect(status.LastTermination.Reason).To(Equal(v1alpha1.StopMaxLifetime))
		Expect(agent.Load().Pings()).To(BeZero())
	})

	It("are asked by one only, whoever else is there, and by whom the operator says", func(ctx context.Context) {
		apart := newNamespace(ctx)
		start(user, controllers.NodeManagerOptions("mixed"), apart, func(r *controllers.AgentSessionReconciler) { r.Node = "mixed" })
		central := startOperator(apart)
		session := newSession(apart, "mixed", on("mixed", lasting(28800, 28800)))
		Expect(api.Create(ctx, session)).To(Succeed())
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).AskedBy).To(Equal(v1alpha1.AskedByOperator))
		Expect(session.Status.Pod.Node).To(Equal("mixed"))
		agent := agentOf(ctx, session)
		begun := time.Now()
		before := agent.Pings()
		Eventually(agent.Pings).Should(BeNumerically(">", before+20))
		Expect(agent.Pings()-before).To(BeNumerically("<", 2+int(1.5*time.Since(begun).Seconds()*10)), "one each 100 ms, and not two")

		By("an operator that asks nobody")
		central.end()
		nobody := startOperator(apart, func(r *controllers.AgentSessionReconciler) { r.Prober = nil })
		Eventually(reading(ctx, session)).Should(HaveField("AskedBy", v1alpha1.AskedByNode))
		agent.Say(contract.HealthyBusy)
		eventuallyState(ctx, session, v1alpha1.StateActive)

		By("one of an older version, which does not say who asks")
		nobody.end()
		base := session.DeepCopy()
		session.Status.AskedBy = ""
		Expect(api.Status().Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
		agent.Say(contract.Healthy)
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).AskedBy).To(BeEmpty())
		agent.Say(contract.HealthyBusy)
		eventuallyState(ctx, session, v1alpha1.StateActive)

		By("one that asks all")
		startOperator(apart)
		Eventually(reading(ctx, session)).Should(HaveField("AskedBy", v1alpha1.AskedByOperator))
		agent.Say(contract.Healthy)
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		stays(ctx, session)
	})

	It("are not idle while their node's process is gone", func(ctx context.Context) {
		c := startNode("c")
		session := create(ctx, "orphan", on("c", lasting(28800, 28800)))
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		c.end()
		change(ctx, session, lasting(60, 28800))
		Consistently(reading(ctx, session), 6*time.Second).Should(HaveField("State", v1alpha1.StateIdle), "twice its idle timeout")
		startNode("c")
		Expect(eventuallyState(ctx, session, v1alpha1.StateStopped).LastTermination.Reason).To(Equal(v1alpha1.StopIdleTimeout))
	})
})
