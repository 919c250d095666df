package controllers_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// stored has a session with a template have storage.
func stored(s *v1alpha1.AgentSession) {
	s.Spec.FilesystemConfigurations = []v1alpha1.FilesystemConfiguration{{SessionStorage: v1alpha1.SessionStorageConfiguration{MountPath: "/mnt/data/"}}}
}

// storedBy has the sessions of a runtime have storage.
func storedBy(agent *v1alpha1.AgentRuntime) {
	agent.Spec.FilesystemConfigurations = []v1alpha1.FilesystemConfiguration{{SessionStorage: v1alpha1.SessionStorageConfiguration{
		MountPath: "/mnt/data", Size: new(resource.MustParse("20Gi")), StorageClassName: "fast",
	}}}
}

// claimOf reads a claim; it may be gone.
func claimOf(ctx context.Context, session *v1alpha1.AgentSession) func() (*corev1.PersistentVolumeClaim, error) {
	return func() (*corev1.PersistentVolumeClaim, error) {
		claim := &corev1.PersistentVolumeClaim{}
		return claim, api.Get(ctx, client.ObjectKeyFromObject(session), claim)
	}
}

// release has a claim that is deleted go, as Kubernetes' protection of claims in use does when
// no pod uses it.
func release(ctx context.Context, session *v1alpha1.AgentSession) {
	GinkgoHelper()
	claim, err := claimOf(ctx, session)()
	Expect(err).NotTo(HaveOccurred())
	Expect(claim.DeletionTimestamp).NotTo(BeNil())
	base := claim.DeepCopy()
	claim.Finalizers = nil
	Expect(api.Patch(ctx, claim, client.MergeFrom(base))).To(Succeed())
}

// foreignClaim is a claim that says it is a session's, and has no owner.
func foreignClaim(namespace, name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelSession: name}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}

// stopNow stops a session by hand.
func stopNow(ctx context.Context, session *v1alpha1.AgentSession) {
	GinkgoHelper()
	patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
	eventuallyState(ctx, session, v1alpha1.StateStopped)
}

// wakeNow takes that back.
func wakeNow(ctx context.Context, session *v1alpha1.AgentSession) {
	GinkgoHelper()
	patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredRunning })
}

