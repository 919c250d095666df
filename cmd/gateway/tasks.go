package main

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// taskReader asks agents for the page what they work on.
type taskReader struct {
	// client has the rights of the caller: who may read a pod may read the token in it,
	// with which its agent lists its tasks.
	client        client.Reader
	allowLoopback bool
}

func (t taskReader) tasks(ctx context.Context, session *v1alpha1.AgentSession) ([]contract.RunningTask, error) {
	there := session.Status.Pod
	if there == nil {
		return nil, fmt.Errorf("AgentSession %s has no compute", session.Name)
	}
	var pod corev1.Pod
	if err := t.client.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: there.Name}, &pod); err != nil {
		return nil, fmt.Errorf("find the agent: %w", err)
	}
	ip, err := netip.ParseAddr(there.IP)
	if err == nil && !t.allowLoopback {
		err = lifecycle.CheckDialed(ip)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the agent: the address of pod %s: %w", pod.Name, err)
	case pod.UID != there.UID:
		return nil, fmt.Errorf("find the agent: the pod %s is another by now", pod.Name)
	}
	tasks, err := prober.FetchTasks(ctx, prober.Target{Addr: netip.AddrPortFrom(ip, uint16(lifecycle.AgentPort(session)))}, lifecycle.AgentToken(&pod)) //nolint:gosec // the schema bounds it
	if err != nil {
		return nil, fmt.Errorf("the agent does not list its tasks: those of agent-runtime do with Options.Introspection (GET %s: %w)", contract.TasksPath, err)
	}
	return tasks.RunningJobs, nil
}
