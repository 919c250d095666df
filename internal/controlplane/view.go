package controlplane

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// runtimeView is what GetAgentRuntime answers. What was not given is left out: tools that
// compare would see a change for ever.
type runtimeView struct {
	ARN         string                               `json:"agentRuntimeArn"`
	ID          string                               `json:"agentRuntimeId"`
	Name        string                               `json:"agentRuntimeName"`
	Version     string                               `json:"agentRuntimeVersion"`
	CreatedAt   metav1.Time                          `json:"createdAt"`
	UpdatedAt   metav1.Time                          `json:"lastUpdatedAt"`
	Status      string                               `json:"status"`
	Failure     string                               `json:"failureReason,omitempty"`
	Role        string                               `json:"roleArn"`
	Description string                               `json:"description,omitempty"`
	Artifact    artifact                             `json:"agentRuntimeArtifact"`
	Lifecycle   v1alpha1.LifecycleConfiguration      `json:"lifecycleConfiguration"`
	Identity    identity                             `json:"workloadIdentityDetails"`
	Network     *v1alpha1.NetworkConfiguration       `json:"networkConfiguration,omitempty"`
	Protocol    *v1alpha1.ProtocolConfiguration      `json:"protocolConfiguration,omitempty"`
	Environment map[string]string                    `json:"environmentVariables,omitzero"`
	Authorizer  *v1alpha1.AuthorizerConfiguration    `json:"authorizerConfiguration,omitempty"`
	Headers     *v1alpha1.RequestHeaderConfiguration `json:"requestHeaderConfiguration,omitempty"`
	Metadata    *metadata                            `json:"metadataConfiguration,omitempty"`
	Platform    string                               `json:"platformVersion,omitempty"`
	Resources   []resources                          `json:"resourceConfigurations,omitempty"`
	Filesystems []filesystem                         `json:"filesystemConfigurations,omitempty"`
	Ports       []v1alpha1.AllowedPort               `json:"allowedPorts,omitempty"`
	Hooks       *v1alpha1.HooksConfiguration         `json:"hooksConfiguration,omitempty"`
}

type identity struct {
	ARN string `json:"workloadIdentityArn"`
}

// identityOf names a workload identity, which does not exist here.
func identityOf(agent *v1alpha1.AgentRuntime) identity {
	prefix, _, _ := strings.Cut(agent.Status.AgentRuntimeArn, ":runtime/")
	return identity{prefix + ":workload-identity-directory/default/workload-identity/" + agent.Status.AgentRuntimeID}
}

// nameOf is the runtime's name in AgentCore's API: its id without the ten characters.
func nameOf(agent *v1alpha1.AgentRuntime) string {
	name, _, _ := strings.Cut(agent.Status.AgentRuntimeID, "-")
	return name
}

func viewOf(agent *v1alpha1.AgentRuntime, v version) runtimeView {
	limits := lifecycle.LimitsOf(v.spec.LifecycleConfiguration)
	view := runtimeView{
		ARN: agent.Status.AgentRuntimeArn, ID: agent.Status.AgentRuntimeID, Name: nameOf(agent), Version: v.String(),
		CreatedAt: agent.CreationTimestamp, UpdatedAt: v.updated, Status: v.status, Failure: v.failure, Identity: identityOf(agent),
		Lifecycle:  v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: int32(limits.Idle.Seconds()), MaxLifetime: int32(limits.Max.Seconds())},
		Authorizer: v.spec.AuthorizerConfiguration, Headers: v.spec.RequestHeaderConfiguration, Filesystems: filesystemsIn(v.spec), Ports: v.spec.AllowedPorts,
		Hooks: v.spec.HooksConfiguration,
	}
	own := v1alpha1.AgentCoreMembers{}
	if v.spec.AgentCore != nil {
		own = *v.spec.AgentCore
	}
	view.Role, view.Description, view.Network, view.Platform = own.RoleArn, own.Description, own.NetworkConfiguration, own.PlatformVersion
	if own.RequireMMDSV2 != nil {
		view.Metadata = &metadata{*own.RequireMMDSV2}
	}
	if protocol := v.spec.ProtocolConfiguration; slices.Contains(own.Given, "protocolConfiguration") || protocol != (v1alpha1.ProtocolConfiguration{ServerProtocol: v1alpha1.ProtocolHTTP}) {
		view.Protocol = &protocol
	}
	if len(v.spec.Template.Spec.Containers) > 0 {
		view.showAgent(&v.spec.Template.Spec.Containers[0], &own)
	}
	return view
}

// showAgent shows what is in the agent's container.
func (view *runtimeView) showAgent(agent *corev1.Container, own *v1alpha1.AgentCoreMembers) {
	view.Artifact.Container = &container{agent.Image}
	if environment := environmentIn(agent); len(environment) > 0 || slices.Contains(own.Given, "environmentVariables") {
		view.Environment = environment
	}
	view.Resources = resourcesIn(agent)
}

// summary is a runtime, or a version of one, in a list.
type summary struct {
	ARN         string      `json:"agentRuntimeArn"`
	ID          string      `json:"agentRuntimeId"`
	Version     string      `json:"agentRuntimeVersion"`
	Name        string      `json:"agentRuntimeName"`
	Description string      `json:"description"`
	UpdatedAt   metav1.Time `json:"lastUpdatedAt"`
	Status      string      `json:"status"`
}

func summaryOf(agent *v1alpha1.AgentRuntime, v version) summary {
	s := summary{
		ARN: agent.Status.AgentRuntimeArn, ID: agent.Status.AgentRuntimeID, Version: strconv.FormatInt(v.number, 10),
		Name: nameOf(agent), UpdatedAt: v.updated, Status: v.status,
	}
	if v.spec.AgentCore != nil {
		s.Description = v.spec.AgentCore.Description
	}
	return s
}

// made is what CreateAgentRuntime and UpdateAgentRuntime answer.
type made struct {
	ARN       string       `json:"agentRuntimeArn"`
	ID        string       `json:"agentRuntimeId"`
	Version   string       `json:"agentRuntimeVersion"`
	CreatedAt metav1.Time  `json:"createdAt"`
	UpdatedAt *metav1.Time `json:"lastUpdatedAt,omitempty"`
	Status    string       `json:"status"`
	Identity  identity     `json:"workloadIdentityDetails"`
}

func madeOf(agent *v1alpha1.AgentRuntime, v version) made {
	return made{
		ARN: agent.Status.AgentRuntimeArn, ID: agent.Status.AgentRuntimeID, Version: v.String(),
		CreatedAt: agent.CreationTimestamp, Status: v.status, Identity: identityOf(agent),
	}
}
