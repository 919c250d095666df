package lifecycle_test

import (
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestPhaseOf(t *testing.T) {
	pod := &v1alpha1.PodStatus{IP: "10.0.0.1"}
	stopped := func(reason v1alpha1.StopReason) *v1alpha1.Termination { return &v1alpha1.Termination{Reason: reason} }
	past := func(activation int32, from *metav1.Time) []v1alpha1.PastActivation {
		return []v1alpha1.PastActivation{{Activation: activation, From: from}}
	}
	for name, row := range map[string]struct {
		spec   v1alpha1.AgentSessionSpec
		status v1alpha1.AgentSessionStatus
		gone   bool
		want   lifecycle.Phase
		// dropped: it is stopping, and may be woken
		dropped bool
		// missed: it idled out, or was lost
		missed bool
	}{
		"new":                       {want: lifecycle.PhaseStarting},
		"new, not wanted":           {spec: v1alpha1.AgentSessionSpec{DesiredState: "Stopped"}, want: lifecycle.PhaseStopped},
		"starting":                  {status: v1alpha1.AgentSessionStatus{State: "Starting", Activation: 1}, want: lifecycle.PhaseStarting},
		"idle":                      {status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, want: lifecycle.PhaseReady},
		"active":                    {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Active", Activation: 2, Pod: pod}, want: lifecycle.PhaseReady},
		"idle, its address refused": {status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: &v1alpha1.PodStatus{}}, want: lifecycle.PhaseStarting},
		"idle, to be stopped":       {spec: v1alpha1.AgentSessionSpec{DesiredState: "Stopped"}, status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, want: lifecycle.PhaseStopping},
		"idle, to be replaced":      {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, want: lifecycle.PhaseStopping},
		"idle, to be deleted":       {status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, gone: true, want: lifecycle.PhaseStopping},
		"stopping":                  {status: v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod, LastTermination: stopped("IdleTimeout")}, want: lifecycle.PhaseStopping, dropped: true, missed: true},
		"stopping, woken":           {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod, LastTermination: stopped("IdleTimeout")}, want: lifecycle.PhaseStarting},
		"stopping by hand":          {spec: v1alpha1.AgentSessionSpec{DesiredState: "Stopped", Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod, LastTermination: stopped("StopRequested")}, want: lifecycle.PhaseStopping, dropped: true},
		"stopping, taken back":      {status: v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod, LastTermination: stopped("StopRequested")}, want: lifecycle.PhaseStarting},
		"stopping, to be deleted":   {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod, LastTermination: stopped("StopRequested")}, gone: true, want: lifecycle.PhaseStopping},
		"stopped":                   {status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("IdleTimeout")}, want: lifecycle.PhaseStopped, missed: true},
		"stopping, lost":            {status: v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod, LastTermination: stopped("ComputeLost")}, want: lifecycle.PhaseStopping, dropped: true, missed: true},
		"lost":                      {status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("ComputeLost")}, want: lifecycle.PhaseStopped, missed: true},
		"lost, woken":               {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("ComputeLost")}, want: lifecycle.PhaseStarting},
		"stopped, woken":            {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1}, want: lifecycle.PhaseStarting},
		"stopped by hand":           {spec: v1alpha1.AgentSessionSpec{DesiredState: "Stopped"}, status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("StopRequested")}, want: lifecycle.PhaseStopped},
		"stopped, taken back":       {spec: v1alpha1.AgentSessionSpec{DesiredState: "Running"}, status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("StopRequested")}, want: lifecycle.PhaseStarting},
		"given up, taken back":      {status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 2, LastTermination: stopped("StartFailed"), History: past(2, nil)}, want: lifecycle.PhaseStarting},
		"given up, another before":  {status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 2, LastTermination: stopped("StartFailed"), History: past(1, nil)}, want: lifecycle.PhaseStopped},
		"its start failed":          {status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 2, LastTermination: stopped("StartFailed"), History: past(2, new(metav1.Now()))}, want: lifecycle.PhaseStopped},
	} {
		t.Run(name, func(t *testing.T) {
			session := &v1alpha1.AgentSession{Spec: row.spec, Status: row.status}
			if row.gone {
				session.DeletionTimestamp = new(metav1.Now())
			}
			NewWithT(t).Expect(lifecycle.PhaseOf(session)).To(Equal(row.want))
			NewWithT(t).Expect(lifecycle.Dropped(session)).To(Equal(row.dropped))
			NewWithT(t).Expect(lifecycle.Missed(session)).To(Equal(row.missed))
		})
	}
}

