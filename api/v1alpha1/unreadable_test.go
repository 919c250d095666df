package v1alpha1_test

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	sjson "sigs.k8s.io/json"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// template is a pod template with one member of its container.
func template(member string) string {
	return `"template": {"spec": {"containers": [{"name": "agent", "image": "agent", ` + member + `}]}}`
}

// TestOneThatCannotBeReadHarmsNoOther reads lists as clients do.
func TestOneThatCannotBeReadHarmsNoOther(t *testing.T) {
	fine := template(`"ports": [{"containerPort": 8080}]`)
	for name, row := range map[string]struct {
		member string
		why    string // empty: it can be read
	}{
		"a port that is no int32":          {`"ports": [{"containerPort": 3000000000}]`, "int32"},
		"a quantity that is none":          {`"resources": {"limits": {"cpu": "1e1.5"}}`, "quantities must match"},
		"a quantity that never ends":       {`"resources": {"limits": {"cpu": "1e-999999999"}}`, `spec.template.spec.containers[0].resources.limits.cpu is "1e-999999999"`},
		"one with white space":             {`"resources": {"limits": {"cpu": "1e-999999999\t "}}`, "limits.cpu"},
		"one with a line's end":            {`"resources": {"limits": {"cpu": "1e-999999999\n"}}`, "limits.cpu"},
		"one that is asked for":            {`"resources": {"requests": {"memory": "+.5E0099999"}}`, "requests.memory"},
		"one of a field":                   {`"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1e9999"}}}]`, "divisor"},
		"a value that looks like one":      {`"env": [{"name": "A", "value": "1e-999999999"}]`, ""},
		"a usual quantity":                 {`"resources": {"limits": {"cpu": "1e3", "memory": "128Mi"}}`, ""},
		"a digest that ends like a number": {`"env": [{"name": "A", "value": "sha256:1e99999"}]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			items := fmt.Sprintf(`{"items": [{"metadata": {"name": "odd"}, "spec": {"activation": 7, %s}, "status": {"activation": 6}}, {"metadata": {"name": "fine"}, "spec": {%s}}]}`, template(row.member), fine)
			var sessions v1alpha1.AgentSessionList
			g.Expect(sjson.UnmarshalCaseSensitivePreserveInts([]byte(items), &sessions)).To(Succeed())
			odd := sessions.Items[0]
			g.Expect(odd.Name).To(Equal("odd"))
			g.Expect(odd.Spec.Activation).To(BeEquivalentTo(7))
			g.Expect(odd.Status.Activation).To(BeEquivalentTo(6))
			g.Expect(sessions.Items[1].Unreadable).To(BeEmpty())
			g.Expect(sessions.Items[1].Spec.Template.Spec.Containers).To(HaveLen(1))

			items = fmt.Sprintf(`{"items": [{"metadata": {"name": "odd"}, "spec": {"endpoints": [{"name": "PROD", "version": 1}], %s}, "status": {"agentRuntimeVersion": 6}}, {"spec": {%s}}]}`, template(row.member), fine)
			var runtimes v1alpha1.AgentRuntimeList
			g.Expect(sjson.UnmarshalCaseSensitivePreserveInts([]byte(items), &runtimes)).To(Succeed())
			strange := runtimes.Items[0]
			g.Expect(strange.Name).To(Equal("odd"))
			g.Expect(strange.Spec.Endpoints).To(HaveLen(1))
			g.Expect(strange.Status.AgentRuntimeVersion).To(BeEquivalentTo(6))
			g.Expect(runtimes.Items[1].Unreadable).To(BeEmpty())

			if row.why == "" {
				g.Expect(odd.Unreadable + strange.Unreadable).To(BeEmpty())
				g.Expect(odd.Spec.Template.Spec.Containers).To(HaveLen(1))
				return
			}
			g.Expect(odd.Unreadable).To(ContainSubstring(row.why))
			g.Expect(strange.Unreadable).To(ContainSubstring(row.why))
			g.Expect(odd.Spec.Template.Spec.Containers).To(BeEmpty(), "half a template is none")
		})
	}
}

// TestWhatIsNoObjectIsAnError: only the spec and the status may be odd.
func TestWhatIsNoObjectIsAnError(t *testing.T) {
	for _, raw := range []string{`[]`, `{"metadata": []}`, `{"metadata": {"name": 3}}`} {
		NewWithT(t).Expect(sjson.UnmarshalCaseSensitivePreserveInts([]byte(raw), &v1alpha1.AgentSession{})).NotTo(Succeed(), raw)
		NewWithT(t).Expect(sjson.UnmarshalCaseSensitivePreserveInts([]byte(raw), &v1alpha1.AgentRuntime{})).NotTo(Succeed(), raw)
	}
}
