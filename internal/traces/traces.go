// Package traces is what the spans of gateway and operator have in common: what their
// attributes are called, and how a session says which call started its compute.
//
//	a call's span ─> Mark ─> annotation of the AgentSession ─> CallOf ─> link of a compute's span
package traces

import (
	"context"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The attributes that say which session a span is about.
const (
	Namespace = attribute.Key("agentsession.namespace")
	Runtime   = attribute.Key("agentsession.runtime")
	SessionID = attribute.Key("agentsession.session.id")
)

// AnnotationStartedBy is on an AgentSession that a call with a trace has made or woken:
// the number of the activation, a slash, and the call's traceparent as the W3C has it.
const AnnotationStartedBy = "runtime.agentsession.dev/started-by"

const (
	traceparent = "traceparent"
	// lenTraceparent is the length of one of version 00.
	lenTraceparent = 55
)

// Mark notes at a session that is to be written which call starts an activation, if that
// call's trace is sampled.
func Mark(ctx context.Context, session metav1.Object, activation int32) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	annotations := session.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationStartedBy] = strconv.Itoa(int(activation)) + "/" + carrier[traceparent]
	session.SetAnnotations(annotations)
}

// CallOf is the call that started an activation of a session. It is not valid if nobody
// noted one, or something else: whoever may edit a session may write what he likes.
func CallOf(session metav1.Object, activation int32) trace.SpanContext {
	parent, of := strings.CutPrefix(session.GetAnnotations()[AnnotationStartedBy], strconv.Itoa(int(activation))+"/")
	if !of || len(parent) != lenTraceparent || !strings.HasPrefix(parent, "00-") {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: parent})
	return trace.SpanContextFromContext(ctx)
}
