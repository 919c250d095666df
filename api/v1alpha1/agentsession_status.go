package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// SessionState is the state of a session: AgentCore's Active, Idle and
// Stopped, and the two in between.
type SessionState string

const (
	// StateStarting is a compute that has not been healthy yet.
	StateStarting SessionState = "Starting"
	// StateActive is an invocation in flight, or an agent that is HealthyBusy.
	StateActive SessionState = "Active"
	// StateIdle is a compute without work.
	StateIdle SessionState = "Idle"
	// StateStopping is a compute that is being taken away. The session can be woken.
	StateStopping SessionState = "Stopping"
	// StateStopped is a session without compute, or whose compute is lost. It can be
	// woken.
	StateStopped SessionState = "Stopped"
)

// StopReason is why a compute was taken away.
type StopReason string

const (
	// StopIdleTimeout is an agent that was Healthy, with no invocation in
	// flight, for idleRuntimeSessionTimeout.
	StopIdleTimeout StopReason = "IdleTimeout"
	// StopMaxLifetime is a compute that has lived for maxLifetime.
	StopMaxLifetime StopReason = "MaxLifetime"
	// StopRequested is a stop that spec.desiredState or spec.activation asked for.
	StopRequested StopReason = "StopRequested"
	// StopUnhealthy is an agent whose pings failed ping.failureThreshold times
	// in a row, or for 30 s on a node that the API server hears nothing of.
	StopUnhealthy StopReason = "Unhealthy"
	// StopStartTimeout is an agent that was not healthy within 120 s of the start
	// of its container.
	StopStartTimeout StopReason = "StartTimeout"
	// StopStartFailed is a compute whose agent never ran: its container had not
	// started provisioningTimeoutSeconds after the creation of the pod, or the pod
	// failed before (an init container, the kubelet's refusal, a program that cannot
	// be run), or the API server refused the pod and the start was given up.
	StopStartFailed StopReason = "StartFailed"
	// StopStuckBusy is an agent that was HealthyBusy for longer than
	// stuckDetection.afterSeconds, with the action Stop.
	StopStuckBusy StopReason = "StuckBusy"
	// StopAgentExited is an agent whose process ended by itself.
	StopAgentExited StopReason = "AgentExited"
	// StopComputeLost is a pod that was deleted or evicted by somebody else,
	// or whose node went away.
	StopComputeLost StopReason = "ComputeLost"
)

