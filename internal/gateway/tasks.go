package gateway

import (
	"cmp"
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

// TaskReader asks agents for a page what they work on.
type TaskReader struct {
	// Client has the rights of the caller: who may read a pod may read the token in it,
	// with which its agent lists its tasks.
	Client client.Reader
	// AllowLoopback asks agents on loopback addresses too.
	AllowLoopback bool
	// Port is where all agents listen. Default: each at its session's.
	Port uint16
}

// Tasks are those that a session's agent lists.
func (t TaskReader) Tasks(ctx context.Context, session *v1alpha1.AgentSession) ([]contract.RunningTask, error) {
	there := session.Status.Pod
	if there == nil {
		return nil, fmt.Errorf("AgentSession %s has no compute", session.Name)
	}
	var pod corev1.Pod
	if err := t.Client.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: there.Name}, &pod); err != nil {
		return nil, fmt.Errorf("find the agent: %w", err)
	}
	ip, err := netip.ParseAddr(there.IP)
	if err == nil && !t.AllowLoopback {
		err = lifecycle.CheckDialed(ip)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the agent: the address of pod %s: %w", pod.Name, err)
	case pod.UID != there.UID:
		return nil, fmt.Errorf("find the agent: the pod %s is another by now", pod.Name)
	}
	port := cmp.Or(t.Port, uint16(lifecycle.AgentPort(session))) //nolint:gosec // the schema bounds it
	tasks, err := prober.FetchTasks(ctx, prober.Target{Addr: netip.AddrPortFrom(ip, port)}, lifecycle.AgentToken(&pod))
	if err != nil {
		return nil, fmt.Errorf("the agent does not list its tasks: those of agent-runtime do with Options.Introspection (GET %s: %w)", contract.TasksPath, err)
	}
	return tasks.RunningJobs, nil
}
