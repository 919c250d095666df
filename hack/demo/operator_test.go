package main

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestWithTimeScale(t *testing.T) {
	g := NewWithT(t)
	object := &unstructured.Unstructured{Object: map[string]any{
		"kind": "Deployment",
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "operator", "args": []any{"--leader-elect"}},
		}}}},
	}}
	g.Expect(withTimeScale(12)(object)).To(Succeed())
	containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(containers).To(ConsistOf(HaveKeyWithValue("args", []any{"--leader-elect", "--time-scale=12"})))

	object.Object["spec"] = map[string]any{}
	g.Expect(withTimeScale(12)(object)).NotTo(Succeed())
	g.Expect(withTimeScale(12)(&unstructured.Unstructured{Object: map[string]any{"kind": "Service"}})).To(Succeed())
}

func TestRollout(t *testing.T) {
	done := appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	one := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "operator-1"}}
	pulling := *one.DeepCopy()
	pulling.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull", Message: "it is not there"},
	}}}
	for name, row := range map[string]struct {
		status appsv1.DeploymentStatus
		pods   []corev1.Pod
		want   string
	}{
		"done":            {done, []corev1.Pod{one}, ""},
		"old status":      {appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}, []corev1.Pod{one}, "1 of 1 operators are available, 1 pods are there"},
		"the old one too": {done, []corev1.Pod{one, one}, "1 of 1 operators are available, 2 pods are there"},
		"no image":        {appsv1.DeploymentStatus{ObservedGeneration: 2}, []corev1.Pod{pulling}, "the pod operator-1 waits: ErrImageNeverPull it is not there"},
		"refused": {appsv1.DeploymentStatus{ObservedGeneration: 2, Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "quota"},
		}}, nil, "the deployment has no pod: quota"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			deployment := &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(1))}, Status: row.status,
			}
			g.Expect(rollout(deployment, row.pods)).To(Equal(row.want))
		})
	}
}

func TestLeadership(t *testing.T) {
	g := NewWithT(t)
	pods := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "operator-1"}}}
	lease := &coordinationv1.Lease{}
	g.Expect(leadership(lease, pods)).To(Equal("no operator leads; the lease is held by -"))
	lease.Spec.HolderIdentity = new("operator-1_4711")
	g.Expect(leadership(lease, pods)).To(BeEmpty())
	lease.Spec.HolderIdentity = new("operator-12_4711")
	g.Expect(leadership(lease, pods)).To(Equal("no operator leads; the lease is held by operator-12_4711"))
}

func TestEnding(t *testing.T) {
	for name, row := range map[string]struct {
		err         error
		interrupted bool
		borrowed    bool
		code        int
		says        string
	}{
		"all went well":      {nil, false, false, 0, ""},
		"a story gone wrong": {errViolated, false, false, 1, ""},
		"no cluster":         {errors.New("no cluster"), false, false, 1, "demo: no cluster"},
		"Ctrl-C":             {context.Canceled, true, false, 130, "Interrupted. The cluster stays up; make demo-down takes it away."},
		"Ctrl-C, borrowed":   {context.Canceled, true, true, 130, "Interrupted."},
		"Ctrl-C at the end":  {nil, true, false, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			code, says := ending(row.err, row.interrupted, row.borrowed)
			g.Expect(code).To(Equal(row.code))
			g.Expect(says).To(Equal(row.says))
		})
	}
}
