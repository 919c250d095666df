package v1alpha1

// Types of the conditions of an AgentSession, which always has Ready, PingContract
// and Stuck, and of an AgentRuntime, which has Ready, SessionsStart and Validated.
const (
	// ConditionReady is true while the compute answers pings: the session is
	// Active or Idle. Its reasons are the states, what keeps a compute from being
	// had (ReasonPodRefused, ReasonPodNameTaken, ReasonStorageRefused, ReasonStorageNameTaken,
	// ReasonAddressRefused, ReasonRuntimeNotFound, ReasonUnreadable) and what keeps one from starting (ReasonUnschedulable
	// and those after it). Of an AgentRuntime it is true while its endpoints'
	// versions can be started.
	ConditionReady = "Ready"
	// ConditionSessionsStart, of an AgentRuntime, is false when the youngest of its
	// sessions' computes whose start is over never was healthy, and true when that one
	// was. Its reasons are StartFailed, StartTimeout, those of what keeps a compute
	// from being had, and ReasonHealthy.
	ConditionSessionsStart = "SessionsStart"
	// ConditionValidated, of an AgentRuntime with spec.validation, is about the version of
	// status.validation: unknown while it is tried, true when its agent was healthy, and
	// false when that never was. Its reasons are ReasonTrying, ReasonHealthy, those of
	// stops, of what keeps a compute from being had, ReasonTrialRefused and ReasonWarmupFailed.
	ConditionValidated = "Validated"
	// ConditionPingContract is false when the agent's ping answers break
	// AgentCore's contract, and unknown before the first answer.
	ConditionPingContract = "PingContract"
	// ConditionStuck is true when the session has been HealthyBusy for longer
	// than spec.stuckDetection.afterSeconds, or with a task that has ended by
	// the agent's own journal.
	ConditionStuck = "Stuck"
)

// Reasons of the condition Ready, beside the names of the states.
const (
	// ReasonPodRefused is a pod that the API server would not create: a quota,
	// a Pod Security level, an admission policy or an invalid template. The
	// operator tries again, ever more slowly.
	ReasonPodRefused = "PodRefused"
	// ReasonPodNotMade is a pod that could not be created for another reason: a webhook
	// that is down, an API server that has too much to do. The operator tries again,
	// every 15 seconds at least, until the limit of the start.
	ReasonPodNotMade = "PodNotMade"
	// ReasonPodNameTaken is a pod of the activation's name that the session
	// does not own. It is left alone; the operator tries again.
	ReasonPodNameTaken = "PodNameTaken"
	// ReasonStorageRefused is a PersistentVolumeClaim of session storage that the API server
	// would not create: a quota, an admission policy. The operator tries again.
	ReasonStorageRefused = "StorageRefused"
	// ReasonStorageNameTaken is a PersistentVolumeClaim of the session's name that the
	// session does not own. It is left alone; the operator tries again.
	ReasonStorageNameTaken = "StorageNameTaken"
	// ReasonAddressRefused is a pod address that must not be asked: loopback,
	// link-local, multicast, unspecified, or the node's own. Nobody asks the agent
	// or calls it: the session ends as StartTimeout, or at its maximal lifetime if
	// the agent had answered at another address before.
	ReasonAddressRefused = "AddressRefused"
	// ReasonRuntimeNotFound is a spec.runtimeRef whose runtime, endpoint or
	// version is not there. The session starts when it is.
	ReasonRuntimeNotFound = "RuntimeNotFound"
	// ReasonUnreadable is a session, or a runtime, that was stored by another schema
	// than this one and holds what no typed client can read. No compute is made of it.
	ReasonUnreadable = "Unreadable"

	// ReasonUnschedulable is a pod that no node takes, or that waits for its
	// scheduling gates.
	ReasonUnschedulable = "Unschedulable"
	// ReasonStoragePending is a pod that waits for a volume for its session's storage:
	// there is no storage class, or nobody makes volumes of it.
	ReasonStoragePending = "StoragePending"
	// ReasonImagePullFailed is a container whose image cannot be had.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonContainerConfigError is a container that names what is not there: a
	// Secret, a ConfigMap or a key of one.
	ReasonContainerConfigError = "ContainerConfigError"
	// ReasonContainerCreateError is a container that its node cannot create.
	ReasonContainerCreateError = "ContainerCreateError"
	// ReasonContainerCrashing is a sidecar that ends again and again.
	ReasonContainerCrashing = "ContainerCrashing"
	// ReasonMassFailure is an agent that is silent for long enough to be stopped as
	// Unhealthy, and is not, since most agents that its operator asks are silent at
	// once. It ends with that, and 10 to 40 minutes after it began at the latest.
	ReasonMassFailure = "MassFailure"
	// ReasonFlapping is an agent that answers, and whose status changes so often that it
	// is reported every three minutes at most. Stops do not wait for reports.
	ReasonFlapping = "Flapping"
	// ReasonNoGoodAnswer is an agent whose container has run for a quarter of the
	// 120 s of a start and that has not answered a ping as it should.
	ReasonNoGoodAnswer = "NoGoodAnswer"
)

