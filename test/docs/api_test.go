package docs_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/agentsession/agentsession/config/crd"
)

var update = flag.Bool("update", false, "write docs/api.md")

// TestReference: docs/api.md says what the CustomResourceDefinitions say.
func TestReference(t *testing.T) {
	g := NewWithT(t)
	definitions, err := crd.Definitions()
	g.Expect(err).NotTo(HaveOccurred())
	var want strings.Builder
	want.WriteString("# API reference\n\n<!-- go test ./test/docs -run TestReference -update writes this page -->\n\n" +
		"Every field of the two kinds, as `kubectl explain` shows them. Their use is in [sessions.md](sessions.md).\n")
	for _, d := range definitions {
		version := d.Spec.Versions[0]
		fmt.Fprintf(&want, "\n## %s\n\n`%s/%s`, short name `%s`. %s\n\n| field | type | what it is |\n|---|---|---|\n",
			d.Spec.Names.Kind, d.Spec.Group, version.Name, d.Spec.Names.ShortNames[0], inLine(version.Schema.OpenAPIV3Schema.Description))
		for _, part := range []string{"spec", "status"} {
			writeFields(&want, part, version.Schema.OpenAPIV3Schema.Properties[part])
		}
	}
	file := filepath.Join(top, "docs", "api.md")
	if *update {
		g.Expect(os.WriteFile(file, []byte(want.String()), 0o600)).To(Succeed())
	}
	got, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(want.String()), "go test ./test/docs -run TestReference -update writes it")
}

// writeFields writes the fields below one, but those of a pod's template, which are Kubernetes'.
func writeFields(b *strings.Builder, path string, of apiextensionsv1.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(of.Properties)) {
		field, at := of.Properties[name], path+"."+name
		kind := kindOf(field)
		if slices.Contains(of.Required, name) {
			kind += ", required"
		}
		if field.Default != nil && field.Type != "object" {
			kind += ", default `" + string(field.Default.Raw) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", at, kind, inLine(field.Description))
		switch {
		case name == "template":
		case field.Items != nil && field.Items.Schema != nil:
			writeFields(b, at+"[]", *field.Items.Schema)
		default:
			writeFields(b, at, field)
		}
	}
}

func kindOf(field apiextensionsv1.JSONSchemaProps) string {
	kind := field.Type
	if field.Format != "" && field.Type == "string" {
		kind = field.Format
	}
	if field.Items != nil && field.Items.Schema != nil {
		kind = "list of " + field.Items.Schema.Type
	}
	var values []string
	for _, value := range field.Enum {
		values = append(values, "`"+string(value.Raw)+"`")
	}
	if len(values) > 0 {
		kind += ": " + strings.Join(values, ", ")
	}
	if field.Minimum != nil && field.Maximum != nil {
		kind += fmt.Sprintf(", %.0f to %.0f", *field.Minimum, *field.Maximum)
	}
	return kind
}

// inLine is a text as a cell of a table has it.
func inLine(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`).Replace(strings.Join(strings.Fields(text), " "))
}
