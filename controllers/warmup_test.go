package controllers

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// The hook goes where pings go: to the pod of the trial, and never to what status says of it.
func TestWhereAWarmupHookIsSent(t *testing.T) {
	const there = "10.1.2.3"
	for name, row := range map[string]struct {
		change        func(*v1alpha1.AgentSession, *corev1.Pod)
		allowLoopback bool
		want          string
	}{
		"to the pod": {want: there + ":8080"},
		"status says another address": {
			change: func(trial *v1alpha1.AgentSession, _ *corev1.Pod) { trial.Status.Pod.IP = "127.0.0.1" },
			want:   there + ":8080",
		},
		"status names a pod that is not its own": {change: func(_ *v1alpha1.AgentSession, pod *corev1.Pod) { pod.OwnerReferences = nil }},
		"status names another pod by the name":   {change: func(_ *v1alpha1.AgentSession, pod *corev1.Pod) { pod.UID = "another" }},
		"it starts":                              {change: func(trial *v1alpha1.AgentSession, _ *corev1.Pod) { trial.Status.State = v1alpha1.StateStarting }},
		"the pod is gone":                        {change: func(trial *v1alpha1.AgentSession, _ *corev1.Pod) { trial.Status.Pod.Name = "gone" }},
		"loopback":                               {change: func(_ *v1alpha1.AgentSession, pod *corev1.Pod) { pod.Status.PodIP = "127.0.0.1" }},
		"loopback, for tests": {
			change: func(_ *v1alpha1.AgentSession, pod *corev1.Pod) { pod.Status.PodIP = "127.0.0.1" }, allowLoopback: true, want: "127.0.0.1:8080",
		},
		"the node's own": {change: func(_ *v1alpha1.AgentSession, pod *corev1.Pod) { pod.Status.HostIP = there }},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			trial := &v1alpha1.AgentSession{
				ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "trial", UID: "trial-uid"},
				Spec:       v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "shop"}},
				Status: v1alpha1.AgentSessionStatus{
					State: v1alpha1.StateIdle, Activation: 1, Pod: &v1alpha1.PodStatus{Name: "trial-1", UID: "pod-uid", IP: there},
				},
			}
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "a", Name: "trial-1", UID: "pod-uid",
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(trial, v1alpha1.GroupVersion.WithKind("AgentSession"))},
				},
				Status: corev1.PodStatus{PodIP: there, HostIP: "10.0.0.1"},
			}
			if row.change != nil {
				row.change(trial, pod)
			}
			r := &AgentRuntimeReconciler{Client: fake.NewClientBuilder().WithObjects(pod).Build(), AllowLoopback: row.allowLoopback}
			addr, ok := r.trialAddress(t.Context(), trial)
			g.Expect(ok).To(Equal(row.want != ""))
			if ok {
				g.Expect(addr).To(Equal(netip.MustParseAddrPort(row.want)))
			}
		})
	}
}