var _ = Describe("Session storage", func() {
	var namespace string
	BeforeEach(func(ctx context.Context) { namespace = newNamespace(ctx) })
	uidOf := func(ctx context.Context, session *v1alpha1.AgentSession) types.UID {
		GinkgoHelper()
		claim, err := claimOf(ctx, session)()
		Expect(err).NotTo(HaveOccurred())
		return claim.UID
	}

	It("is a claim that is the session's, made once, and mounted by each activation", func(ctx context.Context) {
		startOperator(namespace)
		session := newSession(namespace, "stored", neverIdle, stored)
		running(ctx, session)
		claim, err := claimOf(ctx, session)()
		Expect(err).NotTo(HaveOccurred())
		Expect(metav1.IsControlledBy(claim, session)).To(BeTrue())
		Expect(claim.Labels).To(Equal(map[string]string{v1alpha1.LabelSession: "stored"}))
		Expect(claim.Spec.AccessModes).To(ConsistOf(corev1.ReadWriteOnce))
		Expect(claim.Spec.Resources.Requests.Storage().String()).To(Equal("1Gi"))
		Expect(session.Status.Storage).To(HaveValue(Equal(v1alpha1.StorageStatus{PersistentVolumeClaim: "stored", UID: claim.UID})))

		stopNow(ctx, session)
		wakeNow(ctx, session)
		Expect(eventuallyState(ctx, session, v1alpha1.StateIdle).Activation).To(BeEquivalentTo(2))
		pod, err := podNamed(ctx, namespace, "stored-2")()
		Expect(err).NotTo(HaveOccurred())
		Expect(pod.Spec.Volumes).To(ConsistOf(And(HaveField("Name", "session-storage"), HaveField("PersistentVolumeClaim.ClaimName", "stored"))))
		Expect(pod.Spec.Containers[0].VolumeMounts).To(ConsistOf(HaveField("MountPath", "/mnt/data")))
		Expect(pod.Spec.Containers[0].Env).To(ContainElement(corev1.EnvVar{Name: "AGENTSESSION_STORAGE", Value: "/mnt/data"}))
		again, err := claimOf(ctx, session)()
		Expect(err).NotTo(HaveOccurred())
		Expect(again).To(Equal(claim), "nothing was written to it")
	})

	It("is used by one pod at a time", func(ctx context.Context) {
		startOperator(namespace)
		session := newSession(namespace, "alone", deaf(3600), stored)
		running(ctx, session)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.Activation = 2 })
		eventually(ctx, session, HaveField("Conditions", ContainElement(HaveField("Message", ContainSubstring(`no other may use its volume "session-storage" beside it`)))))
		Expect(gone(ctx, namespace, "alone-2")()).To(BeTrue())
		bury(ctx, namespace, "alone-1")
		eventually(ctx, session, And(HaveField("State", v1alpha1.StateIdle), HaveField("Activation", BeEquivalentTo(2))))
	})

	It("is empty in the first activation of another version", func(ctx context.Context) {
		startOperator(namespace)
		agent := newRuntime(namespace, "versions", "agent:1", storedBy)
		Expect(api.Create(ctx, agent)).To(Succeed())
		session := sessionOf(agent, "updated")
		running(ctx, session)
		claim, err := claimOf(ctx, session)()
		Expect(err).NotTo(HaveOccurred())
		Expect(claim.Labels).To(And(HaveKeyWithValue(v1alpha1.LabelRuntime, "versions"), HaveKeyWithValue(v1alpha1.LabelVersion, "1")))
		Expect(claim.Spec.Resources.Requests.Storage().String()).To(Equal("20Gi"))
		Expect(claim.Spec.StorageClassName).To(HaveValue(Equal("fast")))

		By("waking it with the same version")
		stopNow(ctx, session)
		wakeNow(ctx, session)
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(uidOf(ctx, session)).To(Equal(claim.UID))

		By("waking it with another")
		updateRuntime(ctx, agent, image("agent:2"))
		Expect(uidOf(ctx, session)).To(Equal(claim.UID), "its activation keeps what it started with")
		stopNow(ctx, session)
		wakeNow(ctx, session)
		Eventually(claimOf(ctx, session)).Should(HaveField("DeletionTimestamp", Not(BeNil())))
		eventually(ctx, session, HaveField("Conditions", ContainElement(HaveField("Message", ContainSubstring("the PersistentVolumeClaim updated, of another version or an earlier session, has not gone yet")))))
		Expect(session.Status.Pod).To(BeNil())
		release(ctx, session)
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		next, err := claimOf(ctx, session)()
		Expect(err).NotTo(HaveOccurred())
		Expect(next.UID).NotTo(Equal(claim.UID))
		Expect(next.Labels).To(HaveKeyWithValue(v1alpha1.LabelVersion, "2"))
		Expect(session.Status.Storage.UID).To(Equal(next.UID))
	})

	It("is not an earlier session's by the same name", func(ctx context.Context) {
		startOperator(namespace)
		session := newSession(namespace, "again", neverIdle, stored)
		running(ctx, session)
		old := uidOf(ctx, session)
		Expect(api.Delete(ctx, session)).To(Succeed())
		Eventually(gone(ctx, namespace, "again-1")).Should(BeTrue())
		Expect(uidOf(ctx, session)).To(Equal(old), "no garbage collector runs here")
		next := newSession(namespace, "again", neverIdle, stored)
		Expect(api.Create(ctx, next)).To(Succeed())
		Eventually(claimOf(ctx, next)).Should(HaveField("DeletionTimestamp", Not(BeNil())))
		release(ctx, next)
		eventuallyState(ctx, next, v1alpha1.StateIdle)
		Expect(uidOf(ctx, next)).NotTo(Equal(old))
	})

	It("is not taken from somebody else", func(ctx context.Context) {
		startOperator(namespace)
		foreign := foreignClaim(namespace, "taken")
		Expect(api.Create(ctx, foreign)).To(Succeed())
		session := newSession(namespace, "taken", stored)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventually(ctx, session, And(because(v1alpha1.ConditionReady, v1alpha1.ReasonStorageNameTaken),
			HaveField("Conditions", ContainElement(HaveField("Message", "A PersistentVolumeClaim named taken is there and is not this session's; delete it, or this session")))))
		Expect(podsOf(ctx, session)).To(BeEmpty())
		stopNow(ctx, session)
		Expect(claimOf(ctx, session)()).To(Equal(foreign))
	})

	It("that may not be made is refused", func(ctx context.Context) {
		startOperator(namespace)
		Expect(api.Create(ctx, &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "small"},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
				Type: corev1.LimitTypePersistentVolumeClaim, Max: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
			}}},
		})).To(Succeed())
		session := newSession(namespace, "refused", stored)
		Expect(api.Create(ctx, session)).To(Succeed())
		eventually(ctx, session, And(because(v1alpha1.ConditionReady, v1alpha1.ReasonStorageRefused),
			HaveField("Conditions", ContainElement(HaveField("Message", ContainSubstring("maximum storage usage per PersistentVolumeClaim is 1Mi"))))))
		Expect(podsOf(ctx, session)).To(BeEmpty())
	})

	It("without a volume is what the start waits for, and ends for", func(ctx context.Context) {
		startOperator(namespace)
		session := newSession(namespace, "pending", stored, func(s *v1alpha1.AgentSession) {
			s.Spec.ProvisioningTimeoutSeconds = 200                                                        // 10 s
			s.Spec.Template.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/never"}} // or the stand-in takes it
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		eventually(ctx, session, HaveField("Pod", Not(BeNil())))
		pod, err := podNamed(ctx, namespace, "pending-1")()
		Expect(err).NotTo(HaveOccurred())
		base := pod.DeepCopy()
		pod.Status.Conditions = []corev1.PodCondition{{ // as the scheduler says it
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
			Message: "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
		}}
		Expect(api.Status().Patch(ctx, pod, client.MergeFrom(base))).To(Succeed())
		const words = "the session's storage, PersistentVolumeClaim pending, has no volume (Pending): it names no StorageClass and the cluster has no default one"
		eventually(ctx, session, And(because(v1alpha1.ConditionReady, v1alpha1.ReasonStoragePending),
			HaveField("Conditions", ContainElement(HaveField("Message", ContainSubstring(words))))))
		eventually(ctx, session, HaveField("LastTermination", And(Not(BeNil()),
			HaveField("Reason", v1alpha1.StopStartFailed), HaveField("Message", ContainSubstring(words)))))
	})

	It("is found by the next operator after one that died before it could say so", func(ctx context.Context) {
		session := newSession(namespace, "left", neverIdle, stored)
		Expect(api.Create(ctx, session)).To(Succeed())
		first := startOperator(namespace, dyingAfter(2))
		Eventually(func() int { return len(podsOf(ctx, session)) }).Should(Equal(1))
		first.end()
		Expect(reading(ctx, session)()).To(HaveField("Storage", BeNil()))
		startOperator(namespace)
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		Expect(session.Status.Storage).To(HaveField("UID", uidOf(ctx, session)))
	})

	It("is dropped 14 days after its last use", func(ctx context.Context) {
		first := startOperator(namespace)
		session := newSession(namespace, "unused", neverIdle, stored)
		running(ctx, session)
		stopNow(ctx, session)
		first.end()
		foreign := foreignClaim(namespace, "foreign") // which somebody who may write status names there
		Expect(api.Create(ctx, foreign)).To(Succeed())
		base := session.DeepCopy()
		session.Status.Storage = &v1alpha1.StorageStatus{PersistentVolumeClaim: foreign.Name, UID: foreign.UID}
		Expect(api.Status().Patch(ctx, session, client.MergeFrom(base))).To(Succeed())
		version := session.ResourceVersion
		// later is an operator that begins when so much time has passed.
		later := func(by time.Duration) *operator {
			GinkgoHelper()
			there, here := &set{}, &machine{begun: time.Now()}
			there.Store(int64(by))
			here.set.Store(int64(by))
			dated := rest.CopyConfig(config)
			dated.Wrap(func(next http.RoundTripper) http.RoundTripper { return dating{next, there} })
			return startBy(apiserver.NewClock(here, GinkgoLogr), dated, controllers.ManagerOptions(), namespace,
				func(r *controllers.AgentSessionReconciler) { r.Concurrency = 1 })
		}
		const kept = lifecycle.StorageKept / scale

		By("an operator an hour before")
		second := later(kept - time.Hour)
		for _, name := range []string{"first", "second"} { // the second comes after whatever it saw with the first
			beside := newSession(namespace, name, func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped })
			Expect(api.Create(ctx, beside)).To(Succeed())
			eventuallyState(ctx, beside, v1alpha1.StateStopped)
		}
		second.end()
		Expect(claimOf(ctx, session)()).To(HaveField("DeletionTimestamp", BeNil()))
		Expect(reading(ctx, session)()).To(HaveField("Storage", Not(BeNil())))
		Expect(session.ResourceVersion).To(Equal(version))

		By("an operator an hour after")
		later(kept + time.Hour)
		eventually(ctx, session, HaveField("Storage", BeNil()))
		Expect(claimOf(ctx, session)()).To(HaveField("DeletionTimestamp", Not(BeNil())))
		Expect(api.Get(ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
		Expect(foreign.DeletionTimestamp).To(BeNil())
		Expect(session.Status.State).To(Equal(v1alpha1.StateStopped))
		release(ctx, session)
		_, err := claimOf(ctx, session)()
		Expect(apierrors.IsNotFound(err)).To(BeTrue())
	})
})