func TestHasCompute(t *testing.T) {
	ready := func(reason string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason}}
	}
	pod := &v1alpha1.PodStatus{Name: "a-1"}
	for name, row := range map[string]struct {
		status v1alpha1.AgentSessionStatus
		want   bool
	}{
		"new":                          {v1alpha1.AgentSessionStatus{}, true},
		"starting":                     {v1alpha1.AgentSessionStatus{State: "Starting", Activation: 1, Conditions: ready("Starting")}, true},
		"its pod is refused":           {v1alpha1.AgentSessionStatus{State: "Starting", Activation: 1, Conditions: ready("PodRefused")}, false},
		"its runtime is not there":     {v1alpha1.AgentSessionStatus{State: "Starting", Activation: 1, Conditions: ready("RuntimeNotFound")}, false},
		"its pod's address is refused": {v1alpha1.AgentSessionStatus{State: "Starting", Activation: 1, Pod: pod, Conditions: ready("AddressRefused")}, true},
		"idle":                         {v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, true},
		"stopping":                     {v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod}, true},
		"stopped":                      {v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(lifecycle.HasCompute(&v1alpha1.AgentSession{Status: row.status})).To(Equal(row.want))
		})
	}
}

// TestWhatHinders: what refuses a start, and what may pass.
func TestWhatHinders(t *testing.T) {
	for reason, want := range map[string][2]bool{
		"PodRefused": {true, true}, "PodNameTaken": {true, true}, "StorageRefused": {true, true}, "StorageNameTaken": {true, true}, "AddressRefused": {true, true}, "RuntimeNotFound": {true, true},
		"Unreadable": {true, true}, "PodNotMade": {false, true}, "Starting": {false, false}, "NoGoodAnswer": {false, false},
	} {
		NewWithT(t).Expect([2]bool{lifecycle.Refuses(reason), lifecycle.Hinders(reason)}).To(Equal(want), reason)
	}
}

func TestWakeAsksForTheNextActivation(t *testing.T) {
	for last, want := range map[int32]int32{-1: 1, 0: 1, 7: 8} {
		session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{Activation: last}}
		NewWithT(t).Expect(lifecycle.Wake(session)).To(Equal(want), "after %d", last)
	}
}

