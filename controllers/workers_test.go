package controllers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestReconcilesEnd(t *testing.T) {
	for _, opts := range []ctrl.Options{ManagerOptions(), NodeManagerOptions("a")} {
		NewWithT(t).Expect(opts.Controller.ReconciliationTimeout).To(Equal(reconcileMost))
	}
}

func TestAWorkerThatHangsIsNotHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		release := map[string]chan struct{}{"slow": make(chan struct{}), "hung": make(chan struct{})}
		w := &workers{controller: "agentsession", since: map[reconcile.Request]time.Time{}}
		w.Reconciler = reconcile.Func(func(_ context.Context, req reconcile.Request) (ctrl.Result, error) {
			<-release[req.Name]
			return ctrl.Result{}, nil
		})
		for name := range release {
			go w.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "team", Name: name}})
		}
		synctest.Wait()
		time.Sleep(hungAfter)
		g.Expect(w.check(nil)).To(Succeed())
		close(release["slow"])
		time.Sleep(time.Second)
		g.Expect(w.check(nil)).To(MatchError(
			"controller agentsession: the reconcile of team/hung has run for 2m1s, and should have ended after 1m0s"))
		close(release["hung"])
		synctest.Wait()
		g.Expect(w.check(nil)).To(Succeed())
	})
}
