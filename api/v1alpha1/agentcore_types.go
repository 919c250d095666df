package v1alpha1

// AgentCoreMembers are members of AgentCore's CreateAgentRuntime and UpdateAgentRuntime that
// are kept and given back.
type AgentCoreMembers struct {
	// agentRuntimeName is the name in AgentCore's API, which cannot be changed: a letter and
	// up to 47 letters, digits and underscores. metadata.name is made from it.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`
	// +kubebuilder:validation:MaxLength=48
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="agentRuntimeName cannot be changed: the runtime's ARN has it"
	AgentRuntimeName string `json:"agentRuntimeName"`
	// description for people, up to 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`
	// roleArn of an IAM role. Pods do not get it.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	RoleArn string `json:"roleArn,omitempty"`
	// networkConfiguration of AWS. What pods reach is for NetworkPolicies.
	// +optional
	NetworkConfiguration *NetworkConfiguration `json:"networkConfiguration,omitempty"`
	// platformVersion of AWS.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PlatformVersion string `json:"platformVersion,omitempty"`
	// requireMMDSV2 is that of metadataConfiguration.
	// +optional
	RequireMMDSV2 *bool `json:"requireMMDSV2,omitempty"`
	// clientToken of the request that made this version: the same request again makes none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ClientToken string `json:"clientToken,omitempty"`
	// given are the names of the request's members, 20 at most. GetAgentRuntime leaves out others
	// that are as if they had not been given, since tools compare.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=64
	Given []string `json:"given,omitempty"`
}

// NetworkConfiguration is AgentCore's.
type NetworkConfiguration struct {
	// networkMode is PUBLIC or VPC.
	// +required
	// +kubebuilder:validation:Enum=PUBLIC;VPC
	NetworkMode string `json:"networkMode"`
	// networkModeConfig goes with VPC.
	// +optional
	NetworkModeConfig *VPCConfig `json:"networkModeConfig,omitempty"`
}

// VPCConfig is AgentCore's.
type VPCConfig struct {
	// securityGroups, 1 to 16.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^sg-[0-9a-zA-Z]{8,17}$`
	SecurityGroups []string `json:"securityGroups"`
	// subnets, 1 to 16.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^subnet-[0-9a-zA-Z]{8,17}$`
	Subnets []string `json:"subnets"`
}

// Validation is what a new version of a runtime has to show.
//
// +kubebuilder:validation:Enum=None;Start
type Validation string

const (
	// ValidationNone takes a version as it is.
	ValidationNone Validation = "None"
	// ValidationStart has a session of it start.
	ValidationStart Validation = "Start"
)

// HooksConfiguration is AgentCore's.
type HooksConfiguration struct {
	// build hooks are run for a version.
	// +required
	Build BuildHooks `json:"build"`
}

// BuildHooks is AgentCore's.
type BuildHooks struct {
	// warmup is run when the agent is healthy.
	// +required
	Warmup Hook `json:"warmup"`
}

// Hook is AgentCore's.
type Hook struct {
	// action that it is.
	// +required
	Action HookAction `json:"action"`
}

// HookAction is AgentCore's.
type HookAction struct {
	// httpPost sends POST without a body.
	// +required
	HTTPPost HTTPPostAction `json:"httpPost"`
}

// HTTPPostAction is AgentCore's.
type HTTPPostAction struct {
	// path, 1 to 32 characters that begin with a slash.
	// +required
	// +kubebuilder:validation:Pattern=`^/[A-Za-z0-9._~/-]*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Path string `json:"path"`
	// port, which is the agent's (protocolConfiguration): it may be left out.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// AllowedPort is AgentCore's: a port, or a range of ports.
//
// +kubebuilder:validation:XValidation:rule="has(self.port) != has(self.portRange)",message="exactly one of port and portRange is needed"
// +kubebuilder:validation:XValidation:rule="!has(self.port) || self.port != 8443",message="8443 is reserved",fieldPath=".port"
type AllowedPort struct {
	// port from 8000 to 12000, but not 8443.
	// +optional
	// +kubebuilder:validation:Minimum=8000
	// +kubebuilder:validation:Maximum=12000
	Port int32 `json:"port,omitempty"`
	// portRange has its first and its last port; 8443 is none of it.
	// +optional
	PortRange *PortRange `json:"portRange,omitempty"`
}

// PortRange is AgentCore's.
//
// +kubebuilder:validation:XValidation:rule="self.from <= self.to",message="from must be less than or equal to to"
type PortRange struct {
	// from is the first port, 8000 to 12000.
	// +required
	// +kubebuilder:validation:Minimum=8000
	// +kubebuilder:validation:Maximum=12000
	From int32 `json:"from"`
	// to is the last port, 8000 to 12000.
	// +required
	// +kubebuilder:validation:Minimum=8000
	// +kubebuilder:validation:Maximum=12000
	To int32 `json:"to"`
}
