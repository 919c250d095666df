package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/traces"
)

// began is when the computes of these tests were created.
var began = time.Unix(1795423194, 0)

func after(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }

func becameAt(kind corev1.PodConditionType, seconds int) corev1.PodCondition {
	return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(after(seconds))}
}

func ranFrom(seconds int) corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(after(seconds))}}
}

// podAt is a pod whose agent's container is in a state.
func podAt(state corev1.ContainerState, conditions ...corev1.PodCondition) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "s-1", UID: "p", CreationTimestamp: metav1.NewTime(began)},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "agent"}}},
		Status:     corev1.PodStatus{Conditions: conditions, ContainerStatuses: []corev1.ContainerStatus{{Name: "agent", State: state}}},
	}
}

func TestStagesOf(t *testing.T) {
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}
	ended := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, StartedAt: metav1.NewTime(after(20))}}
	}
	scheduled, sandbox, initialized := becameAt(corev1.PodScheduled, 2), becameAt(corev1.PodReadyToStartContainers, 5), becameAt(corev1.PodInitialized, 9)
	withInit := func(pod *corev1.Pod) *corev1.Pod {
		pod.Spec.InitContainers = []corev1.Container{{Name: "fetch"}}
		return pod
	}
	done := func(name string, from, until int) stage { return stage{name, after(from), after(until), true} }
	stuck := func(name string, from int) stage { return stage{name, after(from), after(600), false} }
	for name, row := range map[string]struct {
		pod     *corev1.Pod
		healthy int // seconds after the creation; 0: never
		want    []stage
	}{
		"a start": {
			podAt(ranFrom(20), scheduled, sandbox, initialized), 23,
			[]stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), done("StartAgent", 5, 20), done("AwaitFirstPing", 20, 23)},
		},
		"with an init container": {
			withInit(podAt(ranFrom(20), scheduled, sandbox, initialized)), 23,
			[]stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), done("RunInitContainers", 5, 9), done("StartAgent", 9, 20), done("AwaitFirstPing", 20, 23)},
		},
		"no node":             {podAt(waiting), 0, []stage{stuck("Schedule", 0)}},
		"a volume is missing": {podAt(waiting, scheduled), 0, []stage{done("Schedule", 0, 2), stuck("PrepareSandbox", 2)}},
		"an init container that never ends": {
			withInit(podAt(waiting, scheduled, sandbox)), 0, []stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), stuck("RunInitContainers", 5)},
		},
		"an image that cannot be had": {
			podAt(waiting, scheduled, sandbox, initialized), 0, []stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), stuck("StartAgent", 5)},
		},
		"an agent that never answers": {
			podAt(ranFrom(20), scheduled, sandbox, initialized), 0,
			[]stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), done("StartAgent", 5, 20), stuck("AwaitFirstPing", 20)},
		},
		"an agent that has ended": {
			podAt(ended("Error"), scheduled, initialized), 23, // its sandbox is gone too
			[]stage{done("Schedule", 0, 2), done("StartAgent", 2, 20), done("AwaitFirstPing", 20, 23)},
		},
		"a program that cannot be run": {
			podAt(ended("StartError"), scheduled, sandbox, initialized), 0, []stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), stuck("StartAgent", 5)},
		},
		"a node whose clock is behind": {
			podAt(ranFrom(-40), scheduled, sandbox), 6, []stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), done("StartAgent", 5, 5), done("AwaitFirstPing", 5, 6)},
		},
		"a node whose clock is ahead": {
			podAt(ranFrom(4000), scheduled, sandbox), 6, []stage{done("Schedule", 0, 2), done("PrepareSandbox", 2, 5), done("StartAgent", 5, 600), done("AwaitFirstPing", 600, 600)},
		},
		"a pod that is gone":                       {nil, 23, []stage{done("Start", 0, 23)}},
		"a pod that is gone and was never healthy": {nil, 0, []stage{stuck("Start", 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			var healthy time.Time
			if row.healthy > 0 {
				healthy = after(row.healthy)
			}
			NewWithT(t).Expect(stagesOf(row.pod, began, healthy, after(600))).To(Equal(row.want))
		})
	}
}

