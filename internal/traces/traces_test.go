package traces_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/internal/traces"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestMark(t *testing.T) {
	for name, row := range map[string]struct {
		flags trace.TraceFlags
		has   map[string]string
		want  map[string]string
	}{
		"a call":                       {trace.FlagsSampled, nil, map[string]string{traces.AnnotationStartedBy: "3/" + parent}},
		"beside others":                {trace.FlagsSampled, map[string]string{"a": "b"}, map[string]string{"a": "b", traces.AnnotationStartedBy: "3/" + parent}},
		"over an earlier one":          {trace.FlagsSampled, map[string]string{traces.AnnotationStartedBy: "2/" + parent}, map[string]string{traces.AnnotationStartedBy: "3/" + parent}},
		"a call that is not sampled":   {0, map[string]string{"a": "b"}, map[string]string{"a": "b"}},
		"one that is not, and nothing": {0, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			traceID, err := trace.TraceIDFromHex("4bf92f3577b34da6a3ce929d0e0e4736")
			g.Expect(err).NotTo(HaveOccurred())
			spanID, err := trace.SpanIDFromHex("00f067aa0ba902b7")
			g.Expect(err).NotTo(HaveOccurred())
			call := trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: row.flags})
			session := &metav1.ObjectMeta{Annotations: row.has}
			traces.Mark(trace.ContextWithSpanContext(t.Context(), call), session, 3)
			g.Expect(session.Annotations).To(Equal(row.want))
			if row.flags.IsSampled() {
				g.Expect(traces.CallOf(session, 3).Equal(call.WithRemote(true))).To(BeTrue())
			}
		})
	}
	session := &metav1.ObjectMeta{}
	traces.Mark(t.Context(), session, 1)
	NewWithT(t).Expect(session.Annotations).To(BeNil(), "without a trace")
}

func TestCallOfTakesWhatIsOneOnly(t *testing.T) {
	for name, row := range map[string]struct {
		value string
		valid bool
	}{
		"a call":                   {"3/" + parent, true},
		"one that was not sampled": {"3/" + strings.TrimSuffix(parent, "1") + "0", true},
		"nothing":                  {"", false},
		"another activation's":     {"2/" + parent, false},
		"of a longer number":       {"33/" + parent, false},
		"no number":                {parent, false},
		"a number that is padded":  {"03/" + parent, false},
		"more behind":              {"3/" + parent + "-00", false},
		"another version":          {"3/01" + parent[2:], false},
		"an invalid version":       {"3/ff" + parent[2:], false},
		"no trace":                 {"3/00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", false},
		"no span":                  {"3/00-4bf92f3577b34da6a3ce929d0e0e4736-" + strings.Repeat("0", 16) + "-01", false},
		"capital digits":           {"3/" + strings.ToUpper(parent), false},
		"not hexadecimal":          {"3/" + strings.ReplaceAll(parent, "f", "g"), false},
		"bytes of any kind":        {"3/00-" + strings.Repeat("\x00", 50), false},
		"a megabyte":               {"3/" + strings.Repeat("0", 1<<20), false},
	} {
		t.Run(name, func(t *testing.T) {
			session := &metav1.ObjectMeta{Annotations: map[string]string{traces.AnnotationStartedBy: row.value}}
			NewWithT(t).Expect(traces.CallOf(session, 3).IsValid()).To(Equal(row.valid))
		})
	}
	NewWithT(t).Expect(traces.CallOf(&metav1.ObjectMeta{}, 1).IsValid()).To(BeFalse())
}
