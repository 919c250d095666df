package main

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // so that golden files are the same everywhere
	os.Exit(m.Run())
}

// noon is when every story of the tests begins.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// at is a moment of the tests.
func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// scene is what is observed at a moment; without a name time only passes.
type scene struct {
	second  int
	session string
	status  v1alpha1.AgentSessionStatus
}

// status makes a status; changes come last.
func status(state v1alpha1.SessionState, ping string, activation int32, changes ...func(*v1alpha1.AgentSessionStatus)) v1alpha1.AgentSessionStatus {
	s := v1alpha1.AgentSessionStatus{
		State: state, PingStatus: ping, Activation: activation, TimeScale: 12,
		LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60, MaxLifetime: 480},
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func ended(reason v1alpha1.StopReason, due, gone int) func(*v1alpha1.AgentSessionStatus) {
	return func(s *v1alpha1.AgentSessionStatus) {
		s.LastTermination = &v1alpha1.Termination{Reason: reason, Message: "because", Activation: 1, DueAt: &metav1.Time{Time: at(due)}}
		if gone > 0 {
			s.LastTermination.At = &metav1.Time{Time: at(gone)}
		}
	}
}

func nextStop(reason v1alpha1.StopReason, second int) func(*v1alpha1.AgentSessionStatus) {
	return func(s *v1alpha1.AgentSessionStatus) {
		s.NextStop = &v1alpha1.NextStop{At: metav1.Time{Time: at(second)}, Reason: reason}
	}
}

func stuck(s *v1alpha1.AgentSessionStatus) {
	s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStuck, Status: metav1.ConditionTrue}}
}

const (
	starting = v1alpha1.StateStarting
	active   = v1alpha1.StateActive
	idle     = v1alpha1.StateIdle
	stopping = v1alpha1.StateStopping
	gone     = v1alpha1.StateStopped
)

// lives are the scenes of a demo in which all goes well.
var lives = []scene{
	{0, "research", v1alpha1.AgentSessionStatus{}},
	{1, "research", status(starting, "", 1, nextStop(v1alpha1.StopStartTimeout, 11))},
	{1, "forgetful", status(starting, "", 1, nextStop(v1alpha1.StopStartTimeout, 11))},
	{1, "echo", status(starting, "", 1, nextStop(v1alpha1.StopStartTimeout, 11))},
	{3, "research", status(active, "HealthyBusy", 1, nextStop(v1alpha1.StopMaxLifetime, 51))},
	{3, "forgetful", status(active, "HealthyBusy", 1, nextStop(v1alpha1.StopMaxLifetime, 41))},
	{4, "echo", status(idle, "Healthy", 1, nextStop(v1alpha1.StopIdleTimeout, 79))},
	{second: 7},
	{7, "echo", status(stopping, "Healthy", 1, ended(v1alpha1.StopRequested, 7, 0))},
	{8, "echo", status(gone, "", 1, ended(v1alpha1.StopRequested, 7, 8))},
	{second: 9},
	{second: 11},
	{12, "echo", status(starting, "", 2, ended(v1alpha1.StopRequested, 7, 8))},
	{14, "echo", status(idle, "Healthy", 2, ended(v1alpha1.StopRequested, 7, 8), nextStop(v1alpha1.StopIdleTimeout, 89))},
	{18, "forgetful", status(active, "HealthyBusy", 1, nextStop(v1alpha1.StopMaxLifetime, 41), stuck)},
	{23, "research", status(idle, "Healthy", 1, nextStop(v1alpha1.StopIdleTimeout, 28))},
	{28, "research", status(stopping, "Healthy", 1, ended(v1alpha1.StopIdleTimeout, 28, 0))},
	{29, "research", status(gone, "", 1, ended(v1alpha1.StopIdleTimeout, 28, 29))},
	{41, "forgetful", status(stopping, "HealthyBusy", 1, ended(v1alpha1.StopMaxLifetime, 41, 0))},
	{46, "forgetful", status(gone, "", 1, ended(v1alpha1.StopMaxLifetime, 41, 46))},
}

// told plays scenes and returns the story, the ticks and the patches.
func told(scenes []scene) (s *story, ticks []tick, patches []string) {
	s = newStory(12)
	for _, scene := range scenes {
		if scene.session == "" {
			ticks = append(ticks, s.pass(at(scene.second))...)
		} else {
			session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: scene.session}, Status: scene.status}
			if scene.session == "forgetful" {
				session.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 180}
			}
			ticks = append(ticks, s.observe(session, at(scene.second))...)
		}
		for _, o := range s.orders(at(scene.second)) {
			patches = append(patches, o.session+" "+o.patch)
		}
	}
	return s, ticks, patches
}