// stoppedAfter is a session whose stop is reported, what its status was, and the outcome.
func stoppedAfter(seconds int, reason v1alpha1.StopReason) (*v1alpha1.AgentSession, *v1alpha1.AgentSessionStatus, outcome) {
	old := v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateIdle, Activation: 2, RuntimeSessionID: "id", Pod: &v1alpha1.PodStatus{Name: "s-2", UID: "p", CreatedAt: metav1.NewTime(began)},
		HealthyAt: new(metav1.NewTime(after(23))), Runtime: &v1alpha1.ActivationRuntime{AgentRuntimeVersion: 7},
		Reserved:        &v1alpha1.Reserved{MilliCPU: 500, MemoryMiB: 1024},
		LastTermination: &v1alpha1.Termination{Activation: 1, Reason: v1alpha1.StopIdleTimeout},
	}
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "s", Annotations: map[string]string{
			traces.AnnotationStartedBy: "2/00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		}},
		Spec: v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "echo"}}, Status: *old.DeepCopy(),
	}
	session.Status.State = v1alpha1.StateStopping
	session.Status.Usage = &v1alpha1.Usage{ActiveSeconds: 60, IdleSeconds: 500}
	session.Status.LastTermination = &v1alpha1.Termination{Activation: 2, Reason: reason, Message: "its last words: secret"}
	pod := podAt(ranFrom(20), becameAt(corev1.PodScheduled, 2), becameAt(corev1.PodReadyToStartContainers, 5))
	return session, &old, outcome{now: after(seconds), pod: pod}
}

func recorder() (*AgentSessionReconciler, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	return &AgentSessionReconciler{Traces: sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))}, spans
}

func TestTheLifeOfAComputeIsASpan(t *testing.T) {
	g := NewWithT(t)
	r, spans := recorder()
	session, old, o := stoppedAfter(600, v1alpha1.StopIdleTimeout)
	r.traceLife(session, old, o)

	ended := spans.Ended()
	g.Expect(ended).To(HaveLen(5))
	life := ended[4]
	g.Expect(life.Name()).To(Equal("Compute"))
	g.Expect(life.StartTime()).To(Equal(began))
	g.Expect(life.EndTime()).To(Equal(after(600)))
	g.Expect(life.Parent().IsValid()).To(BeFalse())
	g.Expect(life.Status().Code).To(Equal(codes.Unset))
	g.Expect(life.Links()).To(HaveLen(1))
	g.Expect(life.Links()[0].SpanContext.TraceID().String()).To(Equal("4bf92f3577b34da6a3ce929d0e0e4736"))
	g.Expect(life.Links()[0].SpanContext.SpanID().String()).To(Equal("00f067aa0ba902b7"))
	g.Expect(life.Attributes()).To(ConsistOf(
		attribute.String("agentsession.namespace", "team"), attribute.String("agentsession.session.name", "s"), attribute.String("agentsession.session.id", "id"),
		attribute.String("agentsession.runtime", "echo"), attribute.Int64("agentsession.runtime.version", 7),
		attribute.Int("agentsession.activation", 2), attribute.String("agentsession.stop.reason", "IdleTimeout"),
		attribute.Int64("agentsession.active.seconds", 60), attribute.Int64("agentsession.idle.seconds", 500),
		attribute.Int64("agentsession.reserved.milli_cpu", 500), attribute.Int64("agentsession.reserved.memory_mib", 1024),
		attribute.String("k8s.pod.name", "s-2"), attribute.String("k8s.pod.uid", "p"), attribute.String("k8s.node.name", "n1"),
	))
	for i, name := range []string{"Schedule", "PrepareSandbox", "StartAgent", "AwaitFirstPing"} {
		g.Expect(ended[i].Name()).To(Equal(name))
		g.Expect(ended[i].Parent().SpanID()).To(Equal(life.SpanContext().SpanID()))
		g.Expect(ended[i].Status().Code).To(Equal(codes.Unset))
	}
	g.Expect(ended[2].StartTime()).To(Equal(after(5)))
	g.Expect(ended[2].EndTime()).To(Equal(after(20)))
}

