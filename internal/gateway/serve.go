package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	headerTimeout = 10 * time.Second
	// bodyTimeout is for a request with its body, of 100 MB at most; also for one that
	// is refused, of whose body net/http reads on a little.
	bodyTimeout = 5 * time.Minute
	// callTimeout is for all of a call, until its operation sets another: callers who
	// take nothing of their answer would be waited for.
	callTimeout = 2 * bodyTimeout
	idleTimeout = 2 * time.Minute
	maxHeaders  = 64 << 10
)

// Watch has the gateway see every change in a cache, which Options.Client is to
// read from.
func (g *Gateway) Watch(c cache.Cache) error {
	ctx := context.Background()
	if err := c.IndexField(ctx, &v1alpha1.AgentRuntime{}, IDIndex, IDOf); err != nil {
		return fmt.Errorf("index runtimes by id: %w", err)
	}
	informer, err := c.GetInformer(ctx, &v1alpha1.AgentSession{})
	if err != nil {
		return fmt.Errorf("watch the sessions: %w", err)
	}
	handler, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { g.update(object) },
		UpdateFunc: func(_, object any) { g.update(object) },
		DeleteFunc: func(object any) {
			if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			g.update(object)
			if session, ok := object.(*v1alpha1.AgentSession); ok {
				g.running.delete(session)
				g.roster.delete(session)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch the sessions: %w", err)
	}
	g.synced = handler.HasSynced
	return nil
}

func (g *Gateway) update(object any) {
	if session, ok := object.(*v1alpha1.AgentSession); ok {
		g.traffic.update(session)
		g.running.update(session)
		g.roster.update(session)
		g.changes.notify(client.ObjectKeyFromObject(session))
		if ref := session.Spec.RuntimeRef; ref != nil { // for those who wait for any of its sessions
			g.changes.notify(client.ObjectKey{Namespace: session.Namespace, Name: ref.Name})
		}
	}
}

// Ready is an error while Serve takes no calls, or soon will not.
func (g *Gateway) Ready(*http.Request) error {
	if !g.ready.Load() {
		return errors.New("it takes no calls, or soon will not")
	}
	return nil
}

// Serve serves until ctx ends and ShutdownDelay has passed, and then what is in
// flight to its end.
func (g *Gateway) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           g.tracing.serving(g),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      callTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaders,
		Protocols:         http1(),
		ErrorLog:          log.New(io.Discard, "", 0), // callers' mistakes
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), g.synced) {
		return listener.Close()
	}
	drained := make(chan error, 1)
	g.ready.Store(true)
	stop := context.AfterFunc(ctx, func() {
		g.ready.Store(false)
		time.Sleep(g.ShutdownDelay)
		drained <- server.Shutdown(context.WithoutCancel(ctx))
	})
	defer stop()
	if err := server.Serve(oneHost{listener}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	err := <-drained
	g.calls.Wait() // Shutdown does not know of WebSockets
	g.shells.Close()
	g.traffic.flush()
	return err
}