func TestEnded(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*v1alpha1.AgentSession)
		want   v1alpha1.StopReason
	}{
		"idle":                {func(*v1alpha1.AgentSession) {}, ""},
		"active":              {func(s *v1alpha1.AgentSession) { s.Status.State = "Active" }, ""},
		"its address refused": {func(s *v1alpha1.AgentSession) { s.Status.Pod.IP = "" }, ""},
		"stopped before":      {func(s *v1alpha1.AgentSession) { stopFor(s, "Idle", "IdleTimeout") }, ""},
		"to be stopped":       {func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = "Stopped" }, "StopRequested"},
		"to be replaced":      {func(s *v1alpha1.AgentSession) { s.Spec.Activation = 3 }, "StopRequested"},
		"to be deleted":       {func(s *v1alpha1.AgentSession) { s.DeletionTimestamp = new(metav1.Now()) }, "StopRequested"},
		"stopping":            {func(s *v1alpha1.AgentSession) { stopFor(s, "Stopping", "MaxLifetime") }, "MaxLifetime"},
		"stopping, and to be": {func(s *v1alpha1.AgentSession) { stopFor(s, "Stopping", "Unhealthy"); s.Spec.DesiredState = "Stopped" }, "Unhealthy"},
		"taken away":          {func(s *v1alpha1.AgentSession) { stopFor(s, "Stopping", "ComputeLost") }, ""},
		"taken away, and deleted": {func(s *v1alpha1.AgentSession) {
			stopFor(s, "Stopping", "ComputeLost")
			s.DeletionTimestamp = new(metav1.Now())
		}, "StopRequested"},
		"taken away, and gone":           {func(s *v1alpha1.AgentSession) { stopFor(s, "Stopped", "ComputeLost"); s.Status.Pod = nil }, "ComputeLost"},
		"stopped":                        {func(s *v1alpha1.AgentSession) { stopFor(s, "Stopped", "IdleTimeout"); s.Status.Pod = nil }, "IdleTimeout"},
		"woken":                          {func(s *v1alpha1.AgentSession) { stopFor(s, "Idle", "AgentExited"); s.Status.Pod.UID = "other" }, "AgentExited"},
		"taken away, and woken":          {func(s *v1alpha1.AgentSession) { stopFor(s, "Idle", "ComputeLost"); s.Status.Pod.UID = "other" }, ""},
		"taken away, woken, and refused": {func(s *v1alpha1.AgentSession) { stopFor(s, "Starting", "ComputeLost"); s.Status.Pod = nil }, ""},
		"taken away, woken, and stopped again": {func(s *v1alpha1.AgentSession) {
			stopFor(s, "Stopping", "ComputeLost")
			s.Status.LastTermination.Activation, s.Status.Pod.UID = 3, "other"
		}, "ComputeLost"},
		"another's status, as nobody writes it": {func(s *v1alpha1.AgentSession) { s.Status.Pod = nil }, "ComputeLost"},
	} {
		t.Run(name, func(t *testing.T) {
			session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{
				State: v1alpha1.StateIdle, Activation: 2, Pod: &v1alpha1.PodStatus{UID: "ours", IP: "10.0.0.1"},
			}}
			row.change(session)
			NewWithT(t).Expect(lifecycle.Ended(session, 2, &v1alpha1.PodStatus{UID: "ours"})).To(Equal(row.want))
		})
	}
}

func stopFor(s *v1alpha1.AgentSession, state v1alpha1.SessionState, reason v1alpha1.StopReason) {
	s.Status.State, s.Status.LastTermination = state, &v1alpha1.Termination{Reason: reason, Activation: 2}
}

func TestFree(t *testing.T) {
	now := time.Unix(1795423194, 0)
	healthy := v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: &v1alpha1.PodStatus{IP: "10.0.0.1"}, PingStatus: "Healthy"}
	for name, row := range map[string]struct {
		change func(*v1alpha1.AgentSession)
		want   bool
	}{
		"idle":                           {func(*v1alpha1.AgentSession) {}, true},
		"active, as was reported before": {func(s *v1alpha1.AgentSession) { s.Status.State = "Active" }, true},
		"busy":                           {func(s *v1alpha1.AgentSession) { s.Status.PingStatus = "HealthyBusy" }, false},
		"to be stopped":                  {func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = "Stopped" }, false},
		"in use": {func(s *v1alpha1.AgentSession) {
			s.Status.Traffic = &v1alpha1.Traffic{InUseUntil: new(metav1.NewMicroTime(now.Add(1)))}
		}, false},
		"in use until now": {func(s *v1alpha1.AgentSession) {
			s.Status.Traffic = &v1alpha1.Traffic{InUseUntil: new(metav1.NewMicroTime(now))}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			session := &v1alpha1.AgentSession{Status: healthy}
			row.change(session)
			NewWithT(t).Expect(lifecycle.Free(session, now)).To(Equal(row.want))
		})
	}
}

