package controlplane

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// agentContainer is the name of the agent's container in pods that this API asks for.
const agentContainer = "agent"

// templateOf is what pods are made of. They get no token of a service account: who may
// create runtimes by AWS's API has not been asked whether he may use one.
func templateOf(image string, environment map[string]string, memory []resources, security *corev1.PodSecurityContext) corev1.PodTemplateSpec {
	agent := corev1.Container{Name: agentContainer, Image: image}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		agent.Env = append(agent.Env, corev1.EnvVar{Name: name, Value: strings.ReplaceAll(environment[name], "$", "$$")}) // or $(X) would be the value of X
	}
	for _, r := range memory {
		agent.Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: *resource.NewQuantity(r.MinimumMemoryInMiB<<20, resource.BinarySI)}
	}
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		AutomountServiceAccountToken: new(false), SecurityContext: security, Containers: []corev1.Container{agent},
	}}
}

// environmentIn is what of an agent's environment stands in its template.
func environmentIn(agent *corev1.Container) map[string]string {
	environment := map[string]string{}
	for _, v := range agent.Env {
		if v.ValueFrom == nil {
			environment[v.Name] = strings.ReplaceAll(v.Value, "$$", "$")
		}
	}
	return environment
}

func resourcesIn(agent *corev1.Container) []resources {
	memory, has := agent.Resources.Requests[corev1.ResourceMemory]
	if !has || memory.Value() < 1<<20 {
		return nil
	}
	return []resources{{memory.Value() >> 20}}
}

// expresses tells whether a template holds nothing but what this API can ask for: another
// may mount what its images may read, and others may not.
func expresses(template *corev1.PodTemplateSpec) bool {
	if len(template.Spec.Containers) != 1 {
		return false
	}
	agent := &template.Spec.Containers[0]
	return slices.ContainsFunc([]*corev1.PodSecurityContext{nil, forStorage()}, func(security *corev1.PodSecurityContext) bool {
		return equality.Semantic.DeepEqual(*template, templateOf(agent.Image, environmentIn(agent), resourcesIn(agent), security))
	})
}

// applyTo writes the members into a runtime's spec. What they cannot express stays.
func (m members) applyTo(spec *v1alpha1.AgentRuntimeSpec) {
	own := v1alpha1.AgentCoreMembers{AgentRuntimeName: m.name, PlatformVersion: m.platform}
	if old := spec.AgentCore; old != nil {
		own.AgentRuntimeName = old.AgentRuntimeName
		own.PlatformVersion = cmp.Or(m.platform, old.PlatformVersion) // as on AgentCore
	}
	own.Description, own.RoleArn, own.NetworkConfiguration, own.ClientToken = m.description, m.role, m.network, m.token
	own.Given = slices.DeleteFunc(slices.Clone(m.given), func(name string) bool { return !slices.Contains(mayBeEmpty, name) })
	if m.metadata != nil {
		own.RequireMMDSV2 = &m.metadata.RequireMMDSV2
	}
	spec.AgentCore, spec.HooksConfiguration = &own, m.hooks
	spec.FilesystemConfigurations = m.storage(spec.FilesystemConfigurations)
	var security *corev1.PodSecurityContext
	if len(spec.FilesystemConfigurations) > 0 {
		security = forStorage()
	}
	spec.Template = templateOf(m.artifact.Container.URI, m.environment, m.resources, security)
	spec.LifecycleConfiguration, spec.RequestHeaderConfiguration, spec.AuthorizerConfiguration = m.lifecycle, m.headers, m.authorizer
	spec.AllowedPorts = m.ports
	spec.ProtocolConfiguration = v1alpha1.ProtocolConfiguration{}
	if m.protocol != nil {
		spec.ProtocolConfiguration = *m.protocol
	}
	spec.ProtocolConfiguration.ServerProtocol = cmp.Or(spec.ProtocolConfiguration.ServerProtocol, v1alpha1.ProtocolHTTP)
}

// mayBeEmpty are members that look the same here when they are given as when they are not.
var mayBeEmpty = []string{"protocolConfiguration", "environmentVariables"}
