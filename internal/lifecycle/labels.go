package lifecycle

import (
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// toolDomains are those of labels by which tools know the objects that they made.
var toolDomains = []string{"kubernetes.io", "k8s.io", "helm.sh", "agentsession.dev"}

// SessionLabels are the labels of a session that a call makes: those of its runtime, so that
// whoever selects the one by them has the other too, and its runtime's name.
func SessionLabels(runtime *v1alpha1.AgentRuntime) map[string]string {
	own := map[string]string{v1alpha1.LabelRuntime: runtime.Name}
	for key, value := range runtime.Labels {
		if !ofTools(key) {
			own[key] = value
		}
	}
	return own
}

func ofTools(key string) bool {
	domain, _, has := strings.Cut(key, "/")
	for _, of := range toolDomains {
		if has && (domain == of || strings.HasSuffix(domain, "."+of)) {
			return true
		}
	}
	return false
}
