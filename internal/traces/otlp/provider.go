// Package otlp sends the spans of operator and gateway to a collector.
package otlp

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	ctrl "sigs.k8s.io/controller-runtime"
)

// flushTimeout is how long the last spans are waited for at the end.
const flushTimeout = 5 * time.Second

// Provider makes spans of a service and sends them to where the standard variables of
// OpenTelemetry say, over HTTP. Without OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT it is nil.
func Provider(ctx context.Context, service string) (*trace.TracerProvider, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("$%s is %q: it must be http/protobuf", name, p)
		}
	}
	// A collector that is away is no news of each second.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { ctrl.Log.V(1).Info("Tracing", "error", err.Error()) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(service)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe %s for traces: %w", service, err)
	}
	return trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about)), nil
}

// Flush sends the last spans.
func Flush(spans *trace.TracerProvider) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := spans.Shutdown(ctx); err != nil {
		ctrl.Log.Error(err, "Could not send the last spans")
	}
}
