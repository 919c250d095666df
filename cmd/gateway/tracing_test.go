package main

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/agentsession/agentsession/internal/roots"
	"github.com/agentsession/agentsession/internal/traces/otlp"
)

func TestTracesGoWhereTheEnvironmentSays(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	off, err := otlp.Provider(t.Context(), "agentsession-gateway")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(off).To(BeNil())

	got := make(spansGot, 1)
	server := httptest.NewServer(got)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	sendSpan(t)
	var sent *collector.ExportTraceServiceRequest
	g.Expect(got).To(Receive(&sent))
	g.Expect(sent.ResourceSpans[0].Resource.String()).To(ContainSubstring("agentsession-gateway"))
	g.Expect(sent.ResourceSpans[0].ScopeSpans[0].Spans[0].Name).To(Equal("a call"))

	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	_, err = otlp.Provider(t.Context(), "agentsession-gateway")
	g.Expect(err).To(MatchError(ContainSubstring(`$OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": it must be http/protobuf`)))
}

// A process reads the authorities once, so each case has one of its own.
func TestTracesGoToCollectorsBehindTLS(t *testing.T) {
	const child = "IS_THE_GATEWAY"
	if os.Getenv(child) != "" {
		NewWithT(t).Expect(roots.Trust()).To(Succeed())
		sendSpan(t)
		return
	}
	got := make(spansGot, 1)
	server := httptest.NewTLSServer(got)
	t.Cleanup(server.Close)
	trusted := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	NewWithT(t).Expect(os.WriteFile(filepath.Join(trusted, "private.crt"), authority, 0o600)).To(Succeed())
	for name, row := range map[string]struct {
		authorities string
		arrive      int
	}{
		"whose authority the cluster gave": {trusted, 1},
		"of an authority nobody knows":     {t.TempDir(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			gateway := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTracesGoToCollectorsBehindTLS$")
			gateway.Env = append(os.Environ(), child+"=yes", "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL,
				"SSL_CERT_FILE=", "SSL_CERT_DIR="+row.authorities, "GODEBUG=x509usefallbackroots=1") // as in an image that has none
			out, err := gateway.CombinedOutput()
			g.Expect(err).NotTo(HaveOccurred(), string(out))
			g.Expect(got).To(HaveLen(row.arrive))
			for len(got) > 0 {
				<-got
			}
		})
	}
}

// spansGot are what a collector was sent.
type spansGot chan *collector.ExportTraceServiceRequest

func (got spansGot) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	sent := &collector.ExportTraceServiceRequest{}
	if err == nil && r.URL.Path == "/v1/traces" && proto.Unmarshal(raw, sent) == nil {
		got <- sent
	}
}

func sendSpan(t *testing.T) {
	t.Helper()
	spans, err := otlp.Provider(t.Context(), "agentsession-gateway")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	_, span := spans.Tracer("test").Start(t.Context(), "a call")
	span.End()
	otlp.Flush(spans)
}
