// Command crd does to .spec.template of generated CRDs what controller-gen
// cannot.
//
// It removes the descriptions. With the whole documentation of a pod a CRD is
// larger than the annotation of a client-side kubectl apply may be (262,144
// bytes); controller-gen can cut descriptions everywhere or nowhere, and those
// of our own fields are what kubectl explain shows.
//
// And it adds the rules for the pod, each at the field that it is about. As
// rules of the template they looked fields up in it, for which the API server
// lists all fields of a pod, at every write of a session's status too: without
// that it takes a quarter more of such writes.
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
		if err := constrain(&template); err != nil {
			return err
		}
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

// rules are for the fields of a pod's spec.
var rules = map[string]apiextensionsv1.ValidationRule{
	"hostNetwork":   {Rule: "!self", Message: "template.spec.hostNetwork must not be true: the agent is asked on an address of its own"},
	"hostPID":       {Rule: "!self", Message: "template.spec.hostPID must not be true: a session is isolated from its node"},
	"hostIPC":       {Rule: "!self", Message: "template.spec.hostIPC must not be true: a session is isolated from its node"},
	"restartPolicy": {Rule: "self == 'Never'", Message: "template.spec.restartPolicy must be Never or absent: an agent that died has lost its session's memory"},
}

func constrain(template *apiextensionsv1.JSONSchemaProps) error {
	pod := template.Properties["spec"]
	for name, rule := range rules {
		field, known := pod.Properties[name]
		if !known {
			return fmt.Errorf("a pod's spec has no field %s", name)
		}
		field.XValidations = apiextensionsv1.ValidationRules{rule}
		pod.Properties[name] = field
	}
	containers := pod.Properties["containers"]
	containers.MinItems = new(int64(1))
	pod.Properties["containers"] = containers
	template.Properties["spec"] = pod
	template.Required = []string{"spec"}
	return nil
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
