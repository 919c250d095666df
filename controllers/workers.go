package controllers

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/internal/prober"
)

const (
	// reconcileMost is when the context of a reconcile ends: it waits for no answer of the
	// API server, and for no cache, beyond that. What was left is tried again.
	reconcileMost = time.Minute
	// hungAfter is when one that still runs has not heeded its context and never will.
	hungAfter = 2 * reconcileMost
)

// workers are the reconciles of one controller that run now. Its queue never runs the
// same request twice at once.
type workers struct {
	reconcile.Reconciler
	controller string

	mu    sync.Mutex
	since map[reconcile.Request]time.Time
}

// watched has the manager's /healthz fail while a worker of the controller hangs: the
// kubelet then restarts the operator, and another leads.
func watched(mgr ctrl.Manager, controller string, r reconcile.Reconciler) (reconcile.Reconciler, error) {
	w := &workers{Reconciler: r, controller: controller, since: map[reconcile.Request]time.Time{}}
	if err := mgr.AddHealthzCheck(controller, w.check); err != nil {
		return nil, fmt.Errorf("add the health check of controller %s: %w", controller, err)
	}
	return w, nil
}

// Reconcile implements reconcile.Reconciler.
func (w *workers) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	w.mu.Lock()
	w.since[req] = time.Now()
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.since, req)
	}()
	return w.Reconciler.Reconcile(ctx, req) //nolint:wrapcheck // its own words
}

// askingGoesOn has /healthz fail while the goroutine that asks all agents hangs: nobody would
// be idle, or fail, ever after.
func askingGoesOn(asks *prober.Prober) healthz.Checker {
	return func(*http.Request) error {
		if stalled := asks.Stalled(); stalled > hungAfter {
			return fmt.Errorf("the prober has not looked for %s which agents are to be asked, and should several times in each period", stalled.Round(time.Second))
		}
		return nil
	}
}

func (w *workers) check(*http.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for req, since := range w.since {
		if ran := time.Since(since); ran > hungAfter {
			return fmt.Errorf("controller %s: the reconcile of %s has run for %s, and should have ended after %s",
				w.controller, req, ran.Round(time.Second), reconcileMost)
		}
	}
	return nil
}