func TestStoryComesTrue(t *testing.T) {
	g := NewWithT(t)
	s, ticks, patches := told(lives)
	g.Expect(s.wrong()).To(BeFalse())
	g.Expect(s.over()).To(BeTrue())
	g.Expect(ticks).To(Equal([]tick{
		{"research", "Active: HealthyBusy with its task"},
		{"forgetful", "Active: HealthyBusy with its task"},
		{"echo", "Idle: healthy, without work"},
		{"echo", "Stopped/StopRequested, by hand"},
		{"forgetful", "still Active past its idle timeout"},
		{"echo", "woken: healthy as activation 2"},
		{"forgetful", "Stuck=True while Active"},
		{"research", "Idle: the task is done"},
		{"research", "Stopped/IdleTimeout"},
		{"forgetful", "Stopped/MaxLifetime"},
	}))
	g.Expect(patches).To(Equal([]string{
		`echo {"spec":{"desiredState":"Stopped"}}`,
		`echo {"spec":{"desiredState":"Running","activation":2}}`,
	}), "each command once, a while after its step")
}

func TestStoryIsNotOver(t *testing.T) {
	g := NewWithT(t)
	for n := range lives {
		s, _, _ := told(lives[:n])
		g.Expect(s.over()).To(BeFalse(), "after %d scenes", n)
		g.Expect(s.wrong()).To(BeFalse(), "after %d scenes", n)
	}
}

func TestStoryIsViolated(t *testing.T) {
	busy := status(active, "HealthyBusy", 1)
	for name, row := range map[string]struct {
		scenes []scene
		want   string
	}{
		"wrong reason, already while it stops": {
			[]scene{{1, "research", busy}, {2, "research", status(idle, "Healthy", 1)}, {3, "research", status(stopping, "Healthy", 1, ended(v1alpha1.StopMaxLifetime, 3, 0))}},
			"expected: Stopped/IdleTimeout; saw Stopping/MaxLifetime (because)",
		},
		"idle before active": {
			[]scene{{1, "research", status(idle, "Healthy", 1)}},
			`"Idle: the task is done" came before "Active: HealthyBusy with its task"`,
		},
		"never started": {
			[]scene{{1, "echo", status(stopping, "", 1, ended(v1alpha1.StopStartTimeout, 1, 0))}},
			"expected: Idle: healthy, without work; saw Stopping/StartTimeout (because)",
		},
		"stopped without having been idle": {
			[]scene{{1, "research", busy}, {2, "research", status(gone, "", 1, ended(v1alpha1.StopIdleTimeout, 2, 2))}},
			"saw Stopped/IdleTimeout (because) before this had happened: Idle: the task is done",
		},
		"a busy session that is idle": {
			[]scene{{1, "forgetful", busy}, {2, "forgetful", status(idle, "Healthy", 1)}},
			"it was Idle, which it never should be; expected: still Active past its idle timeout",
		},
		"the end without Stuck": {
			[]scene{{1, "forgetful", busy}, {second: 10}, {41, "forgetful", status(gone, "", 1, ended(v1alpha1.StopMaxLifetime, 41, 41))}},
			"saw Stopped/MaxLifetime (because) before this had happened: Stuck=True while Active",
		},
		"woken and stopped again": {
			[]scene{
				{1, "echo", status(idle, "Healthy", 1)},
				{5, "echo", status(gone, "", 1, ended(v1alpha1.StopRequested, 5, 5))},
				{9, "echo", status(stopping, "", 2, func(s *v1alpha1.AgentSessionStatus) {
					s.LastTermination = &v1alpha1.Termination{Reason: v1alpha1.StopStartTimeout, Message: "too slow", Activation: 2}
				})},
			},
			"expected: woken: healthy as activation 2; saw Stopping/StartTimeout (too slow)",
		},
		"another operator": {
			[]scene{{1, "echo", status(starting, "", 1, func(s *v1alpha1.AgentSessionStatus) { s.TimeScale = 0 })}},
			"the operator runs with --time-scale=1, not 12: somebody else set it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s, _, _ := told(row.scenes)
			g.Expect(s.wrong()).To(BeTrue())
			g.Expect(s.plot(row.scenes[0].session).wrong).To(Equal(row.want))
		})
	}
}

func TestStoryLosesASession(t *testing.T) {
	g := NewWithT(t)
	s, _, _ := told(lives[:6])
	s.vanished("research")
	s.vanished("somebody-elses")
	g.Expect(s.plot("research").wrong).To(Equal("somebody deleted the session"))
}

// What came first although the demo slept: Stuck is seen before time was seen
// to pass.
func TestStoryWakesUpLate(t *testing.T) {
	g := NewWithT(t)
	s, ticks, _ := told([]scene{{1, "forgetful", status(active, "HealthyBusy", 1)}, {20, "forgetful", status(active, "HealthyBusy", 1, stuck)}})
	g.Expect(s.wrong()).To(BeFalse())
	g.Expect(ticks).To(HaveLen(3))
}
