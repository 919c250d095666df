package controllers

import (
	"net/netip"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestComputeOf(t *testing.T) {
	terminated := func(reason string, code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}}
	}
	scheduled := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}
	for name, row := range map[string]struct {
		status  corev1.PodStatus
		leaving bool
		want    lifecycle.ComputePhase
		detail  string
	}{
		"not scheduled yet": {want: lifecycle.ComputePresent, detail: "the pod is not scheduled"},
		"unschedulable": {
			status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available",
			}}},
			want: lifecycle.ComputePresent, detail: "the pod is not scheduled: Unschedulable: 0/3 nodes are available",
		},
		"image not to be had": {
			status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{scheduled}, ContainerStatuses: []corev1.ContainerStatus{{
				Name: "agent", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
			}}},
			want: lifecycle.ComputePresent, detail: `container "agent" waits: ImagePullBackOff`,
		},
		"running": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{scheduled}},
			want:   lifecycle.ComputePresent,
		},
		"the agent exited": {
			status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{Name: "agent", State: terminated("Error", 1)}}},
			want:   lifecycle.ComputeExited, detail: `The agent (container "agent") exited with code 1: Error`,
		},
		"the agent exited and a sidecar runs on": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
				{Name: "sidecar"}, {Name: "agent", State: terminated("Completed", 0)},
			}},
			want: lifecycle.ComputeExited, detail: `The agent (container "agent") exited with code 0: Completed`,
		},
		"a sidecar exited and the agent runs on": {
			status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{scheduled}, ContainerStatuses: []corev1.ContainerStatus{
				{Name: "sidecar", State: terminated("Completed", 0)}, {Name: "agent"},
			}},
			want: lifecycle.ComputePresent,
		},
		"evicted": {
			status: corev1.PodStatus{
				Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on memory",
				ContainerStatuses: []corev1.ContainerStatus{{Name: "agent", State: terminated("Error", 137)}},
			},
			want: lifecycle.ComputeLost, detail: "The pod was ended by the cluster: Evicted: The node was low on memory",
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
			created := metav1.NewTime(time.Unix(1795423194, 0))
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{CreationTimestamp: created},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent"}, {Name: "sidecar"}}},
				Status:     row.status,
			}
			if row.leaving {
				pod.DeletionTimestamp = &created
			}
			compute := computeOf(pod)
			g.Expect(compute.Phase).To(Equal(row.want))
			g.Expect(compute.CreatedAt).To(Equal(created.Time))
			g.Expect(compute.Detail).To(Equal(row.detail))
			g.Expect(computeOf(slim(g, pod))).To(Equal(compute))
		})
	}
	NewWithT(t).Expect(computeOf(nil).Phase).To(Equal(lifecycle.ComputeAbsent))
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
	session.Spec.Template.Annotations = map[string]string{"large": "x"}
	session.Spec.Template.Spec = corev1.PodSpec{
		NodeName: "n", HostNetwork: true, Volumes: []corev1.Volume{{Name: "v"}},
		Containers: []corev1.Container{{Name: "agent", Image: "i", Env: []corev1.EnvVar{{Name: "SECRET", Value: "x"}}}, {Name: "sidecar"}},
	}
	pod := buildPod(session, 3, nil, "token")
	pod.UID, pod.Status.PodIP, pod.Status.HostIP = "p", "10.0.0.1", "10.0.0.2"
	kept := slim(g, pod)
	g.Expect(activationOf(kept, session)).To(BeEquivalentTo(3))
	g.Expect(ownerOf(kept)).To(Equal(ownerOf(pod)))
	g.Expect(tokenOf(kept)).To(Equal("token"))
	g.Expect(kept.Status).To(Equal(pod.Status))
	g.Expect(kept.Spec).To(Equal(corev1.PodSpec{
		NodeName: "n", HostNetwork: true,
		Containers: []corev1.Container{{Name: "agent", Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "token"}}}},
	}))
	g.Expect(kept.Annotations).To(BeEmpty())
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
