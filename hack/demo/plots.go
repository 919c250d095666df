package main

import (
	"fmt"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// rule is why a step happens.
type rule struct {
	name string
	// seconds that the session sets for it; nil if the step does not wait for them.
	seconds func(*v1alpha1.AgentSession) int32
	source  source
}

// source is where a rule is from: a page of AWS's documentation.
type source string

const (
	ownRule           source = ""
	lifecycleSettings source = "AgentCore developer guide: Configure lifecycle settings"
	longRun           source = "AgentCore developer guide: Handle asynchronous and long running agents"
	stopSession       source = "AgentCore API reference: StopRuntimeSession"
	sessions          source = "AgentCore developer guide: Use isolated sessions for agents"
)

func idleTimeout(s *v1alpha1.AgentSession) int32 {
	if c := s.Status.LifecycleConfiguration; c != nil {
		return c.IdleRuntimeSessionTimeout
	}
	return 0
}

func maxLifetime(s *v1alpha1.AgentSession) int32 {
	if c := s.Status.LifecycleConfiguration; c != nil {
		return c.MaxLifetime
	}
	return 0
}

func stuckAfter(s *v1alpha1.AgentSession) int32 {
	if d := s.Spec.StuckDetection; d != nil {
		return d.AfterSeconds
	}
	return 0
}

var (
	busyIsActive = rule{name: "HealthyBusy is active", source: longRun}
	idleByPing   = rule{name: "Healthy, nothing in flight", source: sessions}
	idleStops    = rule{"idleRuntimeSessionTimeout", idleTimeout, lifecycleSettings}
	stopByHand   = command{session: "echo", patch: func(*v1alpha1.AgentSessionStatus) string {
		return `{"spec":{"desiredState":"Stopped"}}`
	}}
	wakeByHand = command{session: "echo", patch: func(status *v1alpha1.AgentSessionStatus) string {
		return fmt.Sprintf(`{"spec":{"desiredState":"Running","activation":%d}}`, status.Activation+1)
	}}
)

// newStory is the story of examples/research.yaml, forgetful.yaml and echo.yaml.
func newStory(scale int) *story {
	return &story{scale: int32(scale), plots: []*plot{
		{session: "research", steps: []step{
			{says: "Active: HealthyBusy with its task", happened: in(v1alpha1.StateActive, contract.HealthyBusy, 1), rule: busyIsActive},
			{says: "Idle: the task is done", happened: in(v1alpha1.StateIdle, contract.Healthy, 1), rule: idleByPing},
			{says: "Stopped/IdleTimeout", happened: stopped(v1alpha1.StopIdleTimeout), ends: v1alpha1.StopIdleTimeout, rule: idleStops},
		}},
		{session: "forgetful", never: v1alpha1.StateIdle, steps: []step{
			{says: "Active: HealthyBusy with its task", happened: in(v1alpha1.StateActive, contract.HealthyBusy, 1), rule: busyIsActive},
			{says: "still Active past its idle timeout", happened: busyBeyondIdle, rule: rule{name: "HealthyBusy is kept alive", source: longRun}},
			{says: "Stuck=True while Active", happened: stuckWhileActive, rule: rule{"stuckDetection", stuckAfter, ownRule}},
			{says: "Stopped/MaxLifetime", happened: stopped(v1alpha1.StopMaxLifetime), ends: v1alpha1.StopMaxLifetime, rule: rule{"maxLifetime", maxLifetime, lifecycleSettings}},
		}},
		{session: "echo", steps: []step{
			{says: "Idle: healthy, without work", happened: in(v1alpha1.StateIdle, contract.Healthy, 1), command: &stopByHand, rule: idleByPing},
			{says: "Stopped/StopRequested, by hand", happened: stopped(v1alpha1.StopRequested), ends: v1alpha1.StopRequested, command: &wakeByHand, rule: rule{name: "spec.desiredState", source: stopSession}},
			{says: "woken: healthy as activation 2", happened: in(v1alpha1.StateIdle, contract.Healthy, 2), rule: rule{name: "spec.activation", source: sessions}},
		}},
	}}
}