func TestWhatWasUsedAloneIsGivenBackAtOnce(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	seen := lifecycle.Seen{Idle: time.Hour, Lease: 450 * time.Second}
	use := lifecycle.Use{EndedAt: now}
	g.Expect(use.WriteAt(seen)).To(BeTemporally(">", now))
	use.Alone = true
	g.Expect(use.WriteAt(seen)).To(Equal(now))
	use.Held = now.Add(time.Minute)
	seen.Traffic, use.Held = use.Record(now, lifecycle.Seen{Traffic: lifecycle.Traffic{InUseUntil: use.Held}})
	g.Expect(seen.InUse(now)).To(BeFalse())
	g.Expect(use.Held).To(BeZero())
	g.Expect(use.WriteAt(seen)).To(BeZero())
}

func TestSeenOf(t *testing.T) {
	session := func(threshold int32, change ...func(*v1alpha1.AgentSession)) *v1alpha1.AgentSession {
		s := &v1alpha1.AgentSession{Spec: v1alpha1.AgentSessionSpec{Ping: v1alpha1.PingSpec{FailureThreshold: threshold}}}
		for _, f := range change {
			f(s)
		}
		return s
	}
	started := func(threshold int32) func(*v1alpha1.AgentSession) {
		return func(s *v1alpha1.AgentSession) {
			s.Spec.RuntimeRef = &v1alpha1.RuntimeRef{Name: "a"}
			s.Status.Runtime = &v1alpha1.ActivationRuntime{Ping: v1alpha1.RuntimePing{FailureThreshold: threshold}}
		}
	}
	scaled := func(scale int32) func(*v1alpha1.AgentSession) {
		return func(s *v1alpha1.AgentSession) { s.Status.TimeScale = scale }
	}
	for name, row := range map[string]struct {
		session               *v1alpha1.AgentSession
		idle, lease, patience time.Duration
	}{
		"as AgentCore":                {session(0), 15 * time.Minute, 450 * time.Second, 30 * time.Second},
		"a threshold of its own":      {session(4), 15 * time.Minute, 450 * time.Second, 8 * time.Second},
		"that of the version it runs": {session(15, started(4)), 15 * time.Minute, 450 * time.Second, 8 * time.Second},
		"of a long idle timeout": {session(0, func(s *v1alpha1.AgentSession) {
			s.Status.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 28800}
		}), 8 * time.Hour, 450 * time.Second, 30 * time.Second},
		"of a long one at a time scale": {session(15, scaled(10), func(s *v1alpha1.AgentSession) {
			s.Status.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 28800}
		}), 48 * time.Minute, 45 * time.Second, 3 * time.Second},
		"at a time scale":                {session(15, scaled(10)), 90 * time.Second, 45 * time.Second, 3 * time.Second},
		"at one that shortens no period": {session(15, scaled(100)), 9 * time.Second, 4500 * time.Millisecond, 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(lifecycle.SeenOf(row.session)).To(Equal(lifecycle.Seen{Idle: row.idle, Lease: row.lease, Patience: row.patience}))
		})
	}
}

// A lease comes when an agent that is silent for as long as the calls last would be
// half way to its end, at the latest.
// TestWhenTheIdleStopComes: by what the operator has said, and by what gateways have
// written since. A quarter of the timeout before, a call is written first.
func TestWhenTheIdleStopComes(t *testing.T) {
	now := time.Unix(1795423194, 0)
	micro := func(t time.Time) *metav1.MicroTime { return new(metav1.NewMicroTime(t)) }
	for name, row := range map[string]struct {
		next    *v1alpha1.NextStop
		traffic v1alpha1.Traffic
		want    time.Time
	}{
		"none is foreseen":   {nil, v1alpha1.Traffic{LastInvocationAt: micro(now)}, zero},
		"another is":         {&v1alpha1.NextStop{At: metav1.NewTime(now), Reason: "MaxLifetime"}, v1alpha1.Traffic{LastInvocationAt: micro(now)}, zero},
		"as it was foreseen": {&v1alpha1.NextStop{At: metav1.NewTime(now), Reason: "IdleTimeout"}, v1alpha1.Traffic{LastInvocationAt: micro(now.Add(-time.Hour))}, now},
		"used since":         {&v1alpha1.NextStop{At: metav1.NewTime(now), Reason: "IdleTimeout"}, v1alpha1.Traffic{LastInvocationAt: micro(now)}, now.Add(15 * time.Minute)},
		"in use":             {&v1alpha1.NextStop{At: metav1.NewTime(now), Reason: "IdleTimeout"}, v1alpha1.Traffic{InUseUntil: micro(now.Add(time.Minute))}, now.Add(16 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			seen := lifecycle.SeenOf(&v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{NextStop: row.next, Traffic: &row.traffic}})
			g.Expect(seen.IdleAt).To(Equal(row.want))
			claims := row.want.Add(-225 * time.Second)
			ended, lasts := lifecycle.Use{EndedAt: now.Add(10 * time.Hour)}, lifecycle.Use{InFlight: 1, BeganAt: now.Add(10 * time.Hour)}
			if row.want.IsZero() {
				g.Expect(seen.MustClaim(now.Add(24 * time.Hour))).To(BeFalse())
				claims = ended.EndedAt.Add(337500 * time.Millisecond) // three eighths of the timeout
			} else {
				g.Expect(seen.MustClaim(claims)).To(BeFalse())
				g.Expect(seen.MustClaim(claims.Add(1))).To(BeTrue())
				g.Expect(lasts.WriteAt(seen)).To(Equal(claims))
			}
			g.Expect(ended.WriteAt(seen)).To(Equal(claims))
		})
	}
}

