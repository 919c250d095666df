package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

var created = time.Unix(1795423194, 0)

// podThatSays is the pod of an agent with an init container and a sidecar of each
// kind, as an injector left it: its sidecar is the first container.
func podThatSays(status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "s-1", CreationTimestamp: metav1.NewTime(created)},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "fetch"}, {Name: "proxy", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}},
			Containers:     []corev1.Container{{Name: "sidecar"}, {Name: "agent", Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "t"}}}},
		},
		Status: status,
	}
}

func waits(container, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: container, Image: container + ":1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func ended(container, reason string, code int32, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: container, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, Message: message},
	}}
}

// TestSentences: what stands in the pod is what people are told, of the container
// that it is about, with what they can do. Of waits it is the end of what the
// condition Ready and the stop say.
func TestSentences(t *testing.T) {
	scheduled := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}
	pending := func(init []corev1.ContainerStatus, containers ...corev1.ContainerStatus) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{scheduled}, InitContainerStatuses: init, ContainerStatuses: containers}
	}
	failed := func(init []corev1.ContainerStatus, containers ...corev1.ContainerStatus) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodFailed, Conditions: []corev1.PodCondition{scheduled}, InitContainerStatuses: init, ContainerStatuses: containers}
	}
	unscheduled := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: message,
		}}}
	}
	refusedBy := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodFailed, Reason: reason, Message: message}
	}
	crashing := waits("proxy", "CrashLoopBackOff", "back-off 10s restarting failed container")
	crashing.LastTerminationState = ended("proxy", "Error", 2, "no route\n").State
	running := func(name string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Started: new(false), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	}
	started := running("proxy")
	started.Started = new(true)
	crashed := running("proxy") // between two crashes
	crashed.LastTerminationState = crashing.LastTerminationState
	initialized := []corev1.ContainerStatus{ended("fetch", "Completed", 0, ""), started}
	soon := waits("agent", "PodInitializing", "")
	probed := func(pod *corev1.Pod) { pod.Spec.Containers[1].LivenessProbe = &corev1.Probe{PeriodSeconds: 2} }
	const (
		present = lifecycle.ComputePresent
		never   = lifecycle.ComputeFailed
		exited  = lifecycle.ComputeExited
	)
	for name, row := range map[string]struct {
		status corev1.PodStatus
		change func(*corev1.Pod)
		phase  lifecycle.ComputePhase
		reason string // of Ready
		says   string
	}{
		"created a moment ago": {corev1.PodStatus{}, nil, present, "", "no scheduler has looked at the pod"},
		"no room": {
			unscheduled("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu."), nil, present, v1alpha1.ReasonUnschedulable,
			"no node takes the pod: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
		},
		"a scheduling gate": {
			unscheduled("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates"), nil, present, v1alpha1.ReasonUnschedulable,
			"no node takes the pod: SchedulingGated: Scheduling is blocked due to non-empty scheduling gates",
		},
		"just scheduled": {pending(nil), nil, present, "", "its node has not said anything of the pod"},
		"a volume that is not there": {
			pending(initialized, waits("agent", "ContainerCreating", "")), nil, present, "",
			`the agent (container "agent") waits for images, volumes and the network of the pod (ContainerCreating): kubectl events --for pod/s-1 tells what is slow or missing`,
		},
		"no such image": {
			pending(initialized, waits("agent", "ErrImagePull", "registry.invalid/agent:1: not found")), nil, present, v1alpha1.ReasonImagePullFailed,
			`the image "agent:1" of the agent (container "agent") cannot be had: ErrImagePull: registry.invalid/agent:1: not found. Look at its name, and at the pull secrets`,
		},
		"no such image, a while later": {
			pending(initialized, waits("sidecar", "ContainerCreating", ""), waits("agent", "ImagePullBackOff", "Back-off pulling image")), nil, present, v1alpha1.ReasonImagePullFailed,
			`the image "agent:1" of the agent (container "agent") cannot be had: ImagePullBackOff: Back-off pulling image. Look at its name, and at the pull secrets`,
		},
		"no image of a native sidecar": {
			pending([]corev1.ContainerStatus{ended("fetch", "Completed", 0, ""), waits("proxy", "ImagePullBackOff", "x")}, soon), nil, present, v1alpha1.ReasonImagePullFailed,
			`the image "proxy:1" of sidecar "proxy" cannot be had: ImagePullBackOff: x. Look at its name, and at the pull secrets`,
		},
		"no image of an injected sidecar": {
			pending(initialized, waits("sidecar", "ErrImagePull", "x"), waits("agent", "ContainerCreating", "")), nil, present, v1alpha1.ReasonImagePullFailed,
			`the image "sidecar:1" of container "sidecar" cannot be had: ErrImagePull: x. Look at its name, and at the pull secrets`,
		},
		"a missing Secret": {
			pending(initialized, waits("agent", "CreateContainerConfigError", `secret "api-keys" not found`)), nil, present, v1alpha1.ReasonContainerConfigError,
			`the agent (container "agent") cannot be made as the template wants it: CreateContainerConfigError: secret "api-keys" not found. Make what is missing, or take it out of the template`,
		},
		"a container that the runtime cannot make": {
			pending(initialized, waits("agent", "CreateContainerError", "context deadline exceeded")), nil, present, v1alpha1.ReasonContainerCreateError,
			`its node cannot start the agent (container "agent"): CreateContainerError: context deadline exceeded`,
		},
		"an init container that takes its time, whatever it listens on": {
			pending([]corev1.ContainerStatus{running("fetch"), waits("proxy", "PodInitializing", "")}, soon), nil, present, "",
			`init container "fetch" runs, and has not ended or, if it is a sidecar, not passed its startupProbe`,
		},
		"a native sidecar that crashes": {
			pending([]corev1.ContainerStatus{ended("fetch", "Completed", 0, ""), crashing}, soon), nil, present, v1alpha1.ReasonContainerCrashing,
			`sidecar "proxy" ends again and again, at last with code 2: Error. Its last words: no route`,
		},
		"a native sidecar between two crashes": {
			pending([]corev1.ContainerStatus{ended("fetch", "Completed", 0, ""), crashed}, soon), nil, present, v1alpha1.ReasonContainerCrashing,
			`sidecar "proxy" ends again and again, at last with code 2: Error. Its last words: no route`,
		},

		"an init container that failed": {
			failed([]corev1.ContainerStatus{ended("fetch", "Error", 3, "no agent of the name \"x\"\n")}, soon), nil, never, "",
			`The init container "fetch" exited with code 3, so the agent never ran: Error. Its last words: no agent of the name "x"`,
		},
		"a kubelet without room": {
			refusedBy("OutOfcpu", "Node didn't have enough resource: cpu"), nil, never, "",
			"The node's kubelet refused the pod, so the agent never ran: OutOfcpu: Node didn't have enough resource: cpu",
		},
		"a kubelet that shuts down": {
			refusedBy("NodeShutdown", "Pod was rejected as the node is shutting down."), nil, never, "",
			"The node's kubelet refused the pod, so the agent never ran: NodeShutdown: Pod was rejected as the node is shutting down.",
		},
		"a device that is not there": {
			refusedBy("UnexpectedAdmissionError", "Allocate failed"), nil, never, "",
			"The node's kubelet refused the pod, so the agent never ran: UnexpectedAdmissionError: Allocate failed",
		},
		"a pod that failed without a word": {
			failed(nil, soon), nil, never, "", "The pod failed before the agent ran, and does not say why; its Events may",
		},
		"no such program": {
			failed(initialized, ended("agent", "StartError", 128, `exec: "serve": executable file not found in $PATH: unknown`)), nil, never, "",
			`The agent (container "agent") could not be started: StartError: exec: "serve": executable file not found in $PATH: unknown`,
		},
		"a program for another architecture, as containerd says it": {
			failed(initialized, ended("agent", "StartError", 128, "exec /agent: exec format error")), nil, never, "",
			`The agent (container "agent") could not be started: StartError: exec /agent: exec format error. Its program is for another CPU architecture than its node's: build the image for that one too, or choose nodes by the label kubernetes.io/arch`,
		},

		"a program for another architecture, as runc logs it": {
			failed(initialized, ended("agent", "Error", 255, "exec /agent: exec format error")), nil, exited, "",
			`The agent (container "agent") exited with code 255: Error. Its program is for another CPU architecture than its node's: build the image for that one too, or choose nodes by the label kubernetes.io/arch. Its last words: exec /agent: exec format error`,
		},
		"a program for another architecture, as a shell says it": {
			failed(initialized, ended("agent", "Error", 126, "/bin/bash: line 1: /agent: cannot execute binary file: Exec format error")), nil, exited, "",
			`The agent (container "agent") exited with code 126: Error. A program that it runs is for another CPU architecture than its node's: build the image for that one too, or choose nodes by the label kubernetes.io/arch. ` +
				`Or it is a script without a first line that begins with #!. Its last words: /bin/bash: line 1: /agent: cannot execute binary file: Exec format error`,
		},
		"a program for another architecture, as Python says it, with a probe": {
			failed(initialized, ended("agent", "Error", 1, "OSError: [Errno 8] Exec format error: '/tool'")), probed, exited, "",
			`The agent (container "agent") exited with code 1: Error. A program that it runs is for another CPU architecture than its node's: build the image for that one too, or choose nodes by the label kubernetes.io/arch. ` +
				`Or it is a script without a first line that begins with #!. Its last words: OSError: [Errno 8] Exec format error: '/tool'`,
		},
		"an agent that crashes": {
			failed(initialized, ended("agent", "Error", 1, "Traceback (most recent call last):\n  File \"agent.py\", line 3\nKeyError: 'MODEL'\n")), nil, exited, "",
			`The agent (container "agent") exited with code 1: Error. Its last words: Traceback (most recent call last): File "agent.py", line 3 KeyError: 'MODEL'`,
		},
		"an agent that crashes beside an injected sidecar": {
			corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: initialized, ContainerStatuses: []corev1.ContainerStatus{running("sidecar"), ended("agent", "Error", 1, "")}},
			nil, exited, "",
			`The agent (container "agent") exited with code 1: Error`,
		},
		"an agent that ends": {
			failed(initialized, ended("agent", "Completed", 0, "")), nil, exited, "",
			`The agent (container "agent") exited with code 0: Completed. An agent serves until it is stopped, and this one came to its end`,
		},
		"an agent that needs more memory": {
			failed(initialized, ended("agent", "OOMKilled", 137, "")), probed, exited, "",
			`The agent (container "agent") exited with code 137: OOMKilled. It used more memory than it may: raise resources.limits.memory`,
		},
		"an agent with a livenessProbe that crashes": {
			failed(initialized, ended("agent", "Error", 1, "KeyError")), probed, exited, "",
			`The agent (container "agent") exited with code 1: Error. Its last words: KeyError`,
		},
		"a livenessProbe that fails, and an agent that does not end by itself": {
			failed(initialized, ended("agent", "Error", 137, "")), probed, exited, "",
			`The agent (container "agent") exited with code 137: Error. Its template has a livenessProbe or a startupProbe, and the kubelet ends a container whose probe fails: kubectl events --for pod/s-1 tells. The operator's pings do that work, so the template needs neither`,
		},
		"a livenessProbe that fails, and an agent that SIGTERM ends": {
			failed(initialized, ended("agent", "Error", 143, "")), probed, exited, "",
			`The agent (container "agent") exited with code 143: Error. Its template has a livenessProbe or a startupProbe, and the kubelet ends a container whose probe fails: kubectl events --for pod/s-1 tells. The operator's pings do that work, so the template needs neither`,
		},
		"a livenessProbe that fails": {
			failed(initialized, ended("agent", "Completed", 0, "")), probed, exited, "",
			`The agent (container "agent") exited with code 0: Completed. Its template has a livenessProbe or a startupProbe, and the kubelet ends a container whose probe fails: kubectl events --for pod/s-1 tells. The operator's pings do that work, so the template needs neither`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := podThatSays(row.status)
			if row.change != nil {
				row.change(pod)
			}
			for _, seen := range []*corev1.Pod{pod, slim(g, pod)} {
				compute := computeOf(seen)
				g.Expect(compute.Phase).To(Equal(row.phase))
				g.Expect(compute.StartedAt).To(BeZero(), "nobody is asked")
				g.Expect(compute.Wait.Reason).To(Equal(row.reason))
				g.Expect(compute.Wait.Message + compute.Detail).To(Equal(row.says))
			}
		})
	}
}

