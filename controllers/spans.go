package controllers

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/traces"
)

// The attributes of a compute's span, beside those that it shares with the gateway's.
const (
	attributeSession    = attribute.Key("agentsession.session.name")
	attributeActivation = attribute.Key("agentsession.activation")
	attributeVersion    = attribute.Key("agentsession.runtime.version")
	attributeReason     = attribute.Key("agentsession.stop.reason")
	attributeWait       = attribute.Key("agentsession.wait.reason") // of the condition Ready, or empty
	attributeActive     = attribute.Key("agentsession.active.seconds")
	attributeIdle       = attribute.Key("agentsession.idle.seconds")
	attributeMilliCPU   = attribute.Key("agentsession.reserved.milli_cpu")
	attributeMemoryMiB  = attribute.Key("agentsession.reserved.memory_mib")
)

// usual are the ends of a compute that are no fault of anybody.
var usual = map[v1alpha1.StopReason]bool{
	v1alpha1.StopIdleTimeout: true, v1alpha1.StopMaxLifetime: true, v1alpha1.StopRequested: true,
}

// traceLife makes the span of a compute whose stop was just reported, with its true times:
// of what status and its pod say, so that nothing is kept in memory while it lives.
func (r *AgentSessionReconciler) traceLife(session *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, o outcome) {
	created := createdAt(old, o.pod)
	if r.Traces == nil || created.IsZero() || !endsLife(old, &session.Status) {
		return
	}
	tracer := r.Traces.Tracer("github.com/agentsession/agentsession/controllers")
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithTimestamp(created), trace.WithAttributes(describe(session, old, o.pod)...)}
	if call := traces.CallOf(session, session.Status.LastTermination.Activation); call.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: call}))
	}
	end, reason := latestOf(created, o.now), session.Status.LastTermination.Reason
	ctx, life := tracer.Start(context.Background(), "Compute", options...)
	for _, s := range stagesOf(o.pod, created, healthyAt(old, o), end) {
		_, span := tracer.Start(ctx, s.name, trace.WithTimestamp(s.from))
		if !s.done {
			span.SetAttributes(attributeWait.String(o.facts.Compute.Wait.Reason))
			fail(span, reason)
		}
		span.End(trace.WithTimestamp(s.until))
	}
	fail(life, reason)
	life.End(trace.WithTimestamp(end))
}

// fail marks a span of a compute whose end somebody may be at fault for. The message of
// the stop is not in it: it may have an agent's words.
func fail(span trace.Span, reason v1alpha1.StopReason) {
	if !usual[reason] {
		span.SetStatus(codes.Error, string(reason))
	}
}

// endsLife tells whether a report is the first that says that an activation is over.
func endsLife(old, next *v1alpha1.AgentSessionStatus) bool {
	return next.LastTermination != nil && (old.LastTermination == nil || old.LastTermination.Activation != next.LastTermination.Activation)
}

// createdAt is when the compute was created; zero if there was none.
func createdAt(old *v1alpha1.AgentSessionStatus, pod *corev1.Pod) time.Time {
	switch {
	case old.Pod != nil:
		return old.Pod.CreatedAt.Time
	case pod != nil:
		return pod.CreationTimestamp.Time
	}
	return time.Time{}
}

// healthyAt is when the agent answered its first ping; zero if it never did.
func healthyAt(old *v1alpha1.AgentSessionStatus, o outcome) time.Time {
	if old.HealthyAt != nil {
		return old.HealthyAt.Time
	}
	return o.facts.Pulse.HealthyAt
}

