package v1alpha1_test

import (
	"maps"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"sigs.k8s.io/yaml"
)

// developers may make sessions, runtimes and pods, and use one service account.
const developers = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: developers}
rules:
- {apiGroups: [""], resources: [pods], verbs: [create]}
- {apiGroups: [""], resources: [serviceaccounts], resourceNames: [theirs], verbs: [use]}
- {apiGroups: [runtime.agentsession.dev], resources: [agentsessions, agentruntimes], verbs: [create, get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: developers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: developers}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: developers}]
`

// TestPolicyOfTemplates is the table of what somebody may write into a template who
// may create pods: what he could do with a pod of his own, less what would be done
// with another's rights, as the operator is not him.
func TestPolicyOfTemplates(t *testing.T) {
	policy, err := os.ReadFile("../../config/policy/pods_by_proxy.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	apply(t, string(policy))
	apply(t, developers)
	use := ContainSubstring("verb use")
	NewWithT(t).Eventually(func() string { // the API server takes a policy up in a while
		out, _ := asDeveloper(t, "AgentSession", "spec: {nodeName: node}")
		return out
	}).WithTimeout(time.Minute).Should(ContainSubstring("nodeName must not be set"))
	for template, refused := range map[string]gomegatypes.GomegaMatcher{
		"spec: {serviceAccountName: powerful}":                                                   use,
		"spec: {serviceAccount: powerful}":                                                       use,
		"spec: {serviceAccountName: theirs, serviceAccount: powerful}":                           use,
		"spec: {serviceAccountName: default, serviceAccount: powerful}":                          use,
		"spec: {nodeName: node}":                                                                 ContainSubstring("nodeName must not be set"),
		"spec: {ephemeralContainers: [{name: e, image: e}]}":                                     ContainSubstring("ephemeralContainers must not be set"),
		"metadata: {annotations: {kubernetes.io/config.mirror: x}}":                              ContainSubstring("config.mirror"),
		"spec: {hostNetwork: true}":                                                              ContainSubstring("hostNetwork"),
		"spec: {hostPID: true}":                                                                  ContainSubstring("hostPID"),
		"spec: {hostIPC: true}":                                                                  ContainSubstring("hostIPC"),
		"{}":                                                                                     nil,
		"spec: {serviceAccountName: theirs, serviceAccount: theirs}":                             nil,
		"spec: {serviceAccountName: default}":                                                    nil,
		"spec: {serviceAccountName: ''}":                                                         nil,
		"spec: {initContainers: [{name: i, image: i}]}":                                          nil,
		"spec: {shareProcessNamespace: true}":                                                    nil,
		"spec: {hostUsers: false}":                                                               nil,
		"spec: {schedulingGates: [{name: example.com/gate}]}":                                    nil,
		"spec: {runtimeClassName: gvisor}":                                                       nil,
		"spec: {priorityClassName: high}":                                                        nil,
		"spec: {resourceClaims: [{name: gpu, resourceClaimName: gpu}]}":                          nil,
		"spec: {tolerations: [{operator: Exists}], nodeSelector: {pool: agents}}":                nil,
		"metadata: {labels: {app: other}, annotations: {example.com/inject: 'true'}}":            nil,
		"spec: {volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}": nil,
		"spec: {volumes: [{name: e, emptyDir: {}}], imagePullSecrets: [{name: registry}]}":       nil,
	} {
		t.Run(template, func(t *testing.T) {
			for _, kind := range []string{"AgentSession", "AgentRuntime"} {
				g := NewWithT(t)
				out, err := asDeveloper(t, kind, template)
				if refused == nil {
					g.Expect(err).NotTo(HaveOccurred(), "%s: %s", kind, out)
					continue
				}
				g.Expect(err).To(HaveOccurred(), kind)
				g.Expect(out).To(refused, kind)
			}
		})
	}
}

// asDeveloper tries to make an object with a template, as one of the developers.
func asDeveloper(t *testing.T, kind, template string) (out string, err error) {
	t.Helper()
	g := NewWithT(t)
	object := manifest(t, "")
	object.SetKind(kind)
	made, given := object.Object["spec"].(map[string]any)["template"].(map[string]any), map[string]any{}
	g.Expect(yaml.Unmarshal([]byte(template), &given)).To(Succeed())
	if metadata, is := given["metadata"]; is {
		made["metadata"] = metadata
	}
	if spec, is := given["spec"].(map[string]any); is {
		maps.Copy(made["spec"].(map[string]any), spec)
	}
	raw, err := object.MarshalJSON()
	g.Expect(err).NotTo(HaveOccurred())
	return kubectlReading(string(raw), "create", "--dry-run=server", "-f", "-", "--as=dev", "--as-group=developers")
}

// apply applies a manifest until the test ends.
func apply(t *testing.T, manifest string) {
	t.Helper()
	out, err := kubectlReading(manifest, "apply", "-f", "-")
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	t.Cleanup(func() {
		out, err := kubectlReading(manifest, "delete", "--ignore-not-found", "-f", "-")
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	})
}
