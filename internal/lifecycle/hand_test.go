package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// handed is a session as somebody may find it.
func handed(state v1alpha1.SessionState, desired v1alpha1.DesiredState, last v1alpha1.StopReason, requested, activation int32) *v1alpha1.AgentSession {
	s := &v1alpha1.AgentSession{}
	s.Spec.DesiredState, s.Spec.Activation = desired, requested
	s.Status.State, s.Status.Activation = state, activation
	if last != "" {
		at := metav1.NewTime(time.Unix(1795423194, 0))
		s.Status.LastTermination = &v1alpha1.Termination{Reason: last, Activation: activation, DueAt: &at}
	}
	if lifecycle.Living(state) {
		s.Status.Pod = &v1alpha1.PodStatus{Name: "s-1", IP: "10.0.0.1"}
	}
	return s
}

func TestByHand(t *testing.T) {
	const (
		run, stop = v1alpha1.DesiredRunning, v1alpha1.DesiredStopped
		idleOut   = v1alpha1.StopIdleTimeout
		asked     = v1alpha1.StopRequested
	)
	type hand = lifecycle.Hand
	for name, row := range map[string]struct {
		session    *v1alpha1.AgentSession
		stop, wake hand
	}{
		"new":                 {handed("", run, "", 0, 0), hand{stop, 0, ""}, hand{run, 0, "it is starting already"}},
		"new, not to run":     {handed("", stop, "", 0, 0), hand{stop, 0, "it was asked to stop already"}, hand{run, 0, ""}},
		"never ran":           {handed("Stopped", stop, "", 0, 0), hand{stop, 0, "it has no compute"}, hand{run, 0, ""}},
		"starts":              {handed("Starting", run, "", 0, 1), hand{stop, 0, ""}, hand{run, 0, "it is starting already"}},
		"works":               {handed("Active", run, "", 0, 1), hand{stop, 0, ""}, hand{run, 0, "it is Active"}},
		"is idle":             {handed("Idle", run, idleOut, 2, 2), hand{stop, 2, ""}, hand{run, 2, "it is Idle"}},
		"is to be replaced":   {handed("Idle", run, idleOut, 3, 2), hand{stop, 3, ""}, hand{run, 3, "it was asked to go on as activation 3 already"}},
		"is to stop":          {handed("Idle", stop, "", 0, 1), hand{stop, 0, "it was asked to stop already"}, hand{run, 0, ""}},
		"idles out":           {handed("Stopping", run, idleOut, 0, 1), hand{stop, 0, "it is stopping already"}, hand{run, 2, ""}},
		"idled out":           {handed("Stopped", run, idleOut, 0, 1), hand{stop, 0, "it has no compute"}, hand{run, 2, ""}},
		"and was woken":       {handed("Stopped", run, idleOut, 2, 1), hand{stop, 2, ""}, hand{run, 2, "it is starting already"}},
		"was stopped":         {handed("Stopped", stop, asked, 0, 1), hand{stop, 0, "it has no compute"}, hand{run, 0, ""}},
		"and may start":       {handed("Stopped", run, asked, 0, 1), hand{stop, 0, ""}, hand{run, 0, "it is starting already"}},
		"is being stopped":    {handed("Stopping", stop, asked, 0, 1), hand{stop, 0, "it was asked to stop already"}, hand{run, 0, ""}},
		"idled out, not to":   {handed("Stopped", stop, idleOut, 0, 1), hand{stop, 0, "it has no compute"}, hand{run, 2, ""}},
		"had a higher number": {handed("Stopped", stop, idleOut, 7, 1), hand{stop, 7, "it has no compute"}, hand{run, 7, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(lifecycle.StopByHand(row.session)).To(Equal(row.stop))
			g.Expect(lifecycle.WakeByHand(row.session)).To(Equal(row.wake))
			row.session.DeletionTimestamp = new(metav1.Now())
			g.Expect(lifecycle.StopByHand(row.session).Not).To(Equal("it is being deleted"))
			g.Expect(lifecycle.WakeByHand(row.session).Not).To(Equal("it is being deleted"))
		})
	}
}

// TestByHandItIsDone: what is written is what the rules go by, and no more is written
// for it: a session that has stopped starts, and one that lives stops.
func TestByHandItIsDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewWithT(t)
		states := []v1alpha1.SessionState{"", "Starting", "Active", "Idle", "Stopping", "Stopped"}
		reasons := []v1alpha1.StopReason{v1alpha1.StopIdleTimeout, v1alpha1.StopRequested, v1alpha1.StopStartFailed}
		state := rapid.SampledFrom(states).Draw(t, "state")
		last, activation := v1alpha1.StopReason(""), int32(0)
		if state != "" {
			activation = rapid.Int32Range(1, 5).Draw(t, "activation")
		}
		if state == "Stopping" || state == "Stopped" {
			last = rapid.SampledFrom(reasons).Draw(t, "last")
		}
		s := handed(state, rapid.SampledFrom([]v1alpha1.DesiredState{"Running", "Stopped"}).Draw(t, "desired"), last, rapid.Int32Range(0, 6).Draw(t, "requested"), activation)
		decide := func(h lifecycle.Hand) lifecycle.Verdict {
			if h.Not == "" {
				g.Expect(h.Activation).To(BeNumerically(">=", s.Spec.Activation), "it can only grow")
				s.Spec.DesiredState, s.Spec.Activation = h.DesiredState, h.Activation
			}
			f := lifecycle.Facts{
				Policy: lifecycle.PolicyOf(&s.Spec, 1), State: state, Activation: activation, Desired: s.Spec.DesiredState,
				Requested: s.Spec.Activation, Created: lifecycle.Living(state), LastStop: lifecycle.Stop{Reason: last},
			}
			if f.Created {
				f.Compute = lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: time.Unix(1795423194, 0)}
			}
			return lifecycle.Decide(time.Unix(1795423200, 0), f)
		}
		if h := lifecycle.WakeByHand(s); rapid.Bool().Draw(t, "wake") {
			v := decide(h)
			if h.Not == "" && !lifecycle.Living(state) {
				g.Expect(v.Action).To(Equal(lifecycle.ActStart))
			}
			g.Expect(lifecycle.WakeByHand(s).Not).NotTo(BeEmpty(), "once is enough")
			return
		}
		h := lifecycle.StopByHand(s)
		v := decide(h)
		g.Expect(lifecycle.StopByHand(s).Not).NotTo(BeEmpty(), "once is enough")
		g.Expect(v.Action).NotTo(Equal(lifecycle.ActStart))
		if h.Not == "" && lifecycle.Living(state) {
			g.Expect(v.Stop.Reason).To(Equal(v1alpha1.StopRequested))
		}
	})
}