// Whatever a tenant's container writes, what is told of it is one line, bounded and
// printable.
func TestLastWordsAreBounded(t *testing.T) {
	g := NewWithT(t)
	hostile := strings.Repeat("\x1b[2J\u202e\n", 3000) + "the end"
	for _, status := range []corev1.PodStatus{
		{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{ended("agent", "Error", 1, hostile)}},
		{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{ended("agent", "StartError", 1, hostile)}},
		{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{ended("fetch", "Error", 1, hostile)}},
		{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waits("agent", "CreateContainerError", hostile)}},
	} {
		pod := podThatSays(status)
		pod.Spec.NodeName = "n"
		compute := computeOf(pod)
		said := compute.Detail + compute.Wait.Message
		g.Expect(len(said)).To(BeNumerically("<", maxMessage))
		g.Expect(said).NotTo(MatchRegexp(`[^ -~…]`))
	}
}

// An injector puts its sidecar first, copies nothing and renames nothing.
func TestTheAgentIsTheTemplatesFirstContainer(t *testing.T) {
	g := NewWithT(t)
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "s", UID: "u"}}
	session.Spec.Template.Spec.Containers = []corev1.Container{
		{Name: "agent", Image: "a"},
		{Name: "second", Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "mine"}, {Name: "LOG", Value: "x"}}},
	}
	pod := buildPod(session, 1, nil, "token")
	g.Expect(pod.Spec.Containers[1].Env).To(Equal([]corev1.EnvVar{{Name: "LOG", Value: "x"}}), "the token is the agent's alone")
	pod.Spec.Containers = slices.Insert(pod.Spec.Containers, 0, corev1.Container{Name: "istio-proxy"})
	slices.Reverse(pod.Spec.Containers)
	for _, seen := range []*corev1.Pod{pod, slim(g, pod)} {
		g.Expect(lifecycle.AgentContainer(seen).Name).To(Equal("agent"))
		g.Expect(lifecycle.AgentToken(seen)).To(Equal("token"))
	}
	bare := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "first"}, {Name: "second"}}}}
	g.Expect(lifecycle.AgentContainer(bare).Name).To(Equal("first"), "of a pod that nobody gave a token")
}

