package local

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// setPage makes the page to look at. It has a port of its own: what an agent answers at the
// gateway's is of another origin.
func (p *platform) setPage(clusterTime *apiserver.Clock) (err error) {
	o := dashboard.Options{
		Client: p.client, Now: func() time.Time { return clusterTime.Now().Local() }, Where: "local", Version: p.Version, Write: true, Invoke: p.invoke, Tasks: p.tasks,
		Tools: toolsOf(p.Kubeconfig),
	}
	if p.page, err = dashboard.New(o, p.pageAt.Addr()); err != nil {
		return fmt.Errorf("make the page: %w", err)
	}
	return nil
}

// toolsOf are how the commands begin that the page suggests, in whatever folder they are typed.
func toolsOf(kubeconfig string) explain.Tools {
	if kubeconfig == "" {
		return explain.Tools{Laptop: true}
	}
	to := " --kubeconfig " + explain.Quoted(kubeconfig)
	return explain.Tools{Laptop: true, Self: "agentsession" + to, Kubectl: "kubectl" + to}
}

// invoke calls a session for the page through the gateway, as its callers do.
func (p *platform) invoke(ctx context.Context, session *v1alpha1.AgentSession, body []byte, answer func(*http.Response) error) error {
	return gateway.CallSession(ctx, p.url(), session, body, func(r *http.Request) error {
		if !p.Signed {
			return nil
		}
		return p.key.Sign(r, body)
	}, answer)
}

// tasks asks an agent for the page what it works on.
func (p *platform) tasks(ctx context.Context, session *v1alpha1.AgentSession) ([]contract.RunningTask, error) {
	if session.Status.Pod == nil {
		return nil, fmt.Errorf("AgentSession %s has no compute", session.Name)
	}
	pod := &corev1.Pod{}
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}, pod); err != nil {
		return nil, fmt.Errorf("find the agent: %w", err)
	}
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil {
		return nil, fmt.Errorf("find the agent: %w", err)
	}
	tasks, err := prober.FetchTasks(ctx, prober.Target{Addr: netip.AddrPortFrom(ip, PodPort)}, lifecycle.AgentToken(pod))
	if err != nil {
		return nil, fmt.Errorf("the agent does not tell its tasks: those of agent-runtime do with Options.Introspection (GET %s: %w)", contract.TasksPath, err)
	}
	return tasks.RunningJobs, nil
}
