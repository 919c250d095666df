package controllers

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestComputeOf(t *testing.T) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(created.Add(time.Minute))}}
	for name, row := range map[string]struct {
		status  corev1.PodStatus
		leaving bool
		want    lifecycle.ComputePhase
		started time.Time
		detail  string
	}{
		"not scheduled yet": {want: lifecycle.ComputePresent},
		"the agent waits": {
			status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waits("agent", "ContainerCreating", "")}},
			want:   lifecycle.ComputePresent,
		},
		"the agent runs": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "agent", State: running}}},
			want:   lifecycle.ComputePresent, started: created.Add(time.Minute),
		},
		"a sidecar runs, and not the agent": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "sidecar", State: running}}},
			want:   lifecycle.ComputePresent,
		},
		"the agent exited and a sidecar runs on": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
				{Name: "sidecar", State: running}, ended("agent", "Error", 1, ""),
			}},
			want: lifecycle.ComputeExited, detail: `The agent (container "agent") exited with code 1: Error`,
		},
		"a sidecar exited and the agent runs on": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
				ended("sidecar", "Completed", 0, ""), {Name: "agent", State: running},
			}},
			want: lifecycle.ComputePresent, started: created.Add(time.Minute),
		},
		"evicted": {
			status: corev1.PodStatus{
				Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on memory",
				ContainerStatuses: []corev1.ContainerStatus{ended("agent", "Error", 137, "")},
			},
			want: lifecycle.ComputeLost, detail: "The pod was ended by the cluster: Evicted: The node was low on memory",
		},
		"evicted before the agent ran": {
			status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on memory"},
			want:   lifecycle.ComputeLost, detail: "The pod was ended by the cluster: Evicted: The node was low on memory",
		},
		"a node that shuts down with the agent on it": {
			status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "NodeShutdown", ContainerStatuses: []corev1.ContainerStatus{ended("agent", "Error", 137, "")}},
			want:   lifecycle.ComputeLost, detail: "The pod was ended by the cluster: NodeShutdown",
		},
		"its node went away": {
			status: corev1.PodStatus{Phase: corev1.PodFailed, Conditions: []corev1.PodCondition{{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager",
			}}},
			want: lifecycle.ComputeLost, detail: "The pod was ended by the cluster: no reason given (DeletionByTaintManager)",
		},
		"being deleted": {
			status: corev1.PodStatus{Phase: corev1.PodRunning}, leaving: true,
			want: lifecycle.ComputeLeaving, detail: "Somebody else deletes the pod",
		},
		"being drained": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
			}}}, leaving: true,
			want: lifecycle.ComputeLeaving, detail: "Somebody else deletes the pod (EvictionByEvictionAPI: Eviction API: evicting)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := podThatSays(row.status)
			if row.leaving {
				pod.DeletionTimestamp = &pod.CreationTimestamp
			}
			compute := computeOf(pod)
			g.Expect(compute.Phase).To(Equal(row.want))
			g.Expect(compute.CreatedAt).To(Equal(created))
			g.Expect(compute.StartedAt).To(Equal(row.started))
			g.Expect(compute.Detail).To(Equal(row.detail))
			g.Expect(computeOf(slim(g, pod))).To(Equal(compute))
		})
	}
	NewWithT(t).Expect(computeOf(nil).Phase).To(Equal(lifecycle.ComputeAbsent))
}

// TestUnacknowledged: from when a pod has a node to the first word of its kubelet.
func TestUnacknowledged(t *testing.T) {
	assigned := created.Add(time.Second)
	scheduled := func(status corev1.ConditionStatus) []corev1.PodCondition {
		return []corev1.PodCondition{{Type: corev1.PodScheduled, Status: status, LastTransitionTime: metav1.NewTime(assigned)}}
	}
	for name, row := range map[string]struct {
		status corev1.PodStatus
		want   time.Time
	}{
		"no scheduler has looked at it": {corev1.PodStatus{Phase: corev1.PodPending}, time.Time{}},
		"no node takes it":              {corev1.PodStatus{Phase: corev1.PodPending, Conditions: scheduled(corev1.ConditionFalse)}, time.Time{}},
		"it has a node":                 {corev1.PodStatus{Phase: corev1.PodPending, Conditions: scheduled(corev1.ConditionTrue)}, assigned},
		"no phase":                      {corev1.PodStatus{Conditions: scheduled(corev1.ConditionTrue)}, assigned},
		"the kubelet has seen it":       {corev1.PodStatus{Phase: corev1.PodPending, Conditions: scheduled(corev1.ConditionTrue), StartTime: new(metav1.Now())}, time.Time{}},
		"it runs":                       {corev1.PodStatus{Phase: corev1.PodRunning, Conditions: scheduled(corev1.ConditionTrue)}, time.Time{}},
		"its containers wait": {corev1.PodStatus{
			Phase: corev1.PodPending, Conditions: scheduled(corev1.ConditionTrue), ContainerStatuses: []corev1.ContainerStatus{waits("agent", "ContainerCreating", "")},
		}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := podThatSays(row.status)
			pod.Spec.NodeName = "n"
			compute := computeOf(slim(g, pod))
			g.Expect(compute.UnacknowledgedSince).To(Equal(row.want))
			if !row.want.IsZero() {
				g.Expect(compute.Where).To(Equal("The pod s-1 (node n)"))
			}
		})
	}
}

