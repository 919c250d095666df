package main

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/internal/apiserver"
)

// TestWhoHasEndedHoldsNoLease: a leader that was killed is not waited for, and one that
// may still work is.
func TestWhoHasEndedHoldsNoLease(t *testing.T) {
	g := NewWithT(t)
	environment := &envtest.Environment{UseExistingCluster: new(false), ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 2 * time.Minute}
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
				ObjectMeta: metav1.ObjectMeta{Name: apiserver.OperatorLease},
				Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, AcquireTime: new(metav1.NewMicroTime(taken)), RenewTime: &renewed},
			}, metav1.CreateOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { g.Expect(leases.Delete(ctx, apiserver.OperatorLease, metav1.DeleteOptions{})).To(Succeed()) }()

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

// TestOtherOperators: whether one with another selector leads is what its lease says, for as
// long as it is renewed.
func TestOtherOperators(t *testing.T) {
	g := NewWithT(t)
	now := time.Now()
	renewed := func(seconds time.Duration, holder string) *coordinationv1.Lease {
		at := metav1.NewMicroTime(now.Add(seconds * time.Second))
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: new(int32(15)), RenewTime: &at}}
	}
	notFound, forbidden := apierrors.NewNotFound(schema.GroupResource{}, "a"), apierrors.NewForbidden(schema.GroupResource{}, "a", nil)
	for name, row := range map[string]struct {
		reads []*coordinationv1.Lease // one each 10 s; nil: as err says
		err   error
		leads bool
		seen  time.Time
	}{
		"it renews":                 {[]*coordinationv1.Lease{renewed(-100, "x"), renewed(-90, "x"), renewed(-80, "x")}, nil, true, time.Time{}},
		"it has stopped renewing":   {[]*coordinationv1.Lease{renewed(-1, "x"), renewed(-1, "x"), renewed(-1, "x")}, nil, false, now.Add(-time.Second)},
		"it was renewed long ago":   {[]*coordinationv1.Lease{renewed(-100, "x")}, nil, true, time.Time{}},
		"it was let go of":          {[]*coordinationv1.Lease{renewed(0, "")}, nil, false, now},
		"nobody ever had it":        {[]*coordinationv1.Lease{nil}, notFound, false, time.Time{}},
		"it is deleted":             {[]*coordinationv1.Lease{renewed(0, "x"), nil}, notFound, false, time.Time{}},
		"it may not be read":        {[]*coordinationv1.Lease{nil, nil}, forbidden, true, time.Time{}},
		"it may not be read at all": {[]*coordinationv1.Lease{nil, nil, nil}, forbidden, false, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			lease := newForeign(15*time.Second, now)
			at := now
			for i, read := range row.reads {
				at = now.Add(time.Duration(i) * 10 * time.Second)
				if read == nil {
					lease.note(nil, row.err, at)
					continue
				}
				lease.note(read, nil, at)
			}
			leader := lease.leader(at)
			g.Expect(leader.Leads).To(Equal(row.leads))
			g.Expect(leader.SeenAt).To(BeTemporally("==", row.seen))
		})
	}

	// From an API server, by the name that the other takes its lease with.
	environment := &envtest.Environment{UseExistingCluster: new(false), ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 2 * time.Minute}
	config, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(environment.Stop()).To(Succeed()) })
	o := options{leaderNamespace: "default", leaseDuration: time.Hour, renewDeadline: time.Minute, selector: shard(t, "shard in (b)")}
	theirs, err := newLock(config, o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(theirs.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: theirs.Identity(), LeaseDurationSeconds: 3600, RenewTime: metav1.Now()})).To(Succeed())
	others, err := newLeaders(config, o)
	g.Expect(err).NotTo(HaveOccurred())
	leads := func(selector string) func() bool {
		return func() bool { return others.leader(t.Context(), selector).Leads }
	}
	g.Expect(leads("shard=b")()).To(BeTrue())
	for _, nobodys := range []string{"shard=a", ""} { // a lease that was not read in time may be held
		g.Eventually(leads(nobodys), time.Minute).Should(BeFalse(), nobodys)
	}
}
