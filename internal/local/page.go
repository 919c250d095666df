package local

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// setPage makes the page to look at. It has a port of its own: what an agent answers at the
// gateway's is of another origin.
func (p *platform) setPage(clusterTime *apiserver.Clock) (err error) {
	o := dashboard.Options{
		Client: p.client, Now: func() time.Time { return clusterTime.Now().Local() }, Where: "local", Version: p.Version, Write: true, Invoke: p.invoke, Tasks: p.tasks,
	}
	o.Tools.Laptop = true
	if p.Kubeconfig != "" {
		o.Tools.Self, o.Tools.Kubectl = "agentsession --kubeconfig "+p.Kubeconfig, "kubectl --kubeconfig "+p.Kubeconfig
	}
	if p.page, err = dashboard.New(o, p.pageAt.Addr()); err != nil {
		return fmt.Errorf("make the page: %w", err)
	}
	return nil
}

// invoke calls a session for the page through the gateway, as its callers do.
func (p *platform) invoke(ctx context.Context, session *v1alpha1.AgentSession, body []byte, answer func(*http.Response) error) error {
	if !gateway.CallsReach(session) {
		return fmt.Errorf("AgentSession %s was not made by a call, so the gateway does not lead to it: `agentsession invoke` does", session.Name)
	}
	ref := session.Spec.RuntimeRef
	to := lifecycle.InvocationsURL(p.url(), session.Namespace+"/"+ref.Name) + "?qualifier=" + url.QueryEscape(cmp.Or(ref.Qualifier, v1alpha1.DefaultQualifier))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the call: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream, */*")
	r.Header.Set(contract.HeaderSessionID, session.Spec.RuntimeSessionID)
	if p.Signed {
		if err := p.key.Sign(r, body); err != nil {
			return err
		}
	}
	r.GetBody = nil // it is sent once
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("call the gateway: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // what came of it is known
	return answer(response)
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
