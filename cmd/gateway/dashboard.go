package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/buildinfo"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/gateway"
)

// addDashboard has the manager serve the page at --dashboard, if that is given. What the page reads and writes of
// one session, and what a caller may see at all, is asked with the caller's own token; what it
// shows of all comes from the cache that the gateway has.
func addDashboard(mgr ctrl.Manager, o options, clusterTime *apiserver.Clock, tokens authn.Authenticator, invocations net.Addr) error {
	if o.dashboard == "" {
		return nil
	}
	asCaller, err := client.NewWithWatch(authn.AsBearer(mgr.GetConfig()), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("make a client for the page: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.dashboard)
	if err != nil {
		return fmt.Errorf("listen on --dashboard: %w", err)
	}
	page, err := dashboard.New(dashboard.Options{
		Client: asCaller, Cache: mgr.GetCache(), Callers: authn.ByScheme(map[string]authn.Authenticator{authn.SchemeBearer: tokens}),
		Now: clusterTime.Now, Where: "cluster", Version: buildinfo.Version(), Write: o.dashboardWrite,
		Tools: explain.Tools{Self: "kubectl agentsession", Kubectl: "kubectl"},
		Tasks: gateway.TaskReader{Client: asCaller, AllowLoopback: o.allowLoopback}.Tasks,
		Invoke: func(ctx context.Context, session *v1alpha1.AgentSession, body []byte, answer func(*http.Response) error) error {
			return gateway.CallSession(ctx, "http://"+invocations.String(), session, body, func(r *http.Request) error {
				r.Header.Set("Authorization", authn.SchemeBearer+" "+authn.BearerIn(ctx))
				return nil
			}, answer)
		},
	}, listener.Addr())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return page.Serve(ctx, listener) })); err != nil {
		return fmt.Errorf("add the page: %w", err)
	}
	return nil
}
