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
	for name, row := range map[string]struct {
		spec   v1alpha1.AgentSessionSpec
		status v1alpha1.AgentSessionStatus
		gone   bool
		want   lifecycle.Phase
	}{
		"new":                  {want: lifecycle.PhaseStarting},
		"new, not wanted":      {spec: v1alpha1.AgentSessionSpec{DesiredState: "Stopped"}, want: lifecycle.PhaseStopped},
		"starting":             {status: v1alpha1.AgentSessionStatus{State: "Starting", Activation: 1}, want: lifecycle.PhaseStarting},
		"idle":                 {status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, want: lifecycle.PhaseReady},
		"active":               {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Active", Activation: 2, Pod: pod}, want: lifecycle.PhaseReady},
		"idle, to be stopped":  {spec: v1alpha1.AgentSessionSpec{DesiredState: "Stopped"}, status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, want: lifecycle.PhaseStopping},
		"idle, to be replaced": {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, want: lifecycle.PhaseStopping},
		"idle, to be deleted":  {status: v1alpha1.AgentSessionStatus{State: "Idle", Activation: 1, Pod: pod}, gone: true, want: lifecycle.PhaseStopping},
		"stopping":             {status: v1alpha1.AgentSessionStatus{State: "Stopping", Activation: 1, Pod: pod}, want: lifecycle.PhaseStopping},
		"stopped":              {status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("IdleTimeout")}, want: lifecycle.PhaseStopped},
		"stopped, woken":       {spec: v1alpha1.AgentSessionSpec{Activation: 2}, status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1}, want: lifecycle.PhaseStarting},
		"stopped by hand":      {spec: v1alpha1.AgentSessionSpec{DesiredState: "Stopped"}, status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("StopRequested")}, want: lifecycle.PhaseStopped},
		"stopped, taken back":  {spec: v1alpha1.AgentSessionSpec{DesiredState: "Running"}, status: v1alpha1.AgentSessionStatus{State: "Stopped", Activation: 1, LastTermination: stopped("StopRequested")}, want: lifecycle.PhaseStarting},
	} {
		t.Run(name, func(t *testing.T) {
			session := &v1alpha1.AgentSession{Spec: row.spec, Status: row.status}
			if row.gone {
				session.DeletionTimestamp = new(metav1.Now())
			}
			NewWithT(t).Expect(lifecycle.PhaseOf(session)).To(Equal(row.want))
		})
	}
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
	seen := lifecycle.Seen{Idle: time.Hour}
	use := lifecycle.Use{EndedAt: now}
	g.Expect(use.WriteAt(seen)).To(BeTemporally(">", now))
	use.Alone = true
	g.Expect(use.WriteAt(seen)).To(Equal(now))
	seen.Traffic = use.Record(now, lifecycle.Seen{Traffic: lifecycle.Traffic{InUseUntil: now.Add(time.Minute)}}, now.Add(time.Minute))
	g.Expect(seen.InUse(now)).To(BeFalse())
	g.Expect(use.WriteAt(seen)).To(BeZero())
}

// Two gateways and the operator share a session through what is written, for a
// day of random calls. Nobody sees what the others know but by it, and what a
// gateway writes by itself comes late.
func TestNoCallIsStoppedUnder(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		idle := time.Duration(60+random.IntN(840)) * time.Second
		s := &shared{t: t, now: time.Unix(1795423194, 0), idle: idle}
		s.idleFrom = s.now
		gates := []*gate{{shared: s}, {shared: s}}
		calls := 0
		for s.now.Before(time.Unix(1795423194, 0).Add(24 * time.Hour)) {
			s.now = s.now.Add(time.Duration(1+random.IntN(3000)) * time.Millisecond)
			g := gates[random.IntN(2)]
			atTheLast := s.idleAt().Sub(s.now) < 3*time.Second && random.IntN(2) == 0
			switch n := random.IntN(int(idle/time.Second) / (1 + random.IntN(20))); {
			case n == 0 || atTheLast:
				calls++
				g.begin()
			case n <= 4: // more often than they begin, so that it is idle now and then
				g.end()
			}
			s.operate()
			for _, g := range gates {
				g.write(time.Duration(random.Int64N(int64(idle / 8))))
			}
		}
		if calls == 0 {
			t.Fatal("no calls")
		}
		// Four writes an idle timeout from each gateway, and the claims at new lives.
		if most := float64(24*time.Hour)/float64(idle)*8 + float64(2*s.lives); float64(s.writes) > most {
			t.Fatalf("seed %d: %d writes, %.0f are allowed", seed, s.writes, most)
		}
	}
}

// shared is what stands in the API server, and the operator.
type shared struct {
	t        *testing.T
	now      time.Time
	idle     time.Duration
	traffic  lifecycle.Traffic
	idleFrom time.Time // of this compute
	inFlight int
	ended    time.Time // really
	lives    int
	writes   int
}

func (s *shared) idleAt() time.Time {
	from := s.idleFrom
	for _, t := range []time.Time{s.traffic.EndedAt, s.traffic.InUseUntil} {
		if t.After(from) {
			from = t
		}
	}
	return from.Add(s.idle)
}

func (s *shared) seen() lifecycle.Seen {
	return lifecycle.Seen{Traffic: s.traffic, IdleAt: s.idleAt(), Idle: s.idle}
}

// operate stops the compute when it is due, and starts the next.
func (s *shared) operate() {
	if s.now.Before(s.idleAt()) {
		return
	}
	if s.inFlight > 0 {
		s.t.Fatalf("stopped with %d calls in flight", s.inFlight)
	}
	if early := s.ended.Add(s.idle).Sub(s.now); early > 0 {
		s.t.Fatalf("stopped %s before the last call had ended for %s", early, s.idle)
	}
	s.lives++
	s.traffic, s.idleFrom = lifecycle.Traffic{}, s.now
}

// gate is a gateway.
type gate struct {
	*shared
	use  lifecycle.Use
	held time.Time
}

func (g *gate) record(u lifecycle.Use) {
	g.writes++
	g.traffic = u.Record(g.now, g.seen(), g.held)
	g.held = g.traffic.InUseUntil
}

func (g *gate) begin() {
	if g.seen().MustClaim(g.now) {
		g.record(lifecycle.Use{InFlight: 1, BeganAt: g.now})
	}
	if g.use.InFlight++; g.use.InFlight == 1 {
		g.use.BeganAt = g.now
	}
	g.inFlight++
}

func (g *gate) end() {
	if g.use.InFlight == 0 {
		return
	}
	g.ended = g.now
	g.inFlight--
	if g.use.InFlight--; g.use.InFlight == 0 {
		g.use.EndedAt = g.now
	}
}

func (g *gate) write(late time.Duration) {
	at := g.use.WriteAt(g.seen())
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
