package chart

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

// TestValuesAreRefused: the message names the value and the rule.
func TestValuesAreRefused(t *testing.T) {
	for set, says := range map[string]string{
		"replicas=3":                "additional properties 'replicas' not allowed",
		"operator.replica=3":        "at '/operator': additional properties 'replica' not allowed",
		"operator.replicas=0":       "at '/operator/replicas': minimum: got 0, want 1",
		"operator.shards={shard=a}": "at '/operator/shards/0': got string, want object",
		"operator.shards[0].name=a": "at '/operator/shards/0': missing property 'selector'",
		"operator.shards[0].name=A,operator.shards[0].selector=x":                   "at '/operator/shards/0/name': 'A' does not match pattern",
		"operator.replicas=many":                                                    "at '/operator/replicas': got string, want integer",
		"gateway.enabled=yes":                                                       "at '/gateway/enabled': got string, want boolean",
		"gateway.service.type=ExternalName":                                         "at '/gateway/service/type': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'",
		"gateway.service.port=70000":                                                "at '/gateway/service/port': maximum: got 70,000, want 65,535",
		"gateway.terminationGracePeriodSeconds=-1":                                  "at '/gateway/terminationGracePeriodSeconds': minimum: got -1, want 0",
		"gateway.payloadsSizeLimit=2GB":                                             "at '/gateway/payloadsSizeLimit': '2GB' does not match pattern",
		"gateway.dashboard.enabled=yes":                                             "at '/gateway/dashboard/enabled': got string, want boolean",
		"clusterResources=false,watchNamespaces={a},gateway.dashboard.enabled=true": "at '/gateway/dashboard/enabled': value must be false",
		"caBundle.pem=roots":                                                        "at '/caBundle/pem': 'roots' does not match pattern",
		"gateway.extraArgs={conflict=wait}":                                         "at '/gateway/extraArgs/0': 'conflict=wait' does not match pattern",
		"gateway.podDisruptionBudget.maxUnavailable=0":                              "at '/gateway/podDisruptionBudget/maxUnavailable'",
		"operator.resources.limits.memory=1GB":                                      "at '/operator/resources/limits/memory': '1GB' does not match pattern",
		"operator.resources.memory=1Gi":                                             "at '/operator/resources': additional properties 'memory' not allowed",
		"operator.image.digest=abc":                                                 "at '/operator/image/digest': 'abc' does not match pattern",
		"image.registry=https://registry.example":                                   "at '/image/registry': 'https://registry.example' does not match pattern",
		"image.pullPolicy=Sometimes":                                                "at '/image/pullPolicy': value must be one of 'IfNotPresent', 'Always', 'Never'",
		"image.pullSecrets={a,a}":                                                   "at '/image/pullSecrets': items at 0 and 1 are equal",
		"watchNamespaces=team":                                                      "at '/watchNamespaces': got string, want array",
		"watchNamespaces={Team}":                                                    "at '/watchNamespaces/0': 'Team' does not match pattern",
		"clusterResources=false":                                                    "at '/watchNamespaces': minItems: got 0, want 1",
		"priorityClass.value=2000000000":                                            "at '/priorityClass/value': maximum: got 2×10⁰⁹, want 1×10⁰⁹",
		"monitoring.enabled=true,metrics.enabled=false":                             "at '/monitoring/enabled': value must be false",
		"monitoring.label.a=b":                                                      "at '/monitoring': additional properties 'label' not allowed",
		"proxy.http=proxy.example:3128":                                             "at '/proxy/http': 'proxy.example:3128' does not match pattern",
		"proxy.noProxy={a b}":                                                       "at '/proxy/noProxy/0': 'a b' does not match pattern",
	} {
		t.Run(set, func(t *testing.T) {
			out, err := helm(t, "template", release, dir, "--set", set)
			NewWithT(t).Expect(err).To(HaveOccurred())
			NewWithT(t).Expect(out).To(ContainSubstring(says))
		})
	}
}

type schema struct {
	Ref         string            `json:"$ref"`
	Properties  map[string]schema `json:"properties"`
	Definitions map[string]schema `json:"definitions"`
}

// TestValuesAreAllListed: values.yaml has every value that the schema knows, with a comment.
func TestValuesAreAllListed(t *testing.T) {
	g := NewWithT(t)
	var known schema
	g.Expect(json.Unmarshal([]byte(read(t, "charts/agentsession/values.schema.json")), &known)).To(Succeed())
	delete(known.Properties, "global") // Helm's own
	text := read(t, "charts/agentsession/values.yaml")
	var values map[string]any
	g.Expect(yaml.UnmarshalStrict([]byte(text), &values)).To(Succeed())
	var compare func(path string, known schema, values map[string]any)
	definitions := known.Definitions
	compare = func(path string, known schema, values map[string]any) {
		if name, ok := strings.CutPrefix(known.Ref, "#/definitions/"); ok {
			known = definitions[name]
		}
		if len(known.Properties) == 0 || strings.HasSuffix(path, ".resources") { // those are a container's
			return
		}
		g.Expect(slices.Sorted(maps.Keys(values))).To(Equal(slices.Sorted(maps.Keys(known.Properties))), path)
		for key, property := range known.Properties {
			nested, _ := values[key].(map[string]any)
			compare(path+"."+key, property, nested)
		}
	}
	compare("", known, values)
	for key := range values {
		g.Expect(text).To(Or(MatchRegexp(`(?m)^#.*\n`+key+`:`), MatchRegexp(`(?m)^`+key+`:\n  #`)), "a comment says what %s is", key)
	}
}
