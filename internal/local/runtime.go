package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
	"github.com/agentsession/agentsession/internal/local/node"
)

// PodPort is where agents are asked and called, at addresses of their pods. Programs that
// listen on all addresses have the contract's ports, and seldom this one.
const PodPort = 28080

// RuntimeName is the runtime of a command that is run.
const RuntimeName = "agent"

// Runtime is one that is made at the start.
type Runtime struct {
	*v1alpha1.AgentRuntime
	// From is the file and the document that it was read from; empty if it was not.
	From string
}

// RuntimeOf is a runtime whose agent is a program of this machine, its container's command, or
// what an image runs. {port} in its words is where the agent is to listen.
func RuntimeOf(agent corev1.Container, mounts []Mount, protocol v1alpha1.ServerProtocol, limits *v1alpha1.LifecycleConfiguration) Runtime {
	pod := corev1.PodSpec{Containers: []corev1.Container{agent}}
	for i, m := range mounts {
		name := fmt.Sprint("mount-", i)
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: m.Source}}})
		pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: m.Target, ReadOnly: m.ReadOnly})
	}
	return Runtime{AgentRuntime: &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Name: RuntimeName, Namespace: kubeapi.Namespace},
		Spec: v1alpha1.AgentRuntimeSpec{
			ProtocolConfiguration: v1alpha1.ProtocolConfiguration{ServerProtocol: protocol}, LifecycleConfiguration: limits,
			Template: corev1.PodTemplateSpec{Spec: pod},
		},
	}}
}

// Mount is a file or folder of this machine that an image's agent sees.
type Mount struct {
	// Source is its absolute path here, and Target there.
	Source, Target string
	ReadOnly       bool
}

// adapt has a runtime's agent run on this machine, with env in its environment.
func adapt(agent *v1alpha1.AgentRuntime, env []corev1.EnvVar) {
	c := &agent.Spec.Template.Spec.Containers[0]
	if len(c.Command) > 0 {
		// AWS's SDK for Python would listen on all of the machine's addresses.
		env = slices.Insert(slices.Clone(env), 0, corev1.EnvVar{Name: "DOCKER_CONTAINER"})
	}
	if c.Image == "" {
		c.Image = "process" // pods have one
	}
	own := agent.Spec.ProtocolConfiguration.Port
	if own == 0 {
		own = portOf(agent.Spec.ProtocolConfiguration.ServerProtocol)
	}
	agent.Spec.ProtocolConfiguration.Port = PodPort
	c.Ports = []corev1.ContainerPort{{Name: "pod", ContainerPort: PodPort}, {Name: node.AgentPort, ContainerPort: own}}
	c.Env = withEnv(c.Env, env)
}

// hasImage is an error if a runtime's image cannot be run here now.
func hasImage(ctx context.Context, agent Runtime) error {
	c := agent.Spec.Template.Spec.Containers[0]
	if len(c.Command) > 0 {
		return nil
	}
	if err := node.HasImage(ctx, c.Image); err != nil {
		return fmt.Errorf("the runtime %s: %w", agent.Name, err)
	}
	return nil
}

// agentGrace is how long an agent that runs without a session may take to end.
const agentGrace = 5 * time.Second

// StartAgent starts the agent of a runtime without a session, for who examines it, and returns
// when it listens. say gets what it writes.
func StartAgent(ctx context.Context, r Runtime, env []corev1.EnvVar, say func(node.Line)) (*node.Agent, error) {
	if err := hasImage(ctx, r); err != nil {
		return nil, err
	}
	own := r.DeepCopy()
	adapt(own, env)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: RuntimeName}, Spec: own.Spec.Template.Spec}
	pod.Spec.TerminationGracePeriodSeconds = new(int64(agentGrace.Seconds()))
	return node.StartAgent(ctx, pod, say)
}

// withEnv is an environment with others in the place of those that have the same name.
func withEnv(env, others []corev1.EnvVar) []corev1.EnvVar {
	for _, other := range others {
		same := func(v corev1.EnvVar) bool { return v.Name == other.Name }
		env = append(slices.DeleteFunc(slices.Clone(env), same), other)
	}
	return env
}

// portOf is the contract's port of a protocol.
func portOf(protocol v1alpha1.ServerProtocol) int32 {
	switch protocol {
	case v1alpha1.ProtocolMCP:
		return contract.MCPPort
	case v1alpha1.ProtocolA2A:
		return contract.A2APort
	default:
		return contract.Port
	}
}

// makeRuntimes makes the runtimes, and returns when the operator has named all of them.
func (p *platform) makeRuntimes(ctx context.Context) ([]Agent, error) {
	for _, agent := range p.Runtimes {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: agent.Namespace}}
		if err := p.client.Create(ctx, namespace); client.IgnoreAlreadyExists(err) != nil {
			return nil, fmt.Errorf("make the namespace of the runtime %s: %w", agent.Name, err)
		}
		if err := p.client.Create(ctx, agent.AgentRuntime); err != nil {
			err = fmt.Errorf("make the runtime %s: %w", agent.Name, err)
			if agent.From != "" {
				err = fmt.Errorf("%s: %w", agent.From, err)
			}
			return nil, err
		}
	}
	events, err := p.client.Watch(ctx, &v1alpha1.AgentRuntimeList{})
	if err != nil {
		return nil, fmt.Errorf("watch the runtimes: %w", err)
	}
	defer events.Stop()
	arns := map[client.ObjectKey]string{}
	for event := range events.ResultChan() {
		if agent, ok := event.Object.(*v1alpha1.AgentRuntime); ok && agent.Status.AgentRuntimeArn != "" {
			arns[client.ObjectKeyFromObject(agent)] = agent.Status.AgentRuntimeArn
		}
		if len(arns) < len(p.Runtimes) {
			continue
		}
		var all []Agent
		for _, agent := range p.Runtimes {
			all = append(all, Agent{agent.Namespace, agent.Name, arns[client.ObjectKeyFromObject(agent.AgentRuntime)]})
		}
		return all, nil
	}
	if ctx.Err() != nil {
		return nil, nil
	}
	return nil, errors.New("watch the runtimes: the watch has ended")
}