// AgentSessionStatus is what the operator saw and what it will do next. It
// changes only when something happens, never with every ping.
type AgentSessionStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state is Starting, Active (an invocation is in flight, or the agent is
	// HealthyBusy), Idle, Stopping or Stopped.
	// +optional
	State SessionState `json:"state,omitempty"`
	// pingStatus is the agent's last answer, Healthy or HealthyBusy. Empty
	// without a compute.
	// +optional
	PingStatus string `json:"pingStatus,omitempty"`
	// pingStatusSince is when the operator first saw pingStatus.
	// +optional
	PingStatusSince *metav1.Time `json:"pingStatusSince,omitempty"`
	// healthyAt is when the compute first answered a ping.
	// +optional
	HealthyAt *metav1.Time `json:"healthyAt,omitempty"`
	// idleSince is the moment from which the idle timeout counts. Empty while
	// the session is not idle.
	// +optional
	IdleSince *metav1.Time `json:"idleSince,omitempty"`
	// nextStop is when and why the compute will be stopped if nothing changes.
	// +optional
	NextStop *NextStop `json:"nextStop,omitempty"`
	// runtimeSessionId is the session's name as the agent knows it.
	// +optional
	RuntimeSessionID string `json:"runtimeSessionId,omitempty"`
	// lifecycleConfiguration in force, by AWS's table.
	// +optional
	LifecycleConfiguration *LifecycleConfiguration `json:"lifecycleConfiguration,omitempty"`
	// askedBy says who asks the agent: the operator, or the process on its node. The
	// operator writes it, and processes on nodes go by it.
	// +optional
	AskedBy Asker `json:"askedBy,omitempty"`
	// operator is the one that looks after the compute, where operators have label selectors
	// (--watch-label-selector). Empty: it has none.
	// +optional
	Operator *Operator `json:"operator,omitempty"`
	// timeScale divides every duration of the rules if it is there: the
	// operator runs with --time-scale, for rehearsals.
	// +optional
	TimeScale int32 `json:"timeScale,omitempty"`
	// activation is the number of the current compute, or of the last one.
	// +optional
	Activation int32 `json:"activation,omitempty"`
	// pod is the compute. Empty without one.
	// +optional
	Pod *PodStatus `json:"pod,omitempty"`
	// runtime is what the activation started with, for a session with
	// spec.runtimeRef.
	// +optional
	Runtime *ActivationRuntime `json:"runtime,omitempty"`
	// storage is the claim that the session's storage is. Empty before the first
	// activation that has storage, and when it was dropped, 14 days after the last compute.
	// +optional
	Storage *StorageStatus `json:"storage,omitempty"`
	// traffic is what the gateway knows of invocations. The operator reads it, and
	// takes inUseUntil off with the compute that it was for.
	// +optional
	Traffic *Traffic `json:"traffic,omitempty"`
	// lastTermination is why the last compute was taken away, and while the
	// session is Stopping, why the current one is.
	// +optional
	LastTermination *Termination `json:"lastTermination,omitempty"`
	// usage is how the current activation has spent its time, as far as it is over.
	// +optional
	Usage *Usage `json:"usage,omitempty"`
	// reserved is what the computes of all activations have reserved of their nodes, as far
	// as it is counted: until usage.countedAt.
	// +optional
	Reserved *Reserved `json:"reserved,omitempty"`
	// history is how the last ten activations ended, the newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	History []PastActivation `json:"history,omitempty"`
	// conditions are Ready, PingContract and Stuck.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NextStop is a stop that will come if nothing changes.
type NextStop struct {
	// at is the moment at which the stop is due.
	// +required
	At metav1.Time `json:"at"`
	// reason is one of IdleTimeout, MaxLifetime, StartFailed, StartTimeout, Unhealthy
	// and StuckBusy.
	// +required
	Reason StopReason `json:"reason"`
}

// PodStatus names the pod that is the session's compute.
type PodStatus struct {
	// name of the pod: the session's name and the number of the activation, and five
	// characters of its UID where the pod of another session had that name.
	// +required
	Name string `json:"name"`
	// uid of the pod.
	// +required
	UID types.UID `json:"uid"`
	// ip is where the agent is asked.
	// +optional
	IP string `json:"ip,omitempty"`
	// node is the name of the node that the pod runs on. It appears with ip, at
	// the agent's first good answer, and can be selected by:
	// --field-selector status.pod.node=NAME.
	// +optional
	Node string `json:"node,omitempty"`
	// oneConnection tells that the agent served no second connection beside one that was
	// kept: gateways keep none to it. It is found out with the agent's first answers, and
	// reported together with other changes only.
	// +optional
	OneConnection bool `json:"oneConnection,omitempty"`
	// createdAt is when the compute was created: its maximal lifetime counts from here.
	// +required
	CreatedAt metav1.Time `json:"createdAt"`
}

// Asker is who asks an agent.
// +kubebuilder:validation:Enum=Operator;Node
type Asker string

const (
	// AskedByOperator is the operator, for all agents.
	AskedByOperator Asker = "Operator"
	// AskedByNode is the process on the agent's node.
	AskedByNode Asker = "Node"
)

// Operator is one of several that share a cluster.
type Operator struct {
	// selector is its label selector, as sessions have to match it.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Selector string `json:"selector"`
	// seenAt is when it last saw the agent, if it has let go of the session, since that no
	// longer matches: another takes it over.
	// +optional
	SeenAt *metav1.Time `json:"seenAt,omitempty"`
}

// Traffic is what is known of invocations. The gateway writes it.
type Traffic struct {
	// lastInvocationAt is when the last known invocation ended.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[^t]{10}T[0-9:]{8}\.[0-9]{6}(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	LastInvocationAt *metav1.MicroTime `json:"lastInvocationAt,omitempty"`
	// inUseUntil keeps the session Active until then: an invocation is in
	// flight. It is renewed while the invocation lasts.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[^t]{10}T[0-9:]{8}\.[0-9]{6}(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	InUseUntil *metav1.MicroTime `json:"inUseUntil,omitempty"`
}

// Termination is the end of a compute.
type Termination struct {
	// reason is one of IdleTimeout, MaxLifetime, StopRequested, Unhealthy,
	// StartFailed, StartTimeout, StuckBusy, AgentExited and ComputeLost.
	// +required
	Reason StopReason `json:"reason"`
	// message says in words what led to it. Of an agent or an init container that
	// failed it has the end of what it wrote last; of a compute that was told to go and
	// is lost it says that its pod is still there, and on which node.
	// +optional
	Message string `json:"message,omitempty"`
	// activation that ended.
	// +required
	Activation int32 `json:"activation"`
	// pingStatus is the agent's last answer.
	// +optional
	PingStatus string `json:"pingStatus,omitempty"`
	// dueAt is the moment at which the rule wanted the stop. Empty for a start that was
	// given up before it had a pod.
	// +optional
	DueAt *metav1.Time `json:"dueAt,omitempty"`
	// at is when the compute was gone, or counted as lost, or the next one began beside
	// it. Empty while it is being taken away.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
}

// Usage is how an activation has spent its time. Times spent in a state are counted
// when the state changes: since countedAt it is the one that status.state names.
type Usage struct {
	// activeSeconds is the time in state Active, in seconds.
	// +required
	ActiveSeconds int64 `json:"activeSeconds"`
	// idleSeconds is the time in state Idle, in seconds.
	// +required
	IdleSeconds int64 `json:"idleSeconds"`
	// countedAt is when the state last changed.
	// +required
	CountedAt metav1.Time `json:"countedAt"`
}

// Reserved is what the computes of a session have reserved of their nodes, by what their
// pods request: not what they consumed. It is counted when the state changes.
type Reserved struct {
	// milliCPU is the CPU that the compute reserves since then, in thousandths.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MilliCPU int64 `json:"milliCPU,omitempty"`
	// memoryMiB is the memory that the compute reserves since then, in MiB, rounded up.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MemoryMiB int64 `json:"memoryMiB,omitempty"`
	// active was reserved in state Active.
	// +required
	Active ResourceTime `json:"active"`
	// idle was reserved in state Idle.
	// +required
	Idle ResourceTime `json:"idle"`
	// other was reserved in states Starting, from when the pod had a node, and Stopping.
	// +required
	Other ResourceTime `json:"other"`
}

// ResourceTime is resources multiplied by the time for which they were reserved.
type ResourceTime struct {
	// milliCPUSeconds is CPU, in thousandths, by seconds.
	// +required
	// +kubebuilder:validation:Minimum=0
	MilliCPUSeconds int64 `json:"milliCPUSeconds"`
	// memoryMiBSeconds is memory, in MiB, by seconds.
	// +required
	// +kubebuilder:validation:Minimum=0
	MemoryMiBSeconds int64 `json:"memoryMiBSeconds"`
}

// PastActivation is an activation that has ended.
type PastActivation struct {
	// reason of its end, as in lastTermination.
	// +required
	Reason StopReason `json:"reason"`
	// message says in words what led to it, in 400 bytes at most.
	// +optional
	Message string `json:"message,omitempty"`
	// activation is its number.
	// +required
	Activation int32 `json:"activation"`
	// from is when its compute was created. Empty if it never had one.
	// +optional
	From *metav1.Time `json:"from,omitempty"`
	// until is when its compute was gone, or counted as lost, or the next one began
	// beside it.
	// +required
	Until metav1.Time `json:"until"`
	// activeSeconds is the time that it spent in state Active, in seconds: with an
	// invocation in flight, or HealthyBusy. The states are those that status showed,
	// so a call of a few seconds may count as idle.
	// +required
	ActiveSeconds int64 `json:"activeSeconds"`
	// idleSeconds is the time that it spent in state Idle, in seconds. What is
	// missing from activeSeconds and idleSeconds together was spent starting and
	// stopping.
	// +required
	IdleSeconds int64 `json:"idleSeconds"`
}
