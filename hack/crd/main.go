// Command crd removes the descriptions below .spec.template from generated
// CRDs. With the whole documentation of a pod a CRD is larger than the
// annotation of a client-side kubectl apply may be (262,144 bytes);
// controller-gen can cut descriptions everywhere or nowhere, and those of our
// own fields are what kubectl explain shows.
package main

import (
	"fmt"
	"os"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	for _, file := range os.Args[1:] {
		if err := trim(file); err != nil {
			fmt.Fprintf(os.Stderr, "trim %s: %v\n", file, err)
			os.Exit(1)
		}
	}
}

func trim(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		return err
	}
	var typed apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &typed); err != nil {
		return fmt.Errorf("read as a CustomResourceDefinition: %w", err)
	}
	for i := range typed.Spec.Versions {
		spec := typed.Spec.Versions[i].Schema.OpenAPIV3Schema.Properties["spec"]
		template := spec.Properties["template"]
		for name, property := range template.Properties {
			strip(&property)
			template.Properties[name] = property
		}
		spec.Properties["template"] = template
		typed.Spec.Versions[i].Schema.OpenAPIV3Schema.Properties["spec"] = spec
	}
	out, err := yaml.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   any    `json:"metadata"`
		Spec       any    `json:"spec"`
	}{typed.APIVersion, typed.Kind, crd["metadata"], typed.Spec})
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, 0o600) // the file is there: its mode stays
}

func strip(schema *apiextensionsv1.JSONSchemaProps) {
	schema.Description = ""
	for name, property := range schema.Properties {
		strip(&property)
		schema.Properties[name] = property
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		strip(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		strip(schema.AdditionalProperties.Schema)
	}
}
