package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

func TestTracesGoWhereTheEnvironmentSays(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	off, err := traces(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(off).To(BeNil())

	got := make(chan *collector.ExportTraceServiceRequest, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		sent := &collector.ExportTraceServiceRequest{}
		if err == nil && r.URL.Path == "/v1/traces" && proto.Unmarshal(raw, sent) == nil {
			got <- sent
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	spans, err := traces(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	_, span := spans.Tracer("test").Start(t.Context(), "a call")
	span.End()
	flush(spans)
	var sent *collector.ExportTraceServiceRequest
	g.Expect(got).To(Receive(&sent))
	g.Expect(sent.ResourceSpans[0].Resource.String()).To(ContainSubstring("agentsession-gateway"))
	g.Expect(sent.ResourceSpans[0].ScopeSpans[0].Spans[0].Name).To(Equal("a call"))

	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	_, err = traces(t.Context())
	g.Expect(err).To(MatchError(ContainSubstring(`$OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": it must be http/protobuf`)))
}
