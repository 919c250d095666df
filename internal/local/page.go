package local

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/gateway"
)

// setPage makes the page to look at. It has a port of its own: what an agent answers at the
// gateway's is of another origin.
func (p *platform) setPage(clusterTime *apiserver.Clock) (err error) {
	o := dashboard.Options{
		Client: p.client, Now: func() time.Time { return clusterTime.Now().Local() }, Where: "local", Version: p.Version, Write: true, Invoke: p.invoke, Tasks: gateway.TaskReader{Client: p.client, AllowLoopback: true, Port: PodPort}.Tasks,
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