func TestWhenALeaseIsTaken(t *testing.T) {
	const s = time.Second
	now := time.Unix(1795423194, 0)
	lasts := func(u lifecycle.Use, at time.Time, d time.Duration, heard bool, seen lifecycle.Seen) lifecycle.Use {
		u = u.Begin(at, seen)
		if heard {
			u.HeardAt = at.Add(d)
		}
		return u.End(at.Add(d))
	}
	for name, row := range map[string]struct {
		idle, patience time.Duration
		calls          int           // that were before, one after the other,
		last, pause    time.Duration // each as long as that, with a pause after it,
		heard          bool          // and an answer
		want           time.Duration // after the first
	}{
		"a call alone":                         {idle: 900 * s, patience: 30 * s, heard: true, want: 10 * s},
		"of a short idle timeout":              {idle: 60 * s, patience: 30 * s, heard: true, want: 7500 * time.Millisecond},
		"of a low threshold":                   {idle: 900 * s, patience: 8 * s, heard: true, want: 8 * s / 3},
		"the last of many in a row":            {idle: 900 * s, patience: 30 * s, calls: 9, last: s, pause: s, heard: true, want: 10 * s},
		"after a pause that is just too short": {idle: 900 * s, patience: 30 * s, calls: 1, last: s, pause: 10 * s, heard: true, want: 10 * s},
		"after a pause in which pings pass":    {idle: 900 * s, patience: 30 * s, calls: 1, last: s, pause: 11 * s, heard: true, want: 22 * s},
		"to an agent that answers none":        {idle: 900 * s, patience: 30 * s, calls: 9, last: s, pause: s, want: 28 * s},
	} {
		t.Run(name, func(t *testing.T) {
			seen, use, at := lifecycle.Seen{Idle: row.idle, Lease: row.idle / 2, Patience: row.patience}, lifecycle.Use{}, now
			for range row.calls {
				use = lasts(use, at, row.last, row.heard, seen)
				at = at.Add(row.last + row.pause)
			}
			NewWithT(t).Expect(use.Begin(at, seen).WriteAt(seen).Sub(now)).To(Equal(row.want))
		})
	}
}

// An agent that has died goes unnoticed as long as a lease stands.
// TestALeaseIsRenewedWhenHalfOfItIsOver: or at once, if it has been over for longer.
func TestALeaseIsRenewedWhenHalfOfItIsOver(t *testing.T) {
	now := time.Unix(1795423194, 0)
	for left, want := range map[time.Duration]time.Duration{450 * time.Second: 225 * time.Second, 226 * time.Second: time.Second, 0: -225 * time.Second} {
		seen := lifecycle.Seen{Idle: 900 * time.Second, Lease: 450 * time.Second, Patience: 30 * time.Second, Traffic: lifecycle.Traffic{InUseUntil: now.Add(left)}}
		use := lifecycle.Use{InFlight: 1, BeganAt: now.Add(-time.Hour)}
		NewWithT(t).Expect(use.WriteAt(seen).Sub(now)).To(Equal(want), "%s are left", left)
	}
}

