package gateway_test

import (
	"context"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/internal/traces"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

var _ = Describe("A trace", func() {
	It("goes from the caller through the gateway to the agent", func(ctx context.Context) {
		spans := tracetest.NewSpanRecorder()
		d := openDoor(func(o *gateway.Options) { o.Traces = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)) })
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		call := func(body ask) answer {
			GinkgoHelper()
			r := d.request(ctx, path(agent, "invocations"), session, body)
			r.Header.Set("Traceparent", traceparent)
			r.Header.Set("Tracestate", "vendor=opaque")
			r.Header.Set("Baggage", "user=alice")
			return send(r)
		}
		a := call(ask{})
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		byName := map[string]sdk.ReadOnlySpan{}
		Eventually(func() int { return len(spans.Ended()) }).Should(Equal(3))
		for _, span := range spans.Ended() {
			Expect(span.SpanContext().TraceID().String()).To(Equal(traceID))
			byName[span.Name()] = span
		}
		server, start, asked := byName["InvokeAgentRuntime"], byName["AcquireSession"], byName["HTTP POST"]
		Expect(server.Parent().SpanID().String()).To(Equal("00f067aa0ba902b7"))
		Expect(start.Parent().SpanID()).To(Equal(server.SpanContext().SpanID()))
		Expect(asked.Parent().SpanID()).To(Equal(server.SpanContext().SpanID()))
		Expect(server.Attributes()).To(ContainElements(
			attribute.String("agentsession.session.id", session), attribute.String("agentsession.runtime", agent.Name), attribute.Int("http.response.status_code", 200)))
		Expect(start.Attributes()).To(ContainElement(attribute.Bool("agentsession.session.started", true)))
		Expect(a.told.Header.Get("Traceparent")).To(Equal("00-" + traceID + "-" + asked.SpanContext().SpanID().String() + "-01"))
		Expect(a.told.Header.Get("Tracestate")).To(Equal("vendor=opaque"))
		Expect(a.told.Header.Get("Baggage")).To(Equal("user=alice"))
		startedBy := func() string { return sessionOf(ctx, agent, session).Annotations[traces.AnnotationStartedBy] }
		Expect(startedBy()).To(Equal("1/00-" + traceID + "-" + start.SpanContext().SpanID().String() + "-01"))

		By("a call that wakes the session")
		Expect(d.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		eventuallyStopped(ctx, agent, session, d)
		Expect(startedBy()).To(HavePrefix("1/"), "a stop leaves it")
		Expect(call(ask{}).code).To(Equal(http.StatusOK))
		Expect(startedBy()).To(HavePrefix("2/00-" + traceID))

		By("an agent that dies in mid-answer")
		spans.Reset()
		Expect(call(ask{Chunks: 2, Die: true}).err).To(HaveOccurred())
		Eventually(func() []string {
			var failed []string
			for _, span := range spans.Ended() {
				for _, a := range span.Attributes() {
					if a.Key == "error.type" && strings.HasPrefix(span.Name(), "Invoke") {
						failed = append(failed, a.Value.AsString())
					}
				}
			}
			return failed
		}).Should(ConsistOf("Aborted"))
	})

	It("of the caller's passes as it is while the gateway makes none", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		session := id()
		r := d.request(ctx, path(agent, "invocations"), session, ask{})
		r.Header.Set("Traceparent", traceparent)
		Expect(send(r).told.Header.Get("Traceparent")).To(Equal(traceparent))
		Expect(sessionOf(ctx, agent, session).Annotations).NotTo(HaveKey(traces.AnnotationStartedBy))
	})
})
