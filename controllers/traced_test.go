package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/traces"
)

var _ = Describe("A compute's span", func() {
	It("is made by whichever operator ends it, and leads to the call that started it", func(ctx context.Context) {
		namespace, spans := newNamespace(ctx), tracetest.NewSpanRecorder()
		traced := func(r *controllers.AgentSessionReconciler) {
			r.Traces = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
		}
		lives := func() (lives []sdk.ReadOnlySpan) {
			for _, span := range spans.Ended() {
				if span.Name() == "Compute" {
					lives = append(lives, span)
				}
			}
			return lives
		}
		first := startOperator(namespace, traced)
		session := newSession(namespace, "traced", neverIdle, func(s *v1alpha1.AgentSession) {
			s.Annotations = map[string]string{traces.AnnotationStartedBy: "1/00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
		})
		Expect(api.Create(ctx, session)).To(Succeed())
		created := eventuallyState(ctx, session, v1alpha1.StateIdle).Pod.CreatedAt
		first.end()
		Expect(spans.Ended()).To(BeEmpty(), "it lives")

		startOperator(namespace, traced)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		status := eventuallyState(ctx, session, v1alpha1.StateStopped)
		Eventually(lives).Should(HaveLen(1))
		life := lives()[0]
		Expect(life.StartTime()).To(BeTemporally("==", created.Time))
		Expect(life.EndTime()).To(And(BeTemporally(">", created.Time), BeTemporally("<", status.LastTermination.At.Add(time.Second))))
		Expect(life.Links()).To(HaveLen(1))
		Expect(life.Links()[0].SpanContext.TraceID().String()).To(Equal("4bf92f3577b34da6a3ce929d0e0e4736"))
		var waits []string
		for _, span := range spans.Ended() {
			if span.Parent().SpanID() == life.SpanContext().SpanID() {
				waits = append(waits, span.Name())
				Expect(span.StartTime()).NotTo(BeTemporally("<", life.StartTime()))
				Expect(span.EndTime()).NotTo(BeTemporally(">", life.EndTime()))
			}
		}
		Expect(waits).To(Equal([]string{"StartAgent", "AwaitFirstPing"}), "the stand-in for a node writes over the other conditions")

		By("waking it by hand, which no call did")
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredRunning })
		eventuallyState(ctx, session, v1alpha1.StateIdle)
		patchSpec(ctx, session, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, session, v1alpha1.StateStopped)
		Eventually(lives).Should(HaveLen(2))
		Expect(lives()[1].Links()).To(BeEmpty())
	})

	It("is made of a compute whose session is deleted, once", func(ctx context.Context) {
		namespace, spans := newNamespace(ctx), tracetest.NewSpanRecorder()
		startOperator(namespace, func(r *controllers.AgentSessionReconciler) {
			r.Traces = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
		})
		named := func() (names []string) {
			for _, span := range spans.Ended() {
				for _, a := range span.Attributes() {
					if a.Key == "agentsession.session.name" {
						names = append(names, a.Value.AsString())
					}
				}
			}
			return names
		}
		stopped, deleted, collected := newSession(namespace, "stopped", neverIdle), newSession(namespace, "deleted", neverIdle), newSession(namespace, "foreground", neverIdle)
		for _, session := range []*v1alpha1.AgentSession{stopped, deleted, collected} {
			Expect(api.Create(ctx, session)).To(Succeed())
			eventuallyState(ctx, session, v1alpha1.StateIdle)
		}
		patchSpec(ctx, stopped, func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped })
		eventuallyState(ctx, stopped, v1alpha1.StateStopped)
		Expect(api.Delete(ctx, stopped)).To(Succeed())
		Expect(api.Delete(ctx, collected, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
		Eventually(named).Should(ConsistOf("stopped", "foreground"))
		Expect(api.Delete(ctx, deleted)).To(Succeed())
		Eventually(named).Should(ConsistOf("stopped", "foreground", "deleted"))
		life := spans.Ended()[len(spans.Ended())-1]
		Expect(life.Status().Code).To(Equal(codes.Unset))
		Expect(life.StartTime()).To(BeTemporally("==", deleted.Status.Pod.CreatedAt.Time))
		Expect(life.Attributes()).To(ContainElement(HaveField("Key", BeEquivalentTo("agentsession.idle.seconds"))))
	})
})