func TestAStartInVainIsAnError(t *testing.T) {
	g := NewWithT(t)
	r, spans := recorder()
	session, old, o := stoppedAfter(600, v1alpha1.StopStartFailed)
	old.HealthyAt, old.State, session.Status.Usage = nil, v1alpha1.StateStarting, nil
	o.pod.Status.ContainerStatuses = nil
	o.facts.Compute.Wait = lifecycle.Wait{Reason: v1alpha1.ReasonImagePullFailed}
	r.traceLife(session, old, o)
	ended := spans.Ended()
	life, last := ended[len(ended)-1], ended[len(ended)-2]
	g.Expect(life.Status()).To(Equal(sdk.Status{Code: codes.Error, Description: "StartFailed"}), "an agent's words are not in it")
	g.Expect(last.Name()).To(Equal("StartAgent"))
	g.Expect(last.EndTime()).To(Equal(after(600)))
	g.Expect(last.Attributes()).To(ConsistOf(attribute.String("agentsession.wait.reason", "ImagePullFailed")))
	g.Expect(last.Status()).To(Equal(sdk.Status{Code: codes.Error, Description: "StartFailed"}))
}

// Each life is one span: the first report that says that it is over makes it.
func TestOneSpanForALife(t *testing.T) {
	for name, row := range map[string]struct {
		change func(session *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, o *outcome)
		spans  bool
		links  int
	}{
		"stopping": {func(*v1alpha1.AgentSession, *v1alpha1.AgentSessionStatus, *outcome) {}, true, 1},
		"stopped after that": {func(s *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, _ *outcome) {
			old.State, old.LastTermination, s.Status.State = v1alpha1.StateStopping, s.Status.LastTermination, v1alpha1.StateStopped
		}, false, 0},
		"lost at once": {func(s *v1alpha1.AgentSession, _ *v1alpha1.AgentSessionStatus, o *outcome) {
			s.Status.State, s.Status.Usage, o.pod = v1alpha1.StateStopped, nil, nil
			s.Status.History = []v1alpha1.PastActivation{{Activation: 2, ActiveSeconds: 60}}
		}, true, 1},
		"the first that ends": {func(_ *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, _ *outcome) {
			old.LastTermination = nil
		}, true, 1},
		"another report": {func(s *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, _ *outcome) {
			s.Status.LastTermination = old.LastTermination
		}, false, 0},
		"a start that was given up without a pod": {func(_ *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, o *outcome) {
			old.Pod, o.pod = nil, nil
		}, false, 0},
		"a pod that no report named": {func(_ *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, _ *outcome) { old.Pod = nil }, true, 1},
		"woken by hand": {func(s *v1alpha1.AgentSession, _ *v1alpha1.AgentSessionStatus, _ *outcome) {
			s.Annotations[traces.AnnotationStartedBy] = "1" + s.Annotations[traces.AnnotationStartedBy][1:]
		}, true, 0},
		"what a stranger wrote": {func(s *v1alpha1.AgentSession, _ *v1alpha1.AgentSessionStatus, _ *outcome) {
			s.Annotations[traces.AnnotationStartedBy] = "2/00-x"
		}, true, 0},
		"by a clock that was set back": {func(_ *v1alpha1.AgentSession, _ *v1alpha1.AgentSessionStatus, o *outcome) { o.now = after(-60) }, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r, spans := recorder()
			session, old, o := stoppedAfter(600, v1alpha1.StopIdleTimeout)
			row.change(session, old, &o)
			r.traceLife(session, old, o)
			if !row.spans {
				g.Expect(spans.Ended()).To(BeEmpty())
				return
			}
			ended := spans.Ended()
			life := ended[len(ended)-1]
			g.Expect(life.Links()).To(HaveLen(row.links))
			g.Expect(life.Attributes()).To(ContainElement(attribute.Int64("agentsession.active.seconds", 60)))
			for _, span := range ended {
				g.Expect(span.EndTime()).NotTo(BeTemporally("<", span.StartTime()))
			}
		})
	}
	session, old, o := stoppedAfter(600, v1alpha1.StopIdleTimeout)
	(&AgentSessionReconciler{}).traceLife(session, old, o) // none are made
}