// describe says what a compute was, and how it spent its time.
func describe(session *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus, pod *corev1.Pod) []attribute.KeyValue {
	status := &session.Status
	last := status.LastTermination
	all := []attribute.KeyValue{
		traces.Namespace.String(session.Namespace), attributeSession.String(session.Name), traces.SessionID.String(status.RuntimeSessionID),
		attributeActivation.Int(int(last.Activation)), attributeReason.String(string(last.Reason)),
	}
	if ref := session.Spec.RuntimeRef; ref != nil && status.Runtime != nil {
		all = append(all, traces.Runtime.String(ref.Name), attributeVersion.Int64(status.Runtime.AgentRuntimeVersion))
	}
	switch {
	case status.Usage != nil:
		all = append(all, attributeActive.Int64(status.Usage.ActiveSeconds), attributeIdle.Int64(status.Usage.IdleSeconds))
	case len(status.History) > 0 && status.History[0].Activation == last.Activation:
		all = append(all, attributeActive.Int64(status.History[0].ActiveSeconds), attributeIdle.Int64(status.History[0].IdleSeconds))
	}
	if old.Reserved != nil {
		all = append(all, attributeMilliCPU.Int64(old.Reserved.MilliCPU), attributeMemoryMiB.Int64(old.Reserved.MemoryMiB))
	}
	if old.Pod != nil {
		return append(all, semconv.K8SPodName(old.Pod.Name), semconv.K8SPodUID(string(old.Pod.UID)), semconv.K8SNodeName(nodeOf(old, pod)))
	}
	return append(all, semconv.K8SPodName(pod.Name), semconv.K8SPodUID(string(pod.UID)), semconv.K8SNodeName(pod.Spec.NodeName))
}

// nodeOf is where a compute was; empty if it had no node, or nobody knows.
func nodeOf(old *v1alpha1.AgentSessionStatus, pod *corev1.Pod) string {
	if pod != nil {
		return pod.Spec.NodeName
	}
	return old.Pod.Node
}

// stage is a part of a start.
type stage struct {
	name        string
	from, until time.Time
	done        bool
}

// stagesOf are what a compute waited for until its agent was healthy, or until its end. A
// pod that is gone does not tell any more. Kubernetes tells how long an image took in
// Events alone, so it is a part of StartAgent.
func stagesOf(pod *corev1.Pod, created, healthy, end time.Time) (stages []stage) {
	reached := []stage{{name: "Start", until: healthy}}
	if pod != nil {
		reached = []stage{
			{name: "Schedule", until: becameTrue(pod, corev1.PodScheduled)},
			{name: "PrepareSandbox", until: becameTrue(pod, corev1.PodReadyToStartContainers)}, // volumes, network
			{name: "RunInitContainers", until: initializedAt(pod)},
			{name: "StartAgent", until: ranAt(pod)},
			{name: "AwaitFirstPing", until: healthy},
		}
	}
	from, pending := created, ""
	for _, s := range reached {
		if s.until.IsZero() {
			if pending == "" && (s.name != "RunInitContainers" || len(pod.Spec.InitContainers) > 0) {
				pending = s.name
			}
			continue
		}
		// Nodes' clocks may be off, and a moment may be one that a node told anew.
		s.from, s.until, s.done = from, latestOf(from, earliest(s.until, end)), true
		stages, from, pending = append(stages, s), s.until, ""
	}
	if pending != "" && healthy.IsZero() {
		stages = append(stages, stage{name: pending, from: from, until: end})
	}
	return stages
}

func becameTrue(pod *corev1.Pod, kind corev1.PodConditionType) time.Time {
	if c := condition(pod, kind); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// initializedAt is when a pod's init containers had done their part; zero if it has none.
func initializedAt(pod *corev1.Pod) time.Time {
	if len(pod.Spec.InitContainers) == 0 {
		return time.Time{}
	}
	return becameTrue(pod, corev1.PodInitialized)
}

// ranAt is when the agent's container started, also of one that has ended; zero if it
// never did.
func ranAt(pod *corev1.Pod) time.Time {
	status := agentStatus(pod)
	if status == nil || status.State.Terminated == nil || notStarted[status.State.Terminated.Reason] {
		return startedAt(pod)
	}
	return status.State.Terminated.StartedAt.Time
}

func latestOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
