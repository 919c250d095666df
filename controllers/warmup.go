package controllers

import (
	"context"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// warm sends the hook to a trial's agent, unless it was sent. An agent that is not reached
// now is tried again.
func (r *AgentRuntimeReconciler) warm(ctx context.Context, runtime types.NamespacedName, trial *v1alpha1.AgentSession, path string) {
	if addr, ok := r.trialAddress(ctx, trial); ok {
		r.warmups.send(ctx, runtime, trial, addr, path)
	}
}

// trialAddress is where a trial's agent is, by its pod. Others may be able to write the session's
// status, as with agentAddress.
func (r *AgentRuntimeReconciler) trialAddress(ctx context.Context, trial *v1alpha1.AgentSession) (netip.AddrPort, bool) {
	if lifecycle.PhaseOf(trial) != lifecycle.PhaseReady {
		return netip.AddrPort{}, false
	}
	var pod corev1.Pod
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: trial.Namespace, Name: trial.Status.Pod.Name}, &pod)
	if err != nil || pod.UID != trial.Status.Pod.UID || !metav1.IsControlledBy(&pod, trial) {
		return netip.AddrPort{}, false
	}
	ip, err := agentAddress(&pod, r.AllowLoopback)
	return netip.AddrPortFrom(ip, uint16(lifecycle.AgentPort(trial))), err == nil //nolint:gosec // the schema bounds it
}

// send sends the hook in the background, unless it was sent.
func (w *warmups) send(ctx context.Context, runtime types.NamespacedName, trial *v1alpha1.AgentSession, addr netip.AddrPort, path string) {
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
