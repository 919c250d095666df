package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
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

// TestAProberThatHangsIsNotHealthy: it hangs in what is told of a ping that finds no place.
func TestAProberThatHangsIsNotHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		release, hangs := make(chan struct{}), make(chan struct{}, 1)
		asks := prober.New(prober.Options{
			MaxInFlight: 1,
			Pinger: prober.PingFunc(func(ctx context.Context, _ prober.Target) lifecycle.Answer {
				<-ctx.Done()
				return lifecycle.Answer{Failure: lifecycle.FailureTimeout}
			}),
			Observe: func(e prober.Event) {
				if e.Missed > 0 {
					select {
					case hangs <- struct{}{}:
					default:
					}
					<-release
				}
			},
		})
		check := askingGoesOn(asks)
		time.Sleep(time.Hour)
		g.Expect(check(nil)).To(Succeed(), "another leads")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- asks.Start(ctx, func(types.NamespacedName) {}) }()
		time.Sleep(time.Hour)
		g.Expect(check(nil)).To(Succeed(), "there is nobody to ask")

		for i := range 200 {
			asks.Track(prober.Target{
				Key: types.NamespacedName{Namespace: "team", Name: fmt.Sprint(i)}, UID: types.UID(fmt.Sprint(i)), Addr: netip.MustParseAddrPort("10.0.0.7:8080"),
			}, lifecycle.Pulse{})
		}
		<-hangs
		time.Sleep(hungAfter)
		g.Expect(check(nil)).To(Succeed())
		time.Sleep(time.Second)
		g.Expect(check(nil)).To(MatchError("the prober has not looked for 2m1s which agents are to be asked, and should several times in each period"))
		close(release)
		time.Sleep(time.Second)
		g.Expect(check(nil)).To(Succeed())
		stop()
		g.Expect(<-ended).To(Succeed())
		time.Sleep(time.Hour)
		g.Expect(check(nil)).To(Succeed())
	})
}
