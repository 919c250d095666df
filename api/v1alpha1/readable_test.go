package v1alpha1_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"
	sjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// odd are values that a schema may take and a type of Go may not, or that are dear to
// read. What the schema does not take matters to nobody.
var odd = []any{
	"", "x", "1e1.5", "1e-999999999", "1E999999999", "99999999999999999999999999999", "1.", ".5", "-1", "+1Ki", "1e3", "0x1", "1_0", "1ki",
	"2026-02-28T23:59:59Z", "2026-02-28t23:59:59z", "2026-02-28T23:59:59x5Z", "2026-02-28T23:59:59.123456Z", "2026-02-28T23:59:59.1234567890123Z",
	"2026-02-28T23:59:59+23:59", "2026-02-28T23:59:59+99:99", "2026-02-30T00:00:00Z", "2026-02-28T24:00:00Z", "2026-02-28T23:59:60Z", "2026-02-28 23:59:59Z",
	int64(0), int64(-1), int64(3000000000), int64(-3000000000), int64(1) << 62, 1.5, 1e30, -1e30, 1e308, true, false,
	map[string]any{},
	[]any{},
	map[string]any{"a": "b"},
	[]any{"a"},
	[]any{int64(1)},
	map[string]any{"a": int64(1)},
}

// drawn are values like those, by their seeds: numbers, also just beside what types can hold,
// what looks like a quantity or a moment, and lists and objects of a few.
func drawn(seeds int) []any {
	edges := rapid.SampledFrom([]int64{0, math.MinInt32, math.MaxInt32, math.MaxUint32, math.MaxInt64 - 2, math.MinInt64 + 2})
	one := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) any { return edges.Draw(t, "edge") + rapid.Int64Range(-2, 2).Draw(t, "beside") }),
		rapid.Int64().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(),
		rapid.StringMatching(`[+-]?[0-9]{0,20}(\.[0-9]{0,20})?([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,10}(\.5)?)?`).AsAny(),
		rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.,][0-9]{1,12})?([Zz]|[+-][0-9]{2}:[0-9]{2})?`).AsAny(),
	)
	values := rapid.OneOf(one, one, one, rapid.SliceOfN(one, 1, 3).AsAny(), rapid.MapOfN(rapid.SampledFrom([]string{"a", "key", "name", "value"}), one, 1, 3).AsAny())
	list := make([]any, seeds)
	for seed := range list {
		list[seed] = values.Example(seed)
	}
	return list
}

// TestWhatTheSchemaTakesCanBeRead puts odd values at every field of each kind: what
// the API server would store, a typed client must be able to read. One object that it
// cannot read fails its list and watch of all.
func TestWhatTheSchemaTakesCanBeRead(t *testing.T) {
	values := append(drawn(60), odd...)
	for file, kind := range map[string]func() any{
		"runtime.agentsession.dev_agentsessions.yaml": func() any { return &v1alpha1.AgentSession{} },
		"runtime.agentsession.dev_agentruntimes.yaml": func() any { return &v1alpha1.AgentRuntime{} },
	} {
		t.Run(file, func(t *testing.T) {
			fields := 0
			for _, part := range []string{"spec", "status"} {
				schema := schemaOf(t, file).Properties[part]
				visit(&schema, func(v any) any { return map[string]any{part: v} }, func(path string, s *apiextensionsv1.JSONSchemaProps, whole func(any) any) {
					fields++
					validator := validatorOf(t, s)
					for _, value := range values {
						if len(validation.ValidateCustomResource(nil, value, validator)) == 0 && !listForTime(value, s) {
							read(t, path, whole(value), kind())
						}
					}
				}, part)
			}
			NewWithT(t).Expect(fields).To(BeNumerically(">", 500), "fields")
		})
	}
}

// listForTime: the validator takes any list for a string with a format. Only moments
// have one, all of them in status, which tenants do not write.
func listForTime(value any, s *apiextensionsv1.JSONSchemaProps) bool {
	_, list := value.([]any)
	return list && s.Format == "date-time"
}

// read decodes an object as a typed client does, from the bytes that the API server
// would store.
func read(t *testing.T, path string, object, into any) {
	t.Helper()
	raw, err := json.Marshal(object)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(sjson.UnmarshalCaseSensitivePreserveInts(raw, into)).To(Succeed())
	if err := unreadable(into); err != "" {
		t.Errorf("%s: the schema takes %s, and it cannot be read: %v", path, raw, err)
	}
}

func unreadable(object any) string {
	if session, ok := object.(*v1alpha1.AgentSession); ok {
		return session.Unreadable
	}
	return object.(*v1alpha1.AgentRuntime).Unreadable
}

// visit calls a function for every field below a schema. whole makes an object of a
// value of that field.
func visit(s *apiextensionsv1.JSONSchemaProps, whole func(any) any, each func(string, *apiextensionsv1.JSONSchemaProps, func(any) any), path string) {
	each(path, s, whole)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		visit(&property, func(v any) any { return whole(map[string]any{name: v}) }, each, path+"."+name)
	}
	if s.Items != nil {
		visit(s.Items.Schema, func(v any) any { return whole([]any{v}) }, each, path+"[]")
	}
	if s.AdditionalProperties != nil {
		visit(s.AdditionalProperties.Schema, func(v any) any { return whole(map[string]any{"key": v}) }, each, path+"{}")
	}
}

func schemaOf(t *testing.T, file string) *apiextensionsv1.JSONSchemaProps {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../config/crd/bases", file))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var crd apiextensionsv1.CustomResourceDefinition
	NewWithT(t).Expect(yaml.Unmarshal(raw, &crd)).To(Succeed())
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// validatorOf is the API server's own for a part of a schema.
func validatorOf(t *testing.T, s *apiextensionsv1.JSONSchemaProps) validation.SchemaValidator {
	t.Helper()
	internal := &apiextensions.JSONSchemaProps{}
	NewWithT(t).Expect(apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(s, internal, nil)).To(Succeed())
	validator, _, err := validation.NewSchemaValidator(internal)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return validator
}

// TestQuantities: whatever matches the pattern is a quantity, and is read at once.
func TestQuantities(t *testing.T) {
	schema := schemaOf(t, "runtime.agentsession.dev_agentsessions.yaml")
	var pattern string
	visit(schema, func(v any) any { return v }, func(_ string, s *apiextensionsv1.JSONSchemaProps, _ func(any) any) {
		if s.XIntOrString && s.Pattern != "" {
			pattern = s.Pattern
		}
	}, "")
	quantities := rapid.StringMatching(pattern)
	rapid.Check(t, func(t *rapid.T) {
		if _, err := resource.ParseQuantity(quantities.Draw(t, "quantity")); err != nil {
			t.Fatal(err)
		}
	})
	for _, usual := range []string{"0", "1", "500m", "1.5", "2Gi", "100M", "1e3", "1E", "128974848", "129e6", "123Mi", "-1", "+5k", ".5", "1."} {
		NewWithT(t).Expect(usual).To(MatchRegexp(pattern))
	}
}