func TestALeaseIsGivenBackSoonIfThatIsPaidFor(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1795423194, 0)
	seen := lifecycle.Seen{Idle: 900 * time.Second, Lease: 450 * time.Second, Patience: 30 * time.Second}
	var last time.Time
	began, soon := now, 0
	for n := range 40 { // calls of 20 s, a minute apart
		use := lifecycle.Use{PaidAt: last}.Begin(now, seen)
		now = use.WriteAt(seen)
		seen.Traffic, use.Held = use.Record(now, seen)
		use = use.Pay(now, seen)
		now = now.Add(10 * time.Second)
		use.HeardAt = now
		use = use.End(now)
		at := use.WriteAt(seen)
		if at.Equal(now.Add(10 * time.Second)) {
			soon++
		} else {
			g.Expect(n).NotTo(BeZero(), "the first is paid for")
			g.Expect(at).To(Equal(use.Held))
		}
		now = at
		seen.Traffic, use.Held = use.Record(now, seen)
		g.Expect(seen.Traffic.InUseUntil).To(BeZero())
		last = use.Pay(now, seen).PaidAt
		now = now.Add(40 * time.Second)
	}
	g.Expect(soon).To(BeNumerically(">", 4), "what was saved is used")
	g.Expect(80).To(BeNumerically("<=", 4*now.Sub(began)/seen.Idle+3), "writes")
}

func TestALeaseIsGivenBackByWhoeverHoldsIt(t *testing.T) {
	now, earlier := time.Unix(1795423194, 0), time.Unix(1795423184, 0)
	mine, longer := now.Add(time.Minute), now.Add(time.Hour)
	seen := func(ended, until time.Time) lifecycle.Seen {
		return lifecycle.Seen{Idle: 10 * time.Minute, Lease: 5 * time.Minute, Patience: 30 * time.Second, Traffic: lifecycle.Traffic{EndedAt: ended, InUseUntil: until}}
	}
	for name, row := range map[string]struct {
		use         lifecycle.Use
		seen        lifecycle.Seen
		until, held time.Time
		due         bool
	}{
		"taken":                     {lifecycle.Use{InFlight: 1, BeganAt: now}, seen(zero, zero), now.Add(5 * time.Minute), now.Add(5 * time.Minute), true},
		"renewed":                   {lifecycle.Use{InFlight: 1, BeganAt: earlier, Held: mine}, seen(zero, mine), now.Add(5 * time.Minute), now.Add(5 * time.Minute), true},
		"that of another is longer": {lifecycle.Use{InFlight: 1, BeganAt: now}, seen(zero, longer), longer, zero, true},
		"given back":                {lifecycle.Use{EndedAt: now, Held: mine}, seen(earlier, mine), zero, zero, true},
		"given back after a later call of another's": {lifecycle.Use{EndedAt: earlier, Held: mine}, seen(now, mine), zero, zero, true},
		"given back late":        {lifecycle.Use{EndedAt: now.Add(-21 * time.Second), Held: mine}, seen(earlier, mine), now, zero, true},
		"given back at its end":  {lifecycle.Use{EndedAt: now.Add(-time.Minute), Held: now}, seen(earlier, now), zero, zero, true},
		"none was taken":         {lifecycle.Use{EndedAt: now}, seen(earlier, zero), zero, zero, true},
		"that of another stands": {lifecycle.Use{EndedAt: now, Held: mine}, seen(earlier, longer), longer, zero, true},
		"nothing to tell":        {lifecycle.Use{EndedAt: earlier}, seen(now, longer), longer, zero, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			next, held := row.use.Record(now, row.seen)
			g.Expect(next.InUseUntil).To(Equal(row.until))
			g.Expect(held).To(Equal(row.held))
			g.Expect(!row.use.WriteAt(row.seen).IsZero()).To(Equal(row.due))
		})
	}
}

