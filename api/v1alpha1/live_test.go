package v1alpha1_test

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestDefaultsAndWhatMayChange(t *testing.T) {
	g := NewWithT(t)
	object := manifest(t, "template: {metadata: {labels: {team: a}, annotations: {note: b}}, spec: {containers: [{name: agent, image: agent}]}}")
	g.Expect(api.Create(t.Context(), object)).To(Succeed())
	session := &v1alpha1.AgentSession{}
	read := func() {
		g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(object), session)).To(Succeed())
	}
	read()
	g.Expect(session.Spec.Ping).To(Equal(v1alpha1.PingSpec{
		Port: 8080, Check: v1alpha1.PingCheckAuto, Answers: v1alpha1.PingAnswersTolerant, IdleClock: v1alpha1.IdleClockAgentCore, FailureThreshold: 15,
	}))
	g.Expect(session.Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
	g.Expect(session.Spec.LifecycleConfiguration).To(BeNil(), "AWS's table is resolved by the operator")
	g.Expect(session.Spec.StuckDetection).To(BeNil())
	g.Expect(session.Spec.TTLSecondsAfterStopped).To(BeNil(), "a stopped session is kept")
	g.Expect(session.Spec.Template.Labels).To(HaveKeyWithValue("team", "a"))
	g.Expect(session.Spec.Template.Annotations).To(HaveKeyWithValue("note", "b"))

	ttl := int32(60)
	session.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
	session.Spec.Template.Spec.Containers[0].Image = "agent:2"
	session.Spec.Ping.IdleClock, session.Spec.Ping.FailureThreshold = v1alpha1.IdleClockObserved, 30
	session.Spec.DesiredState, session.Spec.Activation = v1alpha1.DesiredStopped, 2
	session.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 60, Action: v1alpha1.StuckStop}
	session.Spec.TTLSecondsAfterStopped = &ttl
	g.Expect(api.Update(t.Context(), session)).To(Succeed())
	session.Spec.Activation = 3
	session.Spec.LifecycleConfiguration, session.Spec.StuckDetection, session.Spec.TTLSecondsAfterStopped = nil, nil, nil
	g.Expect(api.Update(t.Context(), session)).To(Succeed())
}

func TestSessionsAreFoundByTheirID(t *testing.T) {
	g := NewWithT(t)
	id := "the-session-that-is-looked-for-by-id"
	for _, spec := range []string{"runtimeSessionId: " + id, "runtimeSessionId: not-" + id} {
		object := manifest(t, spec)
		g.Expect(api.Create(t.Context(), object)).To(Succeed())
		t.Cleanup(func() { _ = api.Delete(context.Background(), object) })
	}
	var list v1alpha1.AgentSessionList
	g.Expect(api.List(t.Context(), &list, client.MatchingFields{"spec.runtimeSessionId": id})).To(Succeed())
	g.Expect(list.Items).To(HaveLen(1))
}

func TestStatusIsWrittenApart(t *testing.T) {
	g := NewWithT(t)
	object := manifest(t, "stuckDetection: {afterSeconds: 60}")
	g.Expect(api.Create(t.Context(), object)).To(Succeed())
	session := &v1alpha1.AgentSession{}
	g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(object), session)).To(Succeed())
	g.Expect(session.Spec.StuckDetection.Action).To(Equal(v1alpha1.StuckReport), "the default")

	session.Status.State, session.Status.PingStatus = v1alpha1.StateActive, "HealthyBusy"
	session.Spec.DesiredState = v1alpha1.DesiredStopped
	g.Expect(api.Status().Update(t.Context(), session)).To(Succeed())
	g.Expect(session.Status.State).To(Equal(v1alpha1.StateActive))
	g.Expect(session.Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning), "a write of the status leaves the spec alone")

	session.Status.State = v1alpha1.StateStopped
	g.Expect(api.Update(t.Context(), session)).To(Succeed())
	g.Expect(session.Status.State).To(Equal(v1alpha1.StateActive), "a write of the spec leaves the status alone")
}
