package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LabelSession is on every pod of a session, with the session's name as its
// value. The operator watches only pods that have it.
const LabelSession = "runtime.agentsession.dev/session"

// LabelActivation is on every pod of a session, with the number of the
// activation as its value.
const LabelActivation = "runtime.agentsession.dev/activation"

// AgentSession is one session of an agent: a pod that lives while it has work
// and is taken away when it has been idle for too long or has lived for too
// long, with the rules of AWS Bedrock AgentCore Runtime.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ags,categories=agents
// +kubebuilder:selectablefield:JSONPath=`.spec.runtimeSessionId`
// +kubebuilder:selectablefield:JSONPath=`.spec.runtimeRef.name`
// +kubebuilder:selectablefield:JSONPath=`.status.pod.node`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ping",type=string,JSONPath=`.status.pingStatus`
// +kubebuilder:printcolumn:name="Activation",type=integer,JSONPath=`.status.activation`
// +kubebuilder:printcolumn:name="Next Stop",type=string,JSONPath=`.status.nextStop.at`
// +kubebuilder:printcolumn:name="Next Reason",type=string,JSONPath=`.status.nextStop.reason`
// +kubebuilder:printcolumn:name="Last Stop",type=string,JSONPath=`.status.lastTermination.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="metadata.name must have 52 characters at most: the pods are named after the session and the number of the activation"
type AgentSession struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what is wanted of the session.
	// +required
	Spec AgentSessionSpec `json:"spec"`
	// Status is what the operator saw and what it will do next.
	// +optional
	Status AgentSessionStatus `json:"status,omitempty"`

	// Unreadable is why the object could not be read as a whole, and empty if it could.
	// Then spec.template, and maybe more, is missing. No client may update such an object
	// from what it read; the API server refuses one without a template.
	Unreadable string `json:"-"`
}

// AgentSessionList is a list of sessions.
//
// +kubebuilder:object:root=true
type AgentSessionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AgentSession `json:"items"`
}

// AgentSessionSpec is what is wanted of a session.
//
// +kubebuilder:validation:XValidation:rule="has(self.runtimeSessionId) == has(oldSelf.runtimeSessionId)",message="runtimeSessionId is immutable: it can be neither added nor removed"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.activation) || has(self.activation)",message="activation can only grow: it cannot be removed"
// +kubebuilder:validation:XValidation:rule="has(self.template) != has(self.runtimeRef)",message="spec must have either template or runtimeRef"
// +kubebuilder:validation:XValidation:rule="has(self.runtimeRef) == has(oldSelf.runtimeRef)",message="runtimeRef is immutable: it can be neither added nor removed"
// +kubebuilder:validation:XValidation:rule="!has(self.filesystemConfigurations) || has(self.template)",message="filesystemConfigurations of a session with runtimeRef are its runtime's",fieldPath=".filesystemConfigurations"
type AgentSessionSpec struct {
	// runtimeRef names the AgentRuntime that the session is one of, in the place
	// of a template. Immutable.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="runtimeRef is immutable"
	RuntimeRef *RuntimeRef `json:"runtimeRef,omitempty"`

	// template of the pod that is the session's compute, one pod for each
	// activation. The first container is the agent: it answers
	// GET /ping on ping.port. The operator adds restartPolicy Never (an agent
	// that died has lost its memory) and AGENTSESSION_* variables in the agent's
	// environment; and unless the template says otherwise a grace period of 15
	// seconds (30, which is Kubernetes' own, if a container has a preStop hook), no
	// service account token, and terminationMessagePolicy FallbackToLogsOnError, so
	// that status can say what a container that failed wrote last. A change takes effect
	// with the next activation; the compute that runs keeps what it started with.
	// It names one container at least; restartPolicy is Never or absent, and
	// hostNetwork, hostPID and hostIPC are not true.
	// +optional
	Template corev1.PodTemplateSpec `json:"template,omitzero"`

	// filesystemConfigurations of a session with a template: AgentCore's session
	// storage, one at most. Those of a session with runtimeRef are its runtime's. A change
	// takes effect with the next activation.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1
	FilesystemConfigurations []FilesystemConfiguration `json:"filesystemConfigurations,omitempty"`

	// runtimeSessionId is AgentCore's name of the session, 33 to 256
	// characters, given to the agent in AGENTSESSION_RUNTIME_SESSION_ID. The
	// object's UID (36 characters) if absent. Immutable.
	// +optional
	// +kubebuilder:validation:MinLength=33
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="runtimeSessionId is immutable"
	RuntimeSessionID string `json:"runtimeSessionId,omitempty"`

	// lifecycleConfiguration says when the compute is taken away. It may
	// change at any time and takes effect at once.
	// +optional
	LifecycleConfiguration *LifecycleConfiguration `json:"lifecycleConfiguration,omitempty"`

	// ping says how the agent is asked and how its answers are read. With
	// runtimeRef it is the runtime's that counts, not this.
	// +optional
	// +kubebuilder:default={}
	Ping PingSpec `json:"ping,omitempty"`

	// desiredState Stopped takes the compute away and keeps the session.
	// Running starts it: at the beginning, and again after a stop that
	// desiredState had asked for. A session that was stopped for any other
	// reason stays stopped until activation is raised.
	// +optional
	// +kubebuilder:default=Running
	DesiredState DesiredState `json:"desiredState,omitempty"`

	// activation is the activation that should run, counted from 1. To wake a
	// stopped session set it to status.activation + 1; as many as do so at
	// once wake it once. Raised while a compute runs, it replaces that
	// compute. The next one does not wait for the pod of the last to go, unless the
	// pod has a volume that the two would share. It cannot be lowered. 1 to
	// 1,000,000,000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="activation can only grow: set it to status.activation + 1 to wake the session"
	Activation int32 `json:"activation,omitempty"`

	// stuckDetection names sessions that stay HealthyBusy for suspiciously
	// long, for example because a task was never completed. Off if absent.
	// +optional
	StuckDetection *StuckDetection `json:"stuckDetection,omitempty"`

	// provisioningTimeoutSeconds is how long after its creation the pod may take
	// until the agent's container has started: to be scheduled, perhaps onto a node
	// that an autoscaler has to make, and to pull its images. A pod that cannot be created
	// may take as long from the first try on. 60 to 7200; 600 if
	// absent here and in the runtime. From then on the agent has AgentCore's 120 seconds to
	// answer its first ping. (AgentCore has pulled an image before any session of it
	// starts, and has no such limit.)
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=7200
	ProvisioningTimeoutSeconds int32 `json:"provisioningTimeoutSeconds,omitempty"`

	// ttlSecondsAfterStopped deletes the AgentSession that many seconds after
	// it stopped, 0 to 31,536,000 (a year). Kept if absent.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	TTLSecondsAfterStopped *int32 `json:"ttlSecondsAfterStopped,omitempty"`
}