// Reasons of the condition Ready of an AgentRuntime.
const (
	// ReasonVersionRecorded is a runtime whose sessions can start.
	ReasonVersionRecorded = "VersionRecorded"
	// ReasonVersionNotFound is a runtime with an endpoint whose version is not
	// there: it was never made, or nothing had pinned it for ten versions.
	ReasonVersionNotFound = "VersionNotFound"
	// ReasonVersionNameTaken is a runtime whose newest version cannot be recorded:
	// a ControllerRevision by its name is somebody else's. It is left alone; the
	// operator tries again. Sessions start, and endpoints cannot pin that version.
	ReasonVersionNameTaken = "VersionNameTaken"
	// ReasonNoValidVersion is a runtime with spec.validation of which no version has been
	// tried with success: the endpoint DEFAULT leads to none.
	ReasonNoValidVersion = "NoValidVersion"
)

// Reasons of the condition Validated, beside those of stops and of the condition Ready.
const (
	// ReasonTrying is a version of which a session is being started.
	ReasonTrying = "Trying"
	// ReasonTrialRefused is a version of which no session could be made: the API server
	// refused it, or another object has its name.
	ReasonTrialRefused = "TrialRefused"
	// ReasonWarmupFailed is a version whose agent was healthy, and did not answer the
	// warm-up hook with 2xx within 120 s.
	ReasonWarmupFailed = "WarmupFailed"
)

// ReasonHealthy is a compute that was healthy, of the conditions SessionsStart and Validated.
const ReasonHealthy = "Healthy"

// Reasons of the condition PingContract.
const (
	// ReasonPingConforms is an agent that keeps the contract.
	ReasonPingConforms = "Conforms"
	// ReasonPingUnknown is an agent that has not answered yet.
	ReasonPingUnknown = "NoAnswerYet"
	// ReasonPingMCP is an MCP server that answers MCP's ping, which says nothing of
	// work. PingContract is true.
	ReasonPingMCP = "MCPPing"
	// ReasonTimestampMissing is an answer without time_of_last_update, which the
	// contract leaves to the agent. PingContract is true.
	ReasonTimestampMissing = "TimestampMissing"
	// ReasonTimestampMilliseconds is a time_of_last_update in milliseconds.
	ReasonTimestampMilliseconds = "TimestampMilliseconds"
	// ReasonTimestampUnusable is a time_of_last_update that is not a number
	// (the TypeScript SDK sent ISO 8601 until 2026-04), or a negative one.
	ReasonTimestampUnusable = "TimestampUnusable"
	// ReasonTimestampInFuture is a time_of_last_update more than 5 s ahead.
	ReasonTimestampInFuture = "TimestampInFuture"
	// ReasonTimestampAdvances is a time_of_last_update that moves although
	// the status stays: by AgentCore's clock the session never goes idle.
	ReasonTimestampAdvances = "TimestampAdvances"
	// ReasonTimestampFrozen is a time_of_last_update that stayed although the
	// status changed.
	ReasonTimestampFrozen = "TimestampFrozen"
	// ReasonPingTooSlow is an agent that takes connections and does not answer.
	ReasonPingTooSlow = "TooSlow"
	// ReasonPingNotOK is an answer other than 200.
	ReasonPingNotOK = "NotOK"
	// ReasonPingSaysUnhealthy is an answer of 200, 4xx or 5xx whose status is
	// "Unhealthy", which the contract does not have: a failed ping.
	ReasonPingSaysUnhealthy = "SaysUnhealthy"
	// ReasonPingMalformed is an answer that is not HTTP, or not within its limits.
	ReasonPingMalformed = "Malformed"
	// ReasonStatusUnknown is an object whose status is not one of the contract's two.
	// This one and the four below are answers of an agent that is alive and never
	// busy; failed pings if spec.ping.answers is Strict.
	ReasonStatusUnknown = "StatusUnknown"
	// ReasonPingNotJSON is a body that is not a JSON object.
	ReasonPingNotJSON = "NotJSON"
	// ReasonPingEncoded is a body with a Content-Encoding, such as gzip.
	ReasonPingEncoded = "Encoded"
	// ReasonPingTooLarge is a body of more than 4096 bytes.
	ReasonPingTooLarge = "TooLarge"
	// ReasonPingByteOrderMark is the contract's JSON behind a byte order mark: it
	// counts for what it says, busy or not.
	ReasonPingByteOrderMark = "ByteOrderMark"
)

// Reasons of the condition Stuck.
const (
	// ReasonBusyTooLong is a session that has been HealthyBusy for longer than
	// spec.stuckDetection allows.
	ReasonBusyTooLong = "BusyTooLong"
	// ReasonTaskForgotten is a session that is HealthyBusy with a task that has
	// ended by the agent's own journal (agentruntime.App.RecordEvent).
	ReasonTaskForgotten = "TaskForgotten"
	// ReasonNotStuck is a session within its limits.
	ReasonNotStuck = "NotStuck"
	// ReasonDetectionOff is a session without spec.stuckDetection.
	ReasonDetectionOff = "DetectionOff"
)
