package gateway

import (
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/agentsession/agentsession/internal/traces"
)

// The attributes of the gateway's spans, beside those that they share with the operator's
// and those of OpenTelemetry's conventions for HTTP.
const (
	attributeRequest = attribute.Key("agentsession.request.id")
	attributeStarted = attribute.Key("agentsession.session.started")
	attributeError   = attribute.Key("error.type")
)

// tracing is nothing without a provider: callers' own headers go on to agents then.
type tracing struct {
	provider trace.TracerProvider // nil: off
	tracer   trace.Tracer
}

func newTracing(provider trace.TracerProvider) tracing {
	t := tracing{provider: provider, tracer: noop.Tracer{}}
	if provider != nil {
		t.tracer = provider.Tracer("github.com/agentsession/agentsession/internal/gateway")
	}
	return t
}

// options of otelhttp: the caller's trace goes on, in the headers of the W3C.
func (t tracing) options() []otelhttp.Option {
	return []otelhttp.Option{
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	}
}

// serving makes a span of each call.
func (t tracing) serving(h http.Handler) http.Handler {
	if t.provider == nil {
		return h
	}
	return otelhttp.NewHandler(h, "call", t.options()...)
}

// asking makes a span of each request to an agent, and tells the agent of it.
func (t tracing) asking(next http.RoundTripper) http.RoundTripper {
	if t.provider == nil {
		return next
	}
	return otelhttp.NewTransport(next, t.options()...)
}

// describeTo says of a call's span what it was.
func (c *call) describeTo(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	span.SetName(string(c.op))
	span.SetAttributes(attributeRequest.String(c.id))
	if c.runtime != nil {
		span.SetAttributes(traces.Namespace.String(c.runtime.Namespace), traces.Runtime.String(c.runtime.Name), traces.SessionID.String(c.session))
	}
	if err != nil {
		span.SetAttributes(attributeError.String(typeOf(err)))
	}
}