// LifecycleConfiguration is AgentCore's: an absent field follows AWS's table.
// Neither given: 900 and 28800. Only maxLifetime: idle is the smaller of 900
// and maxLifetime. Only idleRuntimeSessionTimeout: maxLifetime is 28800.
//
// +kubebuilder:validation:XValidation:rule="!has(self.idleRuntimeSessionTimeout) || !has(self.maxLifetime) || self.idleRuntimeSessionTimeout <= self.maxLifetime",message="idleRuntimeSessionTimeout must be less than or equal to maxLifetime",fieldPath=".idleRuntimeSessionTimeout"
type LifecycleConfiguration struct {
	// idleRuntimeSessionTimeout is how long a session may be idle, in seconds,
	// 60 to 28800. The smaller of 900 and maxLifetime if absent.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=28800
	IdleRuntimeSessionTimeout int32 `json:"idleRuntimeSessionTimeout,omitempty"`
	// maxLifetime is how long a compute may live, in seconds from the creation
	// of its pod, 60 to 28800. Nothing extends it: it ends busy sessions and
	// requests in flight too. 28800 (8 hours) if absent.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=28800
	MaxLifetime int32 `json:"maxLifetime,omitempty"`
}

// DesiredState says whether a session may have a compute.
//
// +kubebuilder:validation:Enum=Running;Stopped
type DesiredState string

const (
	// DesiredRunning sessions have a compute until a rule stops it.
	DesiredRunning DesiredState = "Running"
	// DesiredStopped sessions have none.
	DesiredStopped DesiredState = "Stopped"
)

// IdleClock says from what moment on a Healthy session counts as idle.
//
// +kubebuilder:validation:Enum=AgentCore;AgentCoreStrict;Observed
type IdleClock string

const (
	// IdleClockAgentCore takes the agent's own time_of_last_update if it is of
	// use, else the moment when the operator saw the status change: what AWS
	// documents.
	IdleClockAgentCore IdleClock = "AgentCore"
	// IdleClockAgentCoreStrict does not count a status without a usable
	// time_of_last_update, not even HealthyBusy: what was measured on AWS's
	// live service in 2026.
	IdleClockAgentCoreStrict IdleClock = "AgentCoreStrict"
	// IdleClockObserved takes the moment when the operator saw the status
	// change, whatever the agent stamps.
	IdleClockObserved IdleClock = "Observed"
)

