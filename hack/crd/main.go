// Command crd does to generated CRDs what controller-gen cannot.
//
// It bounds what the types of Go cannot hold: the API server takes 3000000000 for
// an int32, as it only documents a format, and 1e1.5 for a quantity. One object that
// a typed client cannot read fails the list and the watch of all.
//
// In .spec.template it removes the descriptions. With the whole documentation of a pod a CRD is
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
	"math"
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
		walk(typed.Spec.Versions[i].Schema.OpenAPIV3Schema, bound)
		spec := typed.Spec.Versions[i].Schema.OpenAPIV3Schema.Properties["spec"]
		template := spec.Properties["template"]
		if err := constrain(&template); err != nil {
			return err
		}
		for name, property := range template.Properties {
			walk(&property, func(s *apiextensionsv1.JSONSchemaProps) { s.Description = "" })
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
	"hostNetwork":                   {Rule: "!self", Message: "template.spec.hostNetwork must not be true: the agent is asked on an address of its own"},
	"hostPID":                       {Rule: "!self", Message: "template.spec.hostPID must not be true: a session is isolated from its node"},
	"hostIPC":                       {Rule: "!self", Message: "template.spec.hostIPC must not be true: a session is isolated from its node"},
	"terminationGracePeriodSeconds": {Rule: "self <= 3600", Message: "template.spec.terminationGracePeriodSeconds must be 3600 at most: it is life beyond the maximal lifetime, and no call lasts longer"},
	"restartPolicy":                 {Rule: "self == 'Never'", Message: "template.spec.restartPolicy must be Never or absent: an agent that died has lost its session's memory"},
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

// What a typed client reads.
const (
	// quantity is what resource.ParseQuantity takes, with so few digits that it takes no
	// time: 1e-999999999 would take a core for ever.
	quantity = `^[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`
	// moment is what of the format date-time Go's time.RFC3339 is: t and z are capital.
	moment = `^[^t]{10}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// exact is the largest number up to which a float64 holds every integer.
	exact = 1<<53 - 1
)

// bound keeps a field within what its type in Go can hold.
func bound(s *apiextensionsv1.JSONSchemaProps) {
	switch {
	case s.XIntOrString && s.Pattern != "":
		s.Pattern = quantity
		within(s, exact)
	case s.XIntOrString, s.Format == "int32":
		within(s, math.MaxInt32)
	case s.Format == "int64":
		within(s, exact)
	case s.Format == "date-time" && s.Pattern == "":
		s.Pattern = moment
	}
}

// within bounds what has no bound yet.
func within(s *apiextensionsv1.JSONSchemaProps, most float64) {
	if s.Minimum == nil {
		s.Minimum = new(-most)
	}
	if s.Maximum == nil {
		s.Maximum = new(most)
	}
}

// walk visits a schema and all that is below it.
func walk(s *apiextensionsv1.JSONSchemaProps, visit func(*apiextensionsv1.JSONSchemaProps)) {
	visit(s)
	for name, property := range s.Properties {
		walk(&property, visit)
		s.Properties[name] = property
	}
	if s.Items != nil && s.Items.Schema != nil {
		walk(s.Items.Schema, visit)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		walk(s.AdditionalProperties.Schema, visit)
	}
}