// Two gateways and the operator share a session through what is written, for hours
// of random calls. Nobody sees what the others know but by it. In calm hours what a
// gateway writes by itself comes late; in wild ones it comes soon, but gateways see
// late what was written, the agent works, with stamps that are no use, the idle
// timeout changes, and gateways die in mid-call. Half of the agents answer no ping as
// long as a call is in flight.
func TestNoCallIsStoppedUnder(t *testing.T) {
	for seed := range uint64(100) {
		s := &shared{t: t, random: rand.New(rand.NewPCG(seed, 0)), wild: seed%2 == 1, now: created}
		if seed%4 >= 2 {
			s.blocks = []lifecycle.Failure{lifecycle.FailureTimeout, lifecycle.FailureConnect}[seed/4%2]
		}
		s.idle = time.Duration(60+s.random.IntN(1740)) * time.Second
		s.gates = []*gate{{shared: s}, {shared: s}}
		s.live()
		s.play()
		if s.calls == 0 {
			t.Fatal("no calls")
		}
		// Four writes an idle timeout, or 15 minutes, from each gateway, three at first that are paid
		// for later, and the claims at new lives.
		if most := float64(s.now.Sub(created))/float64(min(s.idle, 15*time.Minute))*8 + float64(6+2*s.lives); !s.wild && float64(s.writes) > most {
			t.Fatalf("seed %d: %d writes, %.0f are allowed", seed, s.writes, most)
		}
	}
}

// leaseOf is how long a lease may last.
func leaseOf(idle time.Duration) time.Duration { return min(idle/2, 450*time.Second) }

// shared is what stands in the API server, the agent, and the operator.
type shared struct {
	t      *testing.T
	random *rand.Rand
	wild   bool
	blocks lifecycle.Failure // how the agent fails pings in a call; empty if it answers
	now    time.Time
	gates  []*gate

	idle      time.Duration // as the spec says
	facts     lifecycle.Facts
	published lifecycle.Seen // status
	agent     agent
	inFlight  int
	ended     time.Time // really
	used      bool      // since this compute began

	calls, lives, writes int
}

// live begins the life of a compute.
func (s *shared) live() {
	s.lives++
	s.agent = newAgent(s.now, honest)
	if s.wild {
		s.agent.stamps = []stamps{honest, frozen, missing, future}[s.random.IntN(4)]
	}
	s.facts = living(s.now, func(f *lifecycle.Facts) {
		f.Compute.CreatedAt, f.Announced, f.Pulse = s.now, zero, lifecycle.Pulse{}.Observe(s.agent.answer(s.now), s.now, period)
	})
	s.published, s.used = lifecycle.Seen{Idle: s.idle, Lease: leaseOf(s.idle), Patience: lifecycle.DefaultFailureThreshold * period}, false
	s.operate()
}

func (s *shared) play() {
	for end, asked := s.now.Add(6*time.Hour), s.now; s.now.Before(end); {
		s.now = s.now.Add(time.Duration(1+s.random.IntN(1000)) * time.Millisecond)
		if s.now.Sub(asked) >= period {
			asked = s.now
			s.agent.fails = ""
			if s.inFlight > 0 {
				s.agent.fails = s.blocks
			}
			s.facts.Pulse = s.facts.Pulse.Observe(s.agent.answer(s.now), s.now, period)
		}
		if s.wild && s.random.IntN(500) == 0 {
			s.upset()
		}
		g := s.gates[s.random.IntN(2)]
		atTheLast := !s.published.IdleAt.IsZero() && s.published.IdleAt.Sub(s.now) < 3*time.Second && s.random.IntN(2) == 0
		switch n := s.random.IntN(3 * int(s.idle/time.Second) / (1 + s.random.IntN(20))); {
		case n == 0 || atTheLast:
			g.begin()
		case n <= 4: // more often than they begin, so that it is idle now and then
			g.end()
		}
		s.operate()
		late := time.Second
		switch {
		case !s.wild && s.blocks == "":
			late = leaseOf(s.idle) / 4
		case !s.wild: // what is left of the threshold
			late = min(leaseOf(s.idle)/4, 9*time.Second)
		}
		for _, g := range s.gates {
			g.look(asked)
			g.write(time.Duration(s.random.Int64N(int64(late))))
		}
	}
}