// slim is a pod as the cache holds it.
func slim(g Gomega, pod *corev1.Pod) *corev1.Pod {
	kept, err := slimPod(pod.DeepCopy())
	g.Expect(err).NotTo(HaveOccurred())
	return kept.(*corev1.Pod)
}

// The cache holds of a pod what is read of it, and not what a tenant wrote.
func TestSlimPod(t *testing.T) {
	g := NewWithT(t)
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "s", UID: "u"}}
	session.Spec.Template.Annotations, session.Spec.Template.Labels = map[string]string{"large": "x"}, map[string]string{"large": "x", v1alpha1.GroupVersion.Group + "/large": "x"}
	session.Spec.Template.Spec = corev1.PodSpec{
		NodeName: "n", HostNetwork: true, Volumes: []corev1.Volume{{Name: "v"}},
		InitContainers: []corev1.Container{{Name: "proxy", Image: "p", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}},
		Containers:     []corev1.Container{{Name: "agent", Image: "i", Env: []corev1.EnvVar{{Name: "SECRET", Value: "x"}}}, {Name: "sidecar"}},
	}
	requests := func(cpu string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), "example.com/gpu": resource.MustParse("1")}}
	}
	session.Spec.Template.Spec.Containers[0].Resources = requests("500m")
	session.Spec.Template.Spec.InitContainers[0].Resources = requests("1")
	session.Spec.Template.Spec.Overhead = requests("250m").Requests
	pod := buildPod(session, 3, nil, "token")
	pod.Spec.Containers = slices.Insert(pod.Spec.Containers, 0, corev1.Container{Name: "injected"})
	pod.UID, pod.Status.PodIP, pod.Status.HostIP = "p", "10.0.0.1", "10.0.0.2"
	kept := slim(g, pod)
	g.Expect(activationOf(kept, session)).To(BeEquivalentTo(3))
	g.Expect(ownerOf(kept)).To(Equal(ownerOf(pod)))
	g.Expect(lifecycle.AgentToken(kept)).To(Equal("token"))
	g.Expect(kept.Status).To(Equal(pod.Status))
	g.Expect(kept.Spec).To(Equal(corev1.PodSpec{
		NodeName: "n", HostNetwork: true,
		Containers:     []corev1.Container{{Name: "agent", Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "token"}}}},
		InitContainers: []corev1.Container{{Name: "proxy", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}},
		Resources:      kept.Spec.Resources,
	}))
	g.Expect(kept.Spec.Resources.Requests).To(HaveLen(1))
	g.Expect(lifecycle.Reserve(v1alpha1.Reserved{}, kept)).To(Equal(v1alpha1.Reserved{MilliCPU: 1750}))
	g.Expect(lifecycle.Reserve(v1alpha1.Reserved{}, kept)).To(Equal(lifecycle.Reserve(v1alpha1.Reserved{}, pod)))
	g.Expect(kept.Annotations).To(BeEmpty())
	g.Expect(kept.Labels).To(Equal(map[string]string{v1alpha1.LabelSession: "s", v1alpha1.LabelActivation: "3"}))
	other, err := slimPod(session)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(other).To(BeIdenticalTo(session))
}

func TestAgentAddress(t *testing.T) {
	for name, row := range map[string]struct {
		ip, host string
		network  bool
		loopback bool
		refused  string
	}{
		"a pod's":                {ip: "10.244.0.7", host: "10.97.0.1"},
		"a pod's, IPv6":          {ip: "fd00:10:244::7", host: "fd00::1"},
		"loopback":               {ip: "127.0.0.1", refused: "loopback"},
		"loopback, IPv6":         {ip: "::1", refused: "loopback"},
		"loopback, mapped":       {ip: "::ffff:127.0.0.1", refused: "loopback"},
		"loopback, for tests":    {ip: "127.1.2.3", loopback: true},
		"cloud metadata":         {ip: "169.254.169.254", refused: "link-local"},
		"cloud metadata, mapped": {ip: "::ffff:169.254.169.254", refused: "link-local"},
		"link-local, IPv6":       {ip: "fe80::1", refused: "link-local"},
		"unspecified":            {ip: "0.0.0.0", refused: "unspecified"},
		"multicast":              {ip: "224.0.0.1", refused: "multicast"},
		"with a zone":            {ip: "fe80::1%eth0", refused: "link-local"},
		"its node's":             {ip: "10.97.0.1", host: "10.97.0.1", refused: "its node's"},
		"host network":           {ip: "10.97.0.1", network: true, refused: "its node's"},
		"no address":             {ip: "metadata.google.internal", refused: "no IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := &corev1.Pod{Spec: corev1.PodSpec{HostNetwork: row.network}, Status: corev1.PodStatus{PodIP: row.ip, HostIP: row.host}}
			addr, err := agentAddress(pod, row.loopback)
			if row.refused != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.refused)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(addr).To(Equal(netip.MustParseAddr(row.ip)))
		})
	}
}

// TestComputesOnLoopback are processes of this machine, which are told where to listen.
func TestComputesOnLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.77.1.2": true, "::1": true, "10.1.2.3": false, "": false, "none": false} {
		NewWithT(t).Expect(computeOf(podThatSays(corev1.PodStatus{PodIP: address})).Loopback).To(Equal(want), address)
	}
}