// TestWhatStorageWaitsFor: a claim without a volume is named where it is what the pod waits
// for, and not where the pod waits for something else, and its claim with it.
func TestWhatStorageWaitsFor(t *testing.T) {
	pod := func(condition ...corev1.PodCondition) *corev1.Pod {
		return podThatSays(corev1.PodStatus{Conditions: condition})
	}
	unscheduled := func(message string) *corev1.Pod {
		return pod(corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message})
	}
	placed := pod()
	placed.Spec.NodeName = "n"
	claim := func(change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}}
		for _, f := range change {
			f(c)
		}
		return c
	}
	bound := func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimBound }
	fast := func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("fast") }
	chosen := func(c *corev1.PersistentVolumeClaim) { c.Annotations = map[string]string{selectedNode: "n"} }
	const none, made = "the cluster has no default one", `the StorageClass "fast" has made none`
	for name, row := range map[string]struct {
		pod     *corev1.Pod
		claim   *corev1.PersistentVolumeClaim
		unbound bool
		says    string // empty: nothing of the storage
	}{
		"no class":                         {unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."), claim(), true, none},
		"an empty class":                   {unscheduled("pod has unbound immediate PersistentVolumeClaims"), claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("") }), true, none},
		"a class that makes none":          {unscheduled("0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."), claim(fast), true, made},
		"a provisioner that is not there":  {pod(), claim(fast, chosen), true, made},
		"a volume for which there is time": {pod(), claim(fast), true, ""},
		"no room for the pod":              {unscheduled("0/1 nodes are available: 1 Insufficient cpu."), claim(fast), true, ""},
		"a volume":                         {unscheduled("0/1 nodes are available: 1 node(s) had volume node affinity conflict."), claim(fast, bound), false, ""},
		"a node":                           {placed, claim(fast), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			before := computeOf(row.pod)
			compute := awaitStorage(before, row.pod, row.claim)
			g.Expect(compute.Unbound).To(Equal(row.unbound))
			if row.says == "" {
				g.Expect(compute.Wait).To(Equal(before.Wait))
				return
			}
			g.Expect(compute.Wait).To(And(HaveField("Reason", v1alpha1.ReasonStoragePending), HaveField("Message", ContainSubstring(row.says))))
		})
	}
}
