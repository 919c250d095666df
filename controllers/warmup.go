package controllers

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// warmupPoll is how often it is looked whether a warm-up hook was answered.
const warmupPoll = time.Second

// warmups are the warm-up hooks that were sent, one for each runtime at most. They are in
// memory: another operator sends those anew that have no verdict.
type warmups struct {
	mu  sync.Mutex
	all map[types.NamespacedName]*warmup
}

type warmup struct {
	trial  types.UID
	result lifecycle.Warmup
}

// result is what came of the hook that the agent of a trial was sent.
func (w *warmups) result(runtime types.NamespacedName, trial types.UID) lifecycle.Warmup {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sent := w.all[runtime]; sent != nil && sent.trial == trial {
		return sent.result
	}
	return lifecycle.Warmup{}
}

func (w *warmups) forget(runtime types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, runtime)
}

// send sends the hook to a trial's agent, in the background, unless it was sent.
func (w *warmups) send(ctx context.Context, runtime types.NamespacedName, trial *v1alpha1.AgentSession, path string) {
	if lifecycle.PhaseOf(trial) != lifecycle.PhaseReady {
		return
	}
	ip, err := netip.ParseAddr(trial.Status.Pod.IP)
	if err != nil {
		return // no operator writes that
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if sent := w.all[runtime]; sent != nil && sent.trial == trial.UID {
		return
	}
	if w.all == nil {
		w.all = map[types.NamespacedName]*warmup{}
	}
	sent := &warmup{trial: trial.UID}
	w.all[runtime] = sent
	addr := netip.AddrPortFrom(ip, uint16(lifecycle.AgentPort(trial))) //nolint:gosec // the schema bounds it
	timeout := lifecycle.WarmupTimeout / time.Duration(max(trial.Status.TimeScale, 1))
	ctrl.LoggerFrom(ctx).Info("Sends the warm-up hook", "session", trial.Name, "path", path)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		failure, err := prober.PostHook(ctx, addr, path)
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil { // ours: it is sent again
			ctrl.LoggerFrom(ctx).Error(err, "Could not send the warm-up hook", "session", trial.Name)
			sent.trial = ""
			return
		}
		sent.result = lifecycle.Warmup{Over: true, Failure: failure}
	}()
}
