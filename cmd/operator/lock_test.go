package main

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestWhoHasEndedHoldsNoLease: a leader that was killed is not waited for, and one that
// may still work is.
func TestWhoHasEndedHoldsNoLease(t *testing.T) {
	g := NewWithT(t)
	environment := &envtest.Environment{UseExistingCluster: new(false)}
	config, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(environment.Stop()).To(Succeed()) })
	core, err := kubernetes.NewForConfig(config)
	g.Expect(err).NotTo(HaveOccurred())
	const namespace = "default"
	pods, leases := core.CoreV1().Pods(namespace), core.CoordinationV1().Leases(namespace)

	taken := time.Now().Truncate(time.Second)
	before, after := metav1.NewTime(taken.Add(-time.Second)), metav1.NewTime(taken.Add(time.Second))
	running := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	since := func(end metav1.Time) corev1.ContainerStatus {
		again := running
		again.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{FinishedAt: end}
		return again
	}
	ended := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: after}}}
	for name, row := range map[string]struct {
		status corev1.PodStatus
		holder string // in the place of the pod's own
		renews bool
		ended  bool
	}{
		"it runs":                              {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{running}}},
		"nothing is said of it yet":            {status: corev1.PodStatus{}},
		"it waits, as far as is known":         {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}}}},
		"it ended":                             {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{ended}}, ended: true},
		"it ended, and runs again":             {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{since(after)}}, ended: true},
		"it ended before it had the lease":     {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{since(before)}}},
		"one of two ended":                     {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{since(after), running}}},
		"the kubelet evicted it":               {status: corev1.PodStatus{Phase: corev1.PodFailed}, ended: true},
		"the pod is not there":                 {holder: "gone_UID_UID", ended: true},
		"another pod has its name":             {holder: "POD_UID_UID", ended: true},
		"the pod is not there, and renews it":  {holder: "gone_UID_UID", renews: true},
		"it is on a host that is no pod":       {holder: "laptop_UID"},
		"it is on a host with a line":          {holder: "my_laptop_UID"},
		"somebody wrote a name of other parts": {holder: "a_b_c_d"},
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), t.Context()
			pod, err := pods.Create(ctx, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "operator-"},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "operator", Image: "operator"}}},
			}, metav1.CreateOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			pod.Status = row.status
			_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			leader := options{leaderNamespace: namespace, podNamespace: namespace, podName: pod.Name, podUID: string(pod.UID), renewDeadline: time.Minute}
			holder, err := leader.identity()
			g.Expect(err).NotTo(HaveOccurred())
			if row.holder != "" {
				holder = strings.NewReplacer("POD", pod.Name, "UID", "6b1a4f0e-0000-4000-8000-000000000001").Replace(row.holder)
			}
			renewed := metav1.NewMicroTime(taken.Add(2 * time.Second))
			_, err = leases.Create(ctx, &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: leaseName},
				Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, AcquireTime: new(metav1.NewMicroTime(taken)), RenewTime: &renewed},
			}, metav1.CreateOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { g.Expect(leases.Delete(ctx, leaseName, metav1.DeleteOptions{})).To(Succeed()) }()

			candidate := options{leaderNamespace: namespace, renewDeadline: time.Minute}
			if row.renews {
				candidate.retryPeriod = time.Hour
			}
			second, err := newLock(config, candidate)
			g.Expect(err).NotTo(HaveOccurred())
			record, _, err := second.Get(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			if row.ended {
				holder = ""
			}
			g.Expect(record.HolderIdentity).To(Equal(holder))
			g.Expect(second.predecessorSeen()).To(BeTemporally("==", renewed.Time), "somebody asked the agents until then")
		})
	}
}