// PingCheck is the question that tells whether an agent is there.
//
// +kubebuilder:validation:Enum=Auto;HTTP;MCP
type PingCheck string

const (
	// PingCheckAuto is MCP for a runtime whose serverProtocol is MCP, and HTTP for
	// all others: what AgentCore does.
	PingCheckAuto PingCheck = "Auto"
	// PingCheckHTTP is GET /ping.
	PingCheckHTTP PingCheck = "HTTP"
	// PingCheckMCP is the JSON-RPC request "ping", as POST to the path of the MCP
	// server. Its answer does not say whether there is work: such a session is idle
	// as soon as no invocation is in flight.
	PingCheckMCP PingCheck = "MCP"
)

// PingAnswers says which answers to GET /ping count as good.
//
// +kubebuilder:validation:Enum=Tolerant;Strict
type PingAnswers string

const (
	// PingAnswersTolerant takes every answer with status code 200 for that of an
	// agent that is alive. One whose status is neither Healthy nor HealthyBusy is
	// never busy, and the condition PingContract says what is wrong with it; only
	// "Unhealthy" is a failed ping. It is what AgentCore does with agents such as those
	// of Strands' own guide, which answer "healthy".
	PingAnswersTolerant PingAnswers = "Tolerant"
	// PingAnswersStrict takes only the two words of the contract: any other answer
	// is a failed ping.
	PingAnswersStrict PingAnswers = "Strict"
)

// PingSpec says how the agent is asked and how its answers are read.
type PingSpec struct {
	// port on which the agent is asked (see check), 1 to 65535. Immutable.
	// +optional
	// +kubebuilder:default=8080
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="ping.port is immutable"
	Port int32 `json:"port,omitempty"`
	// check is how the agent is asked: Auto (HTTP, or MCP for a runtime whose
	// serverProtocol is MCP), HTTP (GET /ping) or MCP (the JSON-RPC request "ping" as
	// POST to /mcp; 2xx is a good answer, and so is 400 with a JSON-RPC body, which
	// servers with state give to whom has no session).
	// +optional
	// +kubebuilder:default=Auto
	Check PingCheck `json:"check,omitempty"`
	// answers to GET /ping that count as good: Tolerant (status code 200, whatever
	// the body says but "Unhealthy") or Strict (only a JSON object whose status is
	// Healthy or HealthyBusy).
	// +optional
	// +kubebuilder:default=Tolerant
	Answers PingAnswers `json:"answers,omitempty"`
	// idleClock is AgentCore (what AWS documents), AgentCoreStrict (as
	// measured on AWS's live service in 2026: HealthyBusy without a usable
	// time_of_last_update does not count) or Observed (the agent's stamp is
	// ignored).
	// +optional
	// +kubebuilder:default=AgentCore
	IdleClock IdleClock `json:"idleClock,omitempty"`
	// failureThreshold is how many pings in a row must fail before the compute
	// is stopped as Unhealthy, 4 to 1800; one ping is made every 2 seconds.
	// (Three failures of most agents at once are taken for the operator's own
	// fault, so fewer than four would decide before that is known.)
	// Timeouts and refused connections do not count while an invocation through the
	// gateway is in flight, nor for 15 minutes after a HealthyBusy: the agent may have
	// no time for them.
	// +optional
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=4
	// +kubebuilder:validation:Maximum=1800
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
}

// StuckAction is what is done about a stuck session.
//
// +kubebuilder:validation:Enum=Report;Stop
type StuckAction string

const (
	// StuckReport sets the condition Stuck and sends an event.
	StuckReport StuckAction = "Report"
	// StuckStop stops the compute as well.
	StuckStop StuckAction = "Stop"
)

// StuckDetection names sessions that stay HealthyBusy for too long. An agent of
// agent-runtime with Options.Introspection tells which task it is: then the
// condition Stuck names the task and its age, and a task that has ended by the
// agent's own journal and is still noted makes the session stuck after 10 s.
type StuckDetection struct {
	// afterSeconds without a break in HealthyBusy make a session stuck, 60 to
	// 28800.
	// +required
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=28800
	AfterSeconds int32 `json:"afterSeconds"`
	// action is Report (condition Stuck, an event, a metric) or Stop (the
	// compute is stopped too, with the reason StuckBusy).
	// +optional
	// +kubebuilder:default=Report
	Action StuckAction `json:"action,omitempty"`
}
