package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AgentRuntimeStatus is what the operator made of a runtime.
type AgentRuntimeStatus struct {
	// agentRuntimeId names the runtime in AgentCore's API: its name, with
	// underscores for what AWS does not allow, and ten characters of its own.
	// +optional
	AgentRuntimeID string `json:"agentRuntimeId,omitempty"`
	// agentRuntimeArn names the runtime in AgentCore's API, in the shape of AWS:
	// the account stands for the namespace.
	// +optional
	AgentRuntimeArn string `json:"agentRuntimeArn,omitempty"`
	// agentRuntimeVersion is the newest version: the generation of spec.
	// +optional
	AgentRuntimeVersion int64 `json:"agentRuntimeVersion,omitempty"`
	// artifact is the newest recorded version that differs from the one before it in more
	// than its endpoints: the newest of which AgentCore's API tells.
	// +optional
	Artifact *RuntimeArtifact `json:"artifact,omitempty"`
	// sessions counts the sessions that name this runtime, by state, but for the one that
	// tries a version. It follows them within a few seconds.
	// +optional
	Sessions SessionCounts `json:"sessions,omitzero"`
	// validation is how far versions were tried. Empty without spec.validation.
	// +optional
	Validation *ValidationStatus `json:"validation,omitempty"`
	// conditions: Ready is True while every endpoint's version can be started;
	// SessionsStart says what became of the youngest start of a session; Validated, with
	// spec.validation only, what became of the start of status.validation.version.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RuntimeArtifact is a version of a runtime, apart from its endpoints.
type RuntimeArtifact struct {
	// version is the first with this content.
	// +required
	Version int64 `json:"version"`
	// digest of the content, SHA-256 in hex.
	// +optional
	Digest string `json:"digest,omitempty"`
	// recordedAt is when the version was recorded.
	// +required
	RecordedAt metav1.Time `json:"recordedAt"`
}

// ValidationStatus is how far the versions of a runtime were tried.
type ValidationStatus struct {
	// version that is tried, or was tried last, one that artifact.version was. What came of
	// it is the condition Validated.
	// +required
	Version int64 `json:"version"`
	// validVersion is the one that the endpoint DEFAULT leads to: the last one that was
	// tried with success, or was there before versions were tried. Absent if there is none.
	// +optional
	ValidVersion int64 `json:"validVersion,omitempty"`
	// failed are the versions before that were tried without success, with the oldest first:
	// the last ten.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=map
	// +listMapKey=version
	Failed []FailedVersion `json:"failed,omitempty"`
}

// FailedVersion is a version of a runtime that was tried without success.
type FailedVersion struct {
	// version is its number.
	// +required
	Version int64 `json:"version"`
	// message is why, for people; at most 800 bytes.
	// +optional
	Message string `json:"message,omitempty"`
}

// SessionCounts are sessions by state.
type SessionCounts struct {
	// starting is how many have a compute that was not healthy yet, or wait for one.
	Starting int32 `json:"starting"`
	// active is how many have work.
	Active int32 `json:"active"`
	// idle is how many have a compute and no work.
	Idle int32 `json:"idle"`
	// stopping is how many have a compute that is being taken away.
	Stopping int32 `json:"stopping"`
	// stopped is how many have no compute.
	Stopped int32 `json:"stopped"`
}