// upset changes what gateways cannot foresee.
func (s *shared) upset() {
	switch s.random.IntN(5) {
	case 0, 1, 2:
		s.agent.work(!s.agent.busy, s.now)
	case 3:
		s.idle = time.Duration(60+s.random.IntN(1740)) * time.Second
	case 4:
		s.gates[s.random.IntN(2)].die()
	}
}

// operate decides by the rules, reports, stops the compute when it is due, and
// starts the next.
func (s *shared) operate() {
	f := &s.facts
	f.Policy.Idle, f.Policy.Max = s.idle, 1000*time.Hour
	f.Traffic = s.published.Traffic
	v := lifecycle.Decide(s.now, *f)
	if v.State == v1alpha1.StateStopping {
		s.stopped(v.Stop)
		return
	}
	f.State, f.Announced = v.State, announcedIn(v)
	s.published.Idle, s.published.Lease, s.published.IdleAt = s.idle, leaseOf(s.idle), f.Announced
	if !f.Announced.IsZero() {
		s.published.IdleAt = later(f.Announced, later(f.Traffic.EndedAt, f.Traffic.InUseUntil).Add(s.idle))
	}
}

func (s *shared) stopped(stop lifecycle.Stop) {
	switch early := s.ended.Add(s.idle).Sub(s.now); {
	case stop.Reason != v1alpha1.StopIdleTimeout:
		s.t.Fatalf("stopped: %+v", stop)
	case s.inFlight > 0:
		s.t.Fatalf("stopped with %d calls in flight", s.inFlight)
	case s.used && early > 0:
		s.t.Fatalf("stopped %s before the last call had ended for %s", early, s.idle)
	}
	s.live()
}

// gate is a gateway.
type gate struct {
	*shared
	use    lifecycle.Use
	seen   lifecycle.Seen
	seenAt time.Time
}

// look has it see what was written, a while after that in wild hours: with a write
// that is late by a second, and the second between two steps, that is the notice.
func (g *gate) look(asked time.Time) {
	if !g.wild || g.now.Sub(g.seenAt) > 7*time.Second || asked.Equal(g.now) && g.random.IntN(8) == 0 {
		g.seen, g.seenAt = g.published, g.now
	}
}

// record writes what is known, on the version that was read.
func (g *gate) record(u lifecycle.Use) {
	g.writes++
	g.published.Traffic, g.use.Held = u.Record(g.now, g.published)
	g.use = g.use.Pay(g.now, g.published)
	g.facts.Traffic = g.published.Traffic
	g.seen, g.seenAt = g.published, g.now
}

func (g *gate) begin() {
	g.calls++
	g.used = true
	if g.seen.MustClaim(g.now) {
		g.record(lifecycle.Use{InFlight: 1, BeganAt: g.now, Held: g.use.Held})
	}
	g.use = g.use.Begin(g.now, g.seen)
	g.inFlight++
}

func (g *gate) end() {
	if g.use.InFlight == 0 {
		return
	}
	g.ended = g.now
	g.inFlight--
	g.use.HeardAt = g.now
	g.use = g.use.End(g.now)
}

// die cuts the gateway's calls off, and another gateway knows nothing of them.
func (g *gate) die() {
	g.inFlight -= g.use.InFlight
	g.use = lifecycle.Use{}
}

func (g *gate) write(late time.Duration) {
	at := g.use.WriteAt(g.seen)
	if at.IsZero() {
		return
	}
	if g.use.InFlight > 0 && g.use.BeganAt.After(at) {
		at = g.use.BeganAt // it was not known before
	}
	if !g.now.Before(at.Add(late)) {
		g.record(g.use)
	}
}
